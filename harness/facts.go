package harness

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/observations"
)

// hostFacts describe this machine for the record.
func hostFacts() (observations.Host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return observations.Host{}, fmt.Errorf("reading the kernel's version: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return observations.Host{}, fmt.Errorf("reading the machine's memory: %w", err)
	}
	release, _, _ := bytes.Cut(name.Release[:], []byte{0})
	return observations.Host{
		OS:     runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: strings.TrimSpace(string(release)),
		CPUs:   runtime.NumCPU(),
		Memory: int64(info.Totalram) * int64(info.Unit),
		Root:   os.Geteuid() == 0,
	}, nil
}
