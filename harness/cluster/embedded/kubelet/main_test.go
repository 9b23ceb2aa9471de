package kubelet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// The test of the whole (cluster_test.go) needs a control plane and namespaces of its
// own. It starts the test binary again in such namespaces; the test binary is also the
// program that runs in its containers.
const (
	stageVariable  = "KUBELET_TEST_STAGE" // enter, then inside
	programCommand = "test-program"
	// programsVariable may name a folder that holds etcd, kube-apiserver,
	// kube-controller-manager and kube-scheduler.
	programsVariable = "KUBELET_TEST_PROGRAMS"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case runtime.InitCommand:
			os.Exit(runtime.InitMain(os.Args[2:]))
		case programCommand:
			os.Exit(testProgram(os.Args[2:]))
		}
	}
	if os.Getenv(stageVariable) == "inside" {
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("proc", "/proc", "proc", 0, "")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// controlPlanePrograms are the paths of the control plane's programs.
type controlPlanePrograms struct{ etcd, apiServer, controllerManager, scheduler string }

// findPrograms skips the test where the programs have not been built.
func findPrograms(t *testing.T) controlPlanePrograms {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return controlPlanePrograms{
			filepath.Join(dir, "etcd"), filepath.Join(dir, "kube-apiserver"),
			filepath.Join(dir, "kube-controller-manager"), filepath.Join(dir, "kube-scheduler"),
		}
	}
	store, err := components.New(components.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := []components.Name{components.Etcd, components.KubeAPIServer, components.KubeControllerManager, components.KubeScheduler}
	if !store.Complete(names...) {
		skip.Missing(t, "the control plane's programs are not built: make components builds them")
	}
	set, err := store.Obtain(t.Context(), nil, names...)
	if err != nil {
		t.Fatal(err)
	}
	return controlPlanePrograms{set.Path(names[0]), set.Path(names[1]), set.Path(names[2]), set.Path(names[3])}
}

// findCoreDNS skips the test where it has not been built.
func findCoreDNS(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return filepath.Join(dir, "coredns")
	}
	store, err := components.New(components.Options{Traffic: true})
	if err != nil {
		t.Fatal(err)
	}
	if !store.Complete(components.CoreDNS) {
		skip.Missing(t, "CoreDNS is not built: meshbench components --traffic builds it")
	}
	set, err := store.Obtain(t.Context(), nil, components.CoreDNS)
	if err != nil {
		t.Fatal(err)
	}
	return set.Path(components.CoreDNS)
}

// sandboxed runs the calling test again in namespaces of its own and reports whether this
// is that run.
//
// more are programs that it needs besides those of the control plane, by the names that they
// are found by there.
func sandboxed(t *testing.T, more ...func(*testing.T) string) bool {
	t.Helper()
	if os.Getenv(stageVariable) == "inside" {
		return true
	}
	if testing.Short() {
		skip.Missing(t, "starts a control plane: left out by -short")
	}
	p := findPrograms(t)
	dir := t.TempDir()
	programs := map[string]string{
		"etcd": p.etcd, "kube-apiserver": p.apiServer,
		"kube-controller-manager": p.controllerManager, "kube-scheduler": p.scheduler,
	}
	for _, find := range more {
		path := find(t)
		programs[filepath.Base(path)] = path
	}
	for name, path := range programs {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), stageVariable+"=inside", programsVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			skip.NotHere(t, "namespaces are refused here: %v", err)
		}
		t.Fatal(err)
	}
	return false
}

// testProgram is what tests run in containers.
func testProgram(args []string) int {
	fmt.Println("started", strings.Join(args, " "))
	switch args[0] {
	case "serve": // PORT: answer until SIGTERM; after /fail/PATH that path fails; by UDP, too
		go answerUDP(":" + args[1])
		var failing sync.Map
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if _, ok := failing.Load(r.URL.Path); ok {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, "hello from ", os.Getenv("HOSTNAME"))
		})
		mux.HandleFunc("/fail/{what}", func(_ http.ResponseWriter, r *http.Request) { failing.Store("/"+r.PathValue("what"), true) })
		mux.HandleFunc("/exit/{code}", func(_ http.ResponseWriter, r *http.Request) {
			code, _ := strconv.Atoi(r.PathValue("code"))
			fmt.Println("exit", code)
			os.Exit(code)
		})
		go http.ListenAndServe(":"+args[1], mux)
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
		fmt.Println("terminated")
		return 0
	case "get": // URL
		response, err := http.Get(args[1])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		response.Write(os.Stdout)
		return 0
	case "lookup": // KIND NAME: as JSON
		json.NewEncoder(os.Stdout).Encode(lookup(args[1], args[2]))
		return 0
	case "dial": // NETWORK ADDRESS TIMES: what it says, or why not, as JSON
		json.NewEncoder(os.Stdout).Encode(dialAll(args[1], args[2], args[3]))
		return 0
	case "exit": // CODE
		code, _ := strconv.Atoi(args[1])
		return code
	case "allocate": // MEBIBYTES
		mebibytes, _ := strconv.Atoi(args[1])
		memory := make([]byte, mebibytes<<20)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		time.Sleep(time.Hour)
		return int(memory[0])
	case "wait": // FILE: until it is there
		for {
			if _, err := os.Stat(args[1]); err == nil {
				return 0
			}
			time.Sleep(10 * time.Millisecond)
		}
	case "show": // FILE...: the environment and the files, as JSON
		shown := map[string]string{}
		for _, v := range os.Environ() {
			name, value, _ := strings.Cut(v, "=")
			shown[name] = value
		}
		for _, file := range args[1:] {
			data, err := os.ReadFile(file)
			if err != nil {
				data = []byte(err.Error())
			}
			shown[file] = string(data)
		}
		json.NewEncoder(os.Stdout).Encode(shown)
		return 0
	}
	return 99
}
