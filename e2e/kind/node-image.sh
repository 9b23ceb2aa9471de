#!/bin/bash
# Build a kind node image (and kind itself) without any image registry: only apt
# packages and the Go module proxy are used.  Result: a local docker image
# $NODE_IMAGE that `kind create cluster --image $NODE_IMAGE` starts, with every
# image that kubeadm and kind want already inside.
#
#   node-image.sh [step ...]      steps, in order (default: all but the last)
#     deps     apt packages; a docker daemon, if none answers
#     go       all Go binaries, in one module and one `go build`
#     rootfs   two Debian root file systems (node base, small base) by mmdebstrap
#     images   the container images of the control plane, pause, DNS, CNI, storage
#     node     the node image
#     verify   create a cluster, run pods, `kind load`, delete the cluster
#
# Long because it is handed over as one file: copied to a machine, it makes the image
# there with nothing else of this repository but the lock, if that is at hand.
#
# Needs: root, Go (see GO_MIN below), about 6 GiB of disk and 4 GiB of memory.
set -euo pipefail

# ---- versions and places (each can be set from outside) ----------------------
: "${KUBE_VERSION:=1.31.4}"              # k8s.io/kubernetes, its staging modules follow
: "${KIND_VERSION:=0.33.0}"              # sigs.k8s.io/kind; also gives the node's static files
: "${LPP_VERSION:=0.0.30}"               # github.com/rancher/local-path-provisioner
: "${ETCD_VERSION:=}"                    # empty: the one this kubeadm asks for
: "${COREDNS_VERSION:=}"                 # empty: the one this kubeadm asks for
: "${SUITE:=$(. /etc/os-release; echo "$VERSION_CODENAME")}"  # apt suite of the root file systems
: "${APT_SOURCES:=/etc/apt/sources.list.d/debian.sources}"    # where to take packages from
: "${WORK:=$PWD/kind-build}"             # everything is written here
: "${LOCK:=$(cd "$(dirname "$0")" && pwd)/lock}"  # go.mod and go.sum of an earlier run, if any
: "${NODE_IMAGE:=localhost/kind-node:v$KUBE_VERSION}"
: "${CLUSTER:=verify}"
GO_MIN=1.23
BIN=$WORK/bin
MOD=$WORK/mod
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
mkdir -p "$WORK" "$BIN"

say() { printf '== %s\n' "$*"; }
node_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# ---- deps -------------------------------------------------------------------
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>"$WORK/apt.log"; }

# Names of the capabilities that this root cannot give away (usually none).
missing_caps() {
  local names=(chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
    linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner
    sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice
    sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap
    mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
    checkpoint_restore)
  local bnd i
  bnd=$((16#$(awk '/^CapBnd/ {print $2}' /proc/self/status)))
  for i in "${!names[@]}"; do
    [ "$i" -le "$(cat /proc/sys/kernel/cap_last_cap)" ] || break
    (( (bnd >> i) & 1 )) || echo "CAP_${names[i]^^}"
  done
}

# A docker daemon of our own, for a machine on which nothing starts one.
start_docker() {
  local args=() missing
  missing=$(missing_caps)
  if [ -n "$missing" ]; then
    # docker 20.10 asks for every capability that the kernel knows when a container
    # is --privileged, and the start fails where root itself has fewer ("unable to
    # apply caps").  A runc that first strikes the ones we lack out of the spec: it
    # only ever asks for less.
    say "root lacks: $(echo $missing); starting docker with a runc that asks for less"
    {
      echo '#!/bin/sh'
      echo 'bundle= process= prev='
      echo 'for a; do'
      echo '  case $prev in --bundle|-b) bundle=$a;; --process|-p) process=$a;; esac'
      echo '  prev=$a'
      echo 'done'
      echo 'for f in "${bundle:+$bundle/config.json}" "$process"; do'
      echo '  [ -n "$f" ] && [ -f "$f" ] || continue'
      for c in $missing; do echo "  sed -i -E 's/\"$c\",|,\"$c\"//g' \"\$f\""; done
      echo 'done'
      echo "exec $(command -v runc) \"\$@\""
    } >"$WORK/runc-capbound"
    chmod +x "$WORK/runc-capbound"
    args=(--add-runtime "capbound=$WORK/runc-capbound" --default-runtime capbound)
  fi
  setsid nohup dockerd --storage-driver=overlay2 "${args[@]}" >"$WORK/dockerd.log" 2>&1 &
  echo $! >"$WORK/dockerd.pid"
  for _ in $(seq 30); do docker info >/dev/null 2>&1 && return; sleep 1; done
  tail -5 "$WORK/dockerd.log"; return 1
}

do_deps() {
  local want=()
  command -v mmdebstrap >/dev/null || want+=(mmdebstrap)
  command -v jq >/dev/null || want+=(jq)
  if ! docker info >/dev/null 2>&1; then
    command -v dockerd >/dev/null || want+=(docker.io)
  fi
  if [ ${#want[@]} -gt 0 ]; then apt_get update; apt_get install -y "${want[@]}" 2>>"$WORK/apt.log"; fi
  docker info >/dev/null 2>&1 || start_docker
  docker version -f 'docker client {{.Client.Version}}, server {{.Server.Version}}'
  go version
  [ "$(printf '%s\n' "$GO_MIN" "$(go env GOVERSION | sed 's/^go//')" | sort -V | head -1)" = "$GO_MIN" ] ||
    { echo "Go $GO_MIN or newer is needed"; return 1; }
}

# ---- go ---------------------------------------------------------------------
# One module for everything: the staging modules of Kubernetes are replaced by their
# published versions, and etcd, CoreDNS, kind ... share what they have in common.
write_sources() {
  mkdir -p "$MOD"/{pause,coredns,netd,crictl,probe}
  cat >"$MOD/tools.go" <<'E'
//go:build tools

package tools

import (
	_ "github.com/rancher/local-path-provisioner"
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubeadm"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/cmd/kubelet"
	_ "sigs.k8s.io/kind"
)
E
  cat >"$MOD/pause/main.go" <<'E'
// pause holds a pod's namespaces, and reaps children when it is PID 1.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range c {
		if s != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
E
  cat >"$MOD/coredns/main.go" <<'E'
// coredns with the plugins that kubeadm's Corefile names, and a few cheap ones; all
// plugins together would pull in several cloud SDKs.
package main

import (
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"

	"github.com/coredns/coredns/coremain"
)

func main() { coremain.Run() }
E
  cat >"$MOD/netd/main.go" <<'E'
// netd stands in for kindnetd, which is not on the module proxy (IPv4 only, and no
// NetworkPolicy).  On its node it writes the CNI configuration for the node's own
// pod range (ptp, host-local, portmap), masquerades what leaves the pod network, and
// keeps one route per other node: all nodes share one layer-2 network.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const conf = `{"cniVersion":"0.3.1","name":"netd","plugins":[
 {"type":"ptp","ipMasq":false,"mtu":%d,
  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam-state","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"%s"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
`

func masquerade(own, all string) error {
	rule := []string{"POSTROUTING", "-s", own, "!", "-d", all, "-m", "comment", "--comment", "netd", "-j", "MASQUERADE"}
	if exec.Command("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...).Run() == nil {
		return nil
	}
	if out, err := exec.Command("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables: %w: %s", err, out)
	}
	return nil
}

func once(c kubernetes.Interface, self, podSubnet, dir string) error {
	nodes, err := c.CoreV1().Nodes().List(context.TODO(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		if n.Spec.PodCIDR == "" {
			continue
		}
		if n.Name == self {
			if err := masquerade(n.Spec.PodCIDR, podSubnet); err != nil {
				return err
			}
			mtu := 1500
			if l, err := netlink.LinkByName("eth0"); err == nil {
				mtu = l.Attrs().MTU
			}
			want := fmt.Sprintf(conf, mtu, n.Spec.PodCIDR)
			f := dir + "/10-netd.conflist"
			if have, _ := os.ReadFile(f); string(have) != want {
				if err := os.WriteFile(f+".tmp", []byte(want), 0o644); err != nil {
					return err
				}
				if err := os.Rename(f+".tmp", f); err != nil {
					return err
				}
				log.Printf("wrote %s for %s", f, n.Spec.PodCIDR)
			}
			continue
		}
		_, dst, err := net.ParseCIDR(n.Spec.PodCIDR)
		if err != nil {
			return err
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(a.Address)}); err != nil {
					return fmt.Errorf("route %s via %s: %w", dst, a.Address, err)
				}
				break
			}
		}
	}
	return nil
}

func main() {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	c := kubernetes.NewForConfigOrDie(cfg)
	for {
		wait := 5 * time.Second
		if err := once(c, os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET"), "/etc/cni/net.d"); err != nil {
			log.Print(err)
			wait = time.Second
		}
		time.Sleep(wait)
	}
}
E
  cat >"$MOD/crictl/main.go" <<'E'
// crictl: the sub-commands that kind calls (inspecti, images), and ps and pods for a
// human.  The real tool's module cannot be had from the proxy in a version that
// goes with this Kubernetes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func fail(a ...any) { fmt.Fprintln(os.Stderr, a...); os.Exit(1) }

func img(i *cri.Image) map[string]any {
	if i.RepoTags == nil {
		i.RepoTags = []string{}
	}
	return map[string]any{"id": i.Id, "repoTags": i.RepoTags, "repoDigests": i.RepoDigests, "size": fmt.Sprint(i.Size_), "pinned": i.Pinned}
}

func main() {
	a := os.Args[1:]
	if len(a) == 0 {
		fail("usage: crictl inspecti IMAGE | images | ps | pods")
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	conn, err := grpc.NewClient("unix:///run/containerd/containerd.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(err)
	}
	is, rs := cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn)
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	switch {
	case a[0] == "inspecti" && len(a) > 1:
		r, err := is.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: a[len(a)-1]}})
		if err != nil {
			fail(err)
		}
		if r.Image == nil {
			fail("no such image", a[len(a)-1], "present")
		}
		out.Encode(map[string]any{"status": img(r.Image)})
	case a[0] == "images":
		r, err := is.ListImages(ctx, &cri.ListImagesRequest{})
		if err != nil {
			fail(err)
		}
		l := []any{}
		for _, i := range r.Images {
			l = append(l, img(i))
		}
		out.Encode(map[string]any{"images": l})
	case a[0] == "ps":
		r, err := rs.ListContainers(ctx, &cri.ListContainersRequest{})
		if err != nil {
			fail(err)
		}
		for _, c := range r.Containers {
			fmt.Println(c.Id[:13], c.State, c.Metadata.Name, c.Labels["io.kubernetes.pod.name"], "attempt", c.Metadata.Attempt)
		}
	case a[0] == "pods":
		r, err := rs.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		if err != nil {
			fail(err)
		}
		for _, c := range r.Items {
			fmt.Println(c.Id[:13], c.State, c.Metadata.Namespace, c.Metadata.Name)
		}
	default:
		fail("not implemented here:", a)
	}
}
E
  cat >"$MOD/probe/main.go" <<'E'
// probe: a very small web server and client, only for the verify step.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "get" {
		r, err := http.Get(os.Args[2])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s\n", r.Status, b)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h, _ := os.Hostname()
		fmt.Fprintf(w, "hello from %s to %s", h, r.RemoteAddr)
	})
	panic(http.ListenAndServe(":8080", nil))
}
E
}

do_go() {
  local info gomod src staging commit date ld p
  info=$(go mod download -json "k8s.io/kubernetes@v$KUBE_VERSION")
  gomod=$(jq -r .GoMod <<<"$info") src=$(jq -r .Dir <<<"$info")
  commit=$(jq -r '.Origin.Hash // ""' <<<"$info")
  date=$(jq -r .Time "$(jq -r .Info <<<"$info")")
  staging=v0.${KUBE_VERSION#1.}
  # what this kubeadm will ask for
  consts=$src/cmd/kubeadm/app/constants/constants.go
  : "${ETCD_VERSION:=$(sed -n 's/.*DefaultEtcdVersion = "\([0-9.]*\)-.*/\1/p' "$consts")}"
  : "${COREDNS_VERSION:=$(sed -n 's/.*CoreDNSVersion = "v\(.*\)"/\1/p' "$consts")}"
  say "kubernetes $KUBE_VERSION, etcd $ETCD_VERSION, coredns $COREDNS_VERSION, kind $KIND_VERSION"
  write_sources
  if [ -f "$LOCK/go.mod" ] && grep -q "k8s.io/kubernetes v$KUBE_VERSION$" "$LOCK/go.mod" &&
      grep -q "sigs.k8s.io/kind v$KIND_VERSION$" "$LOCK/go.mod"; then
    cp "$LOCK/go.mod" "$LOCK/go.sum" "$MOD/"          # the exact modules of an earlier run
  else
    {
      printf 'module kindnode\n\ngo %s.0\n\nrequire (\n' "$GO_MIN"
      printf '\t%s\n' "k8s.io/kubernetes v$KUBE_VERSION" "go.etcd.io/etcd/server/v3 v$ETCD_VERSION" \
        "github.com/coredns/coredns v$COREDNS_VERSION" "sigs.k8s.io/kind v$KIND_VERSION" \
        "github.com/rancher/local-path-provisioner v$LPP_VERSION"
      printf ')\n\nreplace (\n'
      sed -n "s#^\s*\(k8s.io/[a-z0-9.-]*\) => ./staging/src/.*#\t\1 => \1 $staging#p" "$gomod"
      printf ')\n'
    } >"$MOD/go.mod"
    (cd "$MOD" && go mod tidy 2>"$WORK/tidy.log")
  fi
  ld="-s -w"
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ld+=" -X $p.gitVersion=v$KUBE_VERSION -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<<"$KUBE_VERSION")"
    ld+=" -X $p.gitTreeState=clean -X $p.gitCommit=$commit -X $p.buildDate=$date"
  done
  (cd "$MOD" && go build -trimpath -ldflags "$ld" -o "$BIN/" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kubeadm,kube-proxy,kubectl} \
    go.etcd.io/etcd/server/v3 sigs.k8s.io/kind ./pause ./coredns ./netd ./crictl ./probe)
  # on its own: it imports logrus under its old, capitalised path, which collides
  (cd "$MOD" && go build -trimpath -ldflags "-s -w" -o "$BIN/" github.com/rancher/local-path-provisioner)
  mv "$BIN/server" "$BIN/etcd"
  ls -lh "$BIN" | awk 'NR>1 {print $5, $9}'
}

# ---- rootfs -----------------------------------------------------------------
# The static files of kind's own base image come from kind's module; the Dockerfile
# there (images/base/Dockerfile) is followed, with apt's containerd, runc and CNI
# plugins in place of builds from git.
mm() {  # mm TAR PACKAGES [more options]
  local tar=$1 pkgs=$2; shift 2
  mmdebstrap --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --include="$pkgs" "$@" \
    "$SUITE" "$tar" "$APT_SOURCES" >"$tar.log" 2>&1 || { tail -20 "$tar.log"; return 1; }
}

do_rootfs() {
  local kind_src
  kind_src=$(cd "$MOD" && go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
  rm -rf "$WORK/files"; cp -r "$kind_src/images/base/files" "$WORK/files"; chmod -R u+w "$WORK/files"
  rm -rf "$WORK/files/LICENSES"
  find "$WORK/files" -type d -exec chmod 755 {} +
  chmod 755 "$WORK"/files/usr/local/bin/* "$WORK"/files/kind/bin/*
  cat >"$WORK/customize.sh" <<'E'
#!/bin/sh
set -eu
cp -rT "$KIND_FILES" "$1/"
chroot "$1" /bin/sh -eu <<'C'
find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
  /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
  /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
echo "ReadKMsg=no" >> /etc/systemd/journald.conf
[ -e /sbin/init ] || ln -s /usr/lib/systemd/systemd /sbin/init
# where kind's unit files and defaults look for what apt put elsewhere
for b in containerd ctr containerd-shim-runc-v2; do ln -sf /usr/bin/$b /usr/local/bin/$b; done
ln -sf /usr/sbin/runc /usr/local/sbin/runc
mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests /kind/manifests
rm -f /etc/cni/net.d/*
for b in host-local loopback ptp portmap bridge; do ln -sf /usr/lib/cni/$b /opt/cni/bin/$b; done
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service
# harmless elsewhere, needed where root may not lower an oom_score_adj
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
ctr oci spec | jq '.hooks.createContainer[.hooks.createContainer| length] |= . + {"path": "/kind/bin/mount-product-files.sh"}' |
  jq 'del(.process.rlimits)' > /etc/containerd/cri-base.json
C
E
  chmod +x "$WORK/customize.sh"
  KIND_FILES=$WORK/files mm "$WORK/base.tar" systemd,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,pigz,e2fsprogs,bash,ca-certificates,jq,procps,containerd,runc,containernetworking-plugins \
    --customize-hook="$WORK/customize.sh"
  # for kube-proxy and netd (iptables) and as the storage helper (a shell)
  mm "$WORK/slim.tar" iptables,nftables,conntrack,kmod,ca-certificates
  ls -lh "$WORK"/*.tar | awk '{print $5, $9}'
}

# ---- images -----------------------------------------------------------------
dbuild() { docker build -q -t "$1" "$2" 2>>"$WORK/docker-build.log"; }

mk() {  # mk IMAGE BASE BINARY: one binary, which is also the entry point
  local c=$WORK/ctx/$3
  rm -rf "$c"; mkdir -p "$c/bin"; cp "$BIN/$3" "$c/bin/"
  printf 'FROM %s\nCOPY bin/ /usr/local/bin/\nENV PATH=%s\nENTRYPOINT ["/usr/local/bin/%s"]\n' "$2" "$node_path" "$3" >"$c/Dockerfile"
  dbuild "$1" "$c" >/dev/null
  echo "$1" >>"$WORK/images.txt"
}

do_images() {
  local list b pause
  : >"$WORK/images.txt"
  docker import -c "ENV PATH=$node_path" "$WORK/slim.tar" localhost/slim:1 >/dev/null
  # the names come from kubeadm and from the node's containerd configuration
  list=$("$BIN/kubeadm" config images list --kubernetes-version "v$KUBE_VERSION")
  pause=$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$WORK/files/etc/containerd/config.toml")
  name() { grep "/$1:" <<<"$list" | head -1; }
  for b in kube-apiserver kube-controller-manager kube-scheduler etcd coredns; do mk "$(name $b)" scratch $b; done
  mk "$(name kube-proxy)" localhost/slim:1 kube-proxy
  mk "$pause" scratch pause
  mk localhost/kind-netd:1 localhost/slim:1 netd
  mk localhost/local-path-provisioner:1 scratch local-path-provisioner
  docker tag localhost/slim:1 localhost/local-path-helper:1; echo localhost/local-path-helper:1 >>"$WORK/images.txt"
  xargs docker save -o "$WORK/images.tar" <"$WORK/images.txt"
  wc -l <"$WORK/images.txt"; ls -lh "$WORK/images.tar" | awk '{print $5, $9}'
}

# ---- node -------------------------------------------------------------------
write_manifests() {
  local kind_src
  kind_src=$(cd "$MOD" && go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
  cat >"$1/default-cni.yaml" <<'E'
# would you kindly template this file
apiVersion: v1
kind: ServiceAccount
metadata: {name: netd, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: netd}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: netd}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: netd}
subjects:
- {kind: ServiceAccount, name: netd, namespace: kube-system}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: netd, namespace: kube-system}
spec:
  selector: {matchLabels: {app: netd}}
  template:
    metadata: {labels: {app: netd}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      priorityClassName: system-node-critical
      serviceAccountName: netd
      containers:
      - name: netd
        image: localhost/kind-netd:1
        imagePullPolicy: IfNotPresent
        env:
        - name: NODE_NAME
          valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
        - name: POD_SUBNET
          value: "{{ .PodSubnet }}"
        securityContext:
          capabilities: {add: [NET_ADMIN, NET_RAW]}
        volumeMounts:
        - {name: cni, mountPath: /etc/cni/net.d}
        - {name: lock, mountPath: /run/xtables.lock}
      volumes:
      - name: cni
        hostPath: {path: /etc/cni/net.d}
      - name: lock
        hostPath: {path: /run/xtables.lock, type: FileOrCreate}
E
  # kind's own storage manifest, with our image names
  sed -n '/^const defaultStorageManifest = `/,$p' "$kind_src/pkg/build/nodeimage/const_storage.go" |
    sed -e 1d -e 's/^`$//' -e 's#` + storageProvisionerImage + `#localhost/local-path-provisioner:1#' \
      -e 's#` + storageHelperImage + `#localhost/local-path-helper:1#' >"$1/default-storage.yaml"
  ! grep -n '`' "$1/default-storage.yaml"   # kind changed its source: look again
}

do_node() {
  local c=$WORK/ctx/base n=kind-node-build-$$
  rm -rf "$c"; mkdir -p "$c"; ln "$WORK/base.tar" "$c/base.tar"
  cat >"$c/Dockerfile" <<E
FROM scratch
ADD base.tar /
ENV container=docker PATH=$node_path
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
E
  dbuild localhost/kind-base:1 "$c" >/dev/null
  c=$WORK/ctx/node
  rm -rf "$c"; mkdir -p "$c"/{bin,sbin,manifests}
  cp "$BIN"/{kubelet,kubeadm,kubectl} "$c/bin/"; cp "$BIN/crictl" "$c/sbin/"
  write_manifests "$c/manifests"
  printf 'v%s' "$KUBE_VERSION" >"$c/version"
  cat >"$c/Dockerfile" <<'E'
FROM localhost/kind-base:1
COPY bin/ /usr/bin/
COPY sbin/ /usr/local/bin/
COPY manifests/ /kind/manifests/
COPY version /kind/version
E
  dbuild localhost/kind-node-pre:1 "$c" >/dev/null
  # preload the images into the node's containerd, as `kind build node-image` does
  docker run -d --name "$n" --entrypoint sleep --security-opt seccomp=unconfined localhost/kind-node-pre:1 infinity >/dev/null
  docker exec "$n" bash -c 'nohup containerd >/dev/null 2>&1 & for i in $(seq 20); do ctr version >/dev/null 2>&1 && exit; sleep 0.5; done; exit 1'
  docker exec -i "$n" ctr --namespace=k8s.io images import --all-platforms --no-unpack - <"$WORK/images.tar" >"$WORK/import.log"
  docker exec "$n" bash -c 'ctr -n k8s.io images ls -q | grep -v ^sha256: | wc -l; pkill containerd; sleep 1'
  docker commit --change 'ENTRYPOINT [ "/usr/local/bin/entrypoint", "/sbin/init" ]' "$n" "$NODE_IMAGE" >/dev/null
  docker rm -f "$n" >/dev/null
  docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' "$NODE_IMAGE"
}

# ---- verify -----------------------------------------------------------------
do_verify() {
  export KUBECONFIG=$WORK/kubeconfig PATH=$BIN:$PATH
  local c=$WORK/ctx/probe
  rm -rf "$c"; mkdir -p "$c/bin"; cp "$BIN/probe" "$c/bin/"
  printf 'FROM scratch\nCOPY bin/ /\nENTRYPOINT ["/probe"]\n' >"$c/Dockerfile"
  dbuild localhost/probe:dev "$c" >/dev/null
  kind create cluster --name "$CLUSTER" --image "$NODE_IMAGE" --wait 180s
  kubectl get nodes -o wide
  kind load docker-image localhost/probe:dev --name "$CLUSTER"
  kubectl apply -f - <<'E'
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe}
spec:
  replicas: 2
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      containers:
      - {name: probe, image: "localhost/probe:dev", imagePullPolicy: Never, readinessProbe: {httpGet: {path: /, port: 8080}}}
---
apiVersion: v1
kind: Service
metadata: {name: probe}
spec: {selector: {app: probe}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: client}
spec:
  backoffLimit: 20
  template:
    spec:
      restartPolicy: OnFailure
      volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]
      containers:
      - {name: c, image: "localhost/probe:dev", imagePullPolicy: Never, args: [get, "http://probe.default.svc.cluster.local/"], volumeMounts: [{name: d, mountPath: /data}]}
E
  kubectl wait --for=condition=Available deploy/probe --timeout=120s
  kubectl wait --for=condition=Complete job/client --timeout=180s
  kubectl logs job/client
  kubectl get pods,pvc -A -o wide
  [ -n "${KEEP:-}" ] || kind delete cluster --name "$CLUSTER"
}

# ---- main -------------------------------------------------------------------
[ $# -gt 0 ] || set -- deps go rootfs images node
TIMEFORMAT='   wall %R s, user %U s, sys %S s'
for s; do
  say "$s"
  time "do_$s"
done
say "total wall $SECONDS s"
