package faults

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// holdVariable makes this program one that holds something until it is ended.
const holdVariable = "MESHBENCH_FAULTS_HOLD"

func TestMain(m *testing.M) {
	switch what := os.Getenv(holdVariable); what {
	case "":
		os.Exit(m.Run())
	case "inotify":
		for {
			if _, err := unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
				break // that was the last one
			}
		}
	case "memory":
		// All that there is: whoever has to go for it is chosen by the kernel.
		var held [][]byte
		fmt.Println("holding")
		for {
			piece := make([]byte, 4<<20)
			for i := 0; i < len(piece); i += 4096 {
				piece[i] = 1
			}
			held = append(held, piece)
			runtime.KeepAlive(held)
		}
	default:
		fmt.Fprintln(os.Stderr, "cannot hold", what)
		os.Exit(2)
	}
	fmt.Println("holding")
	select {}
}
