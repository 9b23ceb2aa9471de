package kubelet

import (
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/harness/kube/informers"
)

// Unless applications run (see [Services]) there is no DNS in the embedded cluster. What
// sidecars must find by name is istiod; so the Services of istiod stand in every real pod's hosts file, and those of Knative
// Serving in its own pods', with the addresses of the ready endpoints because there is no
// kube-proxy either. No others do: every change of a Service in the files would be a
// change of all files, and experiments make thousands of Services.

// namedServices are Services that stand in the hosts file of pods, with their endpoints.
type namedServices struct {
	*informers.Factory
	// pods is the namespace of the pods that find them; "" for all.
	pods string
}

// istiodSelector selects the Services of istiod, and their EndpointSlices, which have
// the labels of their Service.
const istiodSelector = "app=istiod"

// knativeNamespace is that of Knative Serving, whose parts find one another by name: the
// activator asks the autoscaler.
const knativeNamespace = "knative-serving"

// serviceHost is a Service and the addresses that stand for it.
type serviceHost struct {
	pods            string // namespace of the pods that find it; "" for all
	namespace, name string
	addresses       []string // sorted
}

// serviceHosts finds the ready endpoints of Services that pods of a namespace, or all
// (""), find by name.
func serviceHosts(pods string, services []*corev1.Service, endpoints []*discoveryv1.EndpointSlice) []serviceHost {
	var hosts []serviceHost
	for _, s := range services {
		host := serviceHost{pods: pods, namespace: s.Namespace, name: s.Name}
		for _, slice := range endpoints {
			if slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					host.addresses = append(host.addresses, e.Addresses...)
				}
			}
		}
		slices.Sort(host.addresses)
		host.addresses = slices.Compact(host.addresses)
		hosts = append(hosts, host)
	}
	slices.SortFunc(hosts, func(a, b serviceHost) int {
		return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name)
	})
	return hosts
}

// hostsFile is the pod's /etc/hosts. Each pod begins at another endpoint of a Service
// (turn), so that several istiods share the proxies. Names of Services end in the domain.
func hostsFile(pod *corev1.Pod, services []serviceHost, turn uint32, domain string) []byte {
	var out strings.Builder
	out.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if pod.Status.PodIP != "" {
		name := hostname(pod)
		if pod.Spec.Subdomain != "" {
			name = fmt.Sprintf("%s.%s.%s.svc.%s\t%s", name, pod.Spec.Subdomain, pod.Namespace, domain, name)
		}
		fmt.Fprintf(&out, "%s\t%s\n", pod.Status.PodIP, name)
	}
	for _, alias := range pod.Spec.HostAliases {
		fmt.Fprintf(&out, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, " "))
	}
	for _, s := range services {
		if s.pods != "" && s.pods != pod.Namespace {
			continue
		}
		name := s.name + "." + s.namespace
		for i := range s.addresses {
			address := s.addresses[(uint32(i)+turn)%uint32(len(s.addresses))]
			fmt.Fprintf(&out, "%s\t%s %s %s.svc %s.svc.%s\n", address, s.name, name, name, name, domain)
		}
	}
	return []byte(out.String())
}

// overwrite makes data the content of the file without making it a new file, since the
// file is bound into running containers. A reader sees the old or the new content, or
// for a moment the new with the old's tail.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// writeHosts writes the pod's hosts file by the present endpoints: for the first time, or
// again. A file that was not yet written need not be, it will have the new endpoints.
func (p *pod) writeHosts(first bool) error {
	p.hosts.Lock()
	defer p.hosts.Unlock()
	if p.living.Err() != nil || !first && !p.hasHosts {
		return nil
	}
	turn := fnv.New32a()
	turn.Write([]byte(p.uid))
	if err := overwrite(p.hostsFile(), hostsFile(p.withStatus(), p.node.manager.serviceHosts(), turn.Sum32(), p.node.manager.config.Domain)); err != nil {
		return err
	}
	p.hasHosts = true
	return nil
}

// updateHosts reads the endpoints of the Services that pods find by name and brings the
// hosts files of all real pods up to date.
func (m *Manager) updateHosts() {
	var hosts []serviceHost
	for _, named := range m.named {
		services, err := named.Core().Services().Lister().List(labels.Everything())
		if err != nil {
			m.log.Error("list Services that pods find by name", "err", err)
			return
		}
		endpoints, err := named.Discovery().EndpointSlices().Lister().List(labels.Everything())
		if err != nil {
			m.log.Error("list endpoints of Services that pods find by name", "err", err)
			return
		}
		hosts = append(hosts, serviceHosts(named.pods, services, endpoints)...)
	}
	m.mu.Lock()
	m.hosts = hosts
	m.mu.Unlock()
	if process := m.speakers.present(); process != nil {
		if err := process.SetHosts(m.background, m.hostAddresses()); err != nil && m.background.Err() == nil && process.Err() == nil {
			m.log.Error("tell light proxies where istiod is", "err", err)
		}
	}
	for _, n := range m.list() {
		for _, p := range n.live() {
			if err := p.writeHosts(false); err != nil {
				m.log.Error("write hosts file", "pod", p.key(), "err", err)
			}
			if err := p.trust(); err != nil {
				m.log.Error("let the agent reach istiod", "pod", p.key(), "err", err)
			}
		}
	}
}

func (m *Manager) serviceHosts() []serviceHost {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hosts
}
