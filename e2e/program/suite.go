package program

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Prepare is what the first process of a suite does for all: it makes the folder for the runs,
// in that for temporary files and with a short prefix, since paths of sockets are limited; builds
// the program into it; and obtains the components.
func Prepare(prefix string) *Lab {
	GinkgoHelper()
	work, err := os.MkdirTemp("", prefix)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(work, 0o755)).To(Succeed())
	binary, err := Build(work)
	Expect(err).NotTo(HaveOccurred())
	l := NewLab(work, binary)
	By("obtaining the components, which may take a quarter of an hour the first time")
	l.Invoker.Run(30*time.Minute, "components", "--traffic").Succeeds()
	return l
}

// End ends a process of a suite. l may be nil.
func (l *Lab) End() {
	GinkgoHelper()
	if l != nil {
		l.Kill()
		l.Clean()
	}
}

// Tell shows, of a spec that failed, what its last commands said, and notes in the folder of the
// suite's runs that it is to be kept. l may be nil.
func (l *Lab) Tell(work string, report SpecReport) {
	if !report.Failed() {
		return
	}
	_ = os.WriteFile(failures(work), nil, 0o644)
	if l == nil {
		return
	}
	commands := l.Commands()
	for _, c := range commands[max(0, len(commands)-2):] {
		fmt.Fprintln(GinkgoWriter, c.Story())
	}
}

// Remove removes the folder of a suite's runs, unless a spec has failed in any process.
func Remove(work string) {
	GinkgoHelper()
	if _, err := os.Stat(failures(work)); err == nil {
		fmt.Printf("the runs' folders are kept in %s\n", work)
		return
	}
	Expect(os.RemoveAll(work)).To(Succeed())
}

// failures is a file that is there once a spec has failed.
func failures(work string) string { return filepath.Join(work, "failures") }
