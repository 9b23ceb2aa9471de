package footprint

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// Host is what clusters must not change on the machine, whosever they are: the mounts and the
// network interfaces that this process sees.
type Host struct{ mounts, interfaces map[string]bool }

// ReadHost looks at the machine.
func ReadHost() (Host, error) {
	s := Host{map[string]bool{}, map[string]bool{}}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Host{}, fmt.Errorf("read the machine's mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		s.mounts[strings.TrimSpace(line)] = true
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return Host{}, fmt.Errorf("list the machine's network interfaces: %w", err)
	}
	for _, i := range interfaces {
		s.interfaces[i.Name] = true
	}
	return s, nil
}

// Since lists the mounts and interfaces of the machine that were not there before.
func (s Host) Since(before Host) (news []string) {
	for m := range s.mounts {
		if !before.mounts[m] {
			news = append(news, "mount "+m)
		}
	}
	for i := range s.interfaces {
		if !before.interfaces[i] {
			news = append(news, "interface "+i)
		}
	}
	return news
}
