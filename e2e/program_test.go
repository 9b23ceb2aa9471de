package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/meshbench/meshbench/e2e/program"
)

// identity is a user of the program whose commands can do what the files of this package add
// to them.
type identity struct{ *program.Identity }

// command is one use of the program.
type command struct{ *program.Command }

// start runs the program in the background.
func (who *identity) start(args ...string) *command {
	GinkgoHelper()
	return &command{who.Start(args...)}
}

// startRun starts `meshbench run` with a new folder.
func (who *identity) startRun(scenario string, args ...string) *command {
	GinkgoHelper()
	return &command{who.StartRun(scenario, args...)}
}

// run runs the program to its end.
func (who *identity) run(limit time.Duration, args ...string) *command {
	GinkgoHelper()
	return &command{who.Run(limit, args...)}
}

// ordinary is the ordinary user once there is one.
var ordinary *identity

// ordinaryUser is the suite's own user, or another one where that is root.
func ordinaryUser() *identity {
	GinkgoHelper()
	if ordinary == nil {
		ordinary = &identity{lab.Ordinary()}
		if ordinary.Identity == invoker.Identity {
			ordinary = invoker
		}
	}
	return ordinary
}
