package sample

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/observations"
)

// SelfCost is what this process has cost so far: its CPU time (getrusage(2), user and
// system) and its resident memory now (VmRSS of /proc/self/status). Child processes,
// the cluster's among them, are not in it.
func SelfCost() (observations.Cost, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return observations.Cost{}, fmt.Errorf("read this process's CPU time: %w", err)
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())

	status, err := os.Open("/proc/self/status")
	if err != nil {
		return observations.Cost{}, fmt.Errorf("read this process's memory: %w", err)
	}
	defer status.Close()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return observations.Cost{}, fmt.Errorf("read VmRSS of /proc/self/status: %w", err)
		}
		return observations.Cost{CPUSeconds: cpu.Seconds(), MemoryBytes: kib << 10}, nil
	}
	return observations.Cost{}, fmt.Errorf("/proc/self/status has no VmRSS: %w", lines.Err())
}
