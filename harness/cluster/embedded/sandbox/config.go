package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
)

// Command is the hidden command that [Main] serves: the provider starts its own
// executable with this word as first argument.
const Command = "sandbox"

// File descriptors that the sandbox process is started with, beside standard output
// and error, which go to the sandbox's log.
const (
	// ConfigFD is a file that holds the Config as JSON.
	ConfigFD = 3 + iota
	// ListenerFD is a listener made in the network namespace of the host, of TCP or of a socket.
	ListenerFD
	// EventFD takes Events as lines of JSON.
	EventFD
	// LockFD is the state folder, locked (flock) for as long as anybody holds it.
	LockFD
	// LifelineFD ends when the process that made the cluster has ended; see Detach.
	LifelineFD
	endFD
)

// Detach is what the maker writes on the lifeline before it lets go of a cluster that
// shall outlive it. A lifeline that ends without it ends the cluster.
const Detach = 'd'

// Config is what a sandbox is told.
type Config struct {
	// Name of the cluster.
	Name string
	// State is the folder with the control socket and the kubeconfig. The sandbox
	// removes it when it ends.
	State string
	// Logs is the folder for logs. It stays.
	Logs string
	// Server is the URL at which the host reaches the listener.
	Server string
	// Nodes, MostNodes, RealPerDeployment, LightPerDeployment, RealFor: see cluster.Spec.
	Nodes              []cluster.NodeGroup
	MostNodes          int
	RealPerDeployment  int
	LightPerDeployment int
	RealFor            []string
	// Applications: see cluster.Spec.
	Applications *cluster.Applications
	// System: see cluster.Spec.
	System *cluster.System
	// Programs run where Applications do.
	Programs []Program
	// Memory is how memory is read.
	Memory runtime.MemoryMode
	// Components are the programs.
	Components components.Set
	// Upgrades are those of further versions of Istio, which the mesh may be brought to.
	Upgrades []components.Set
}

// domain ends the names of Services.
func (c Config) domain() string {
	if c.System == nil {
		return kubelet.DefaultDomain
	}
	return cmp.Or(c.System.Domain, kubelet.DefaultDomain)
}

// Event is a line that the sandbox tells its maker.
type Event struct {
	// Status says what is being done; each replaces the last.
	Status string `json:",omitempty"`
	// Ready is set once when the cluster stands.
	Ready bool `json:",omitempty"`
	// Error is why the sandbox gives up. It is told as soon as it is known: clearing away
	// and ending come after it. A second one adds what went wrong in that.
	Error string `json:",omitempty"`
}

// events writes Events.
type events struct{ file *os.File }

func (e events) send(event Event) {
	line, err := json.Marshal(event)
	if err != nil {
		panic(err) // strings and numbers are always encodable
	}
	// The maker may be gone; that is noticed on the lifeline.
	_, _ = e.file.Write(append(line, '\n'))
}

func (e events) status(format string, args ...any) {
	e.send(Event{Status: fmt.Sprintf(format, args...)})
}

// SocketName is the name of the control socket in the state folder.
const SocketName = "control.sock"

// APISocketName is the name of the socket at which the API server is reached, in the state folder.
const APISocketName = "api.sock"

// KubeconfigName is the name of the host's kubeconfig in the state folder.
const KubeconfigName = "kubeconfig"
