package main

import (
	"errors"
	"io"
	"log"
	"os"
	"testing"

	"k8s.io/klog/v2"
)

// TestQuiet holds that what client libraries log does not get among what the program says.
func TestQuiet(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write
	t.Cleanup(func() {
		os.Stderr = stderr
		log.SetOutput(stderr)
		klog.ClearLogger()
	})
	quiet()
	klog.ErrorS(errors.New("connection reset"), "Failed to watch")
	klog.Error("unhandled")
	klog.Flush()
	log.Print("TLS handshake error")
	write.Close()
	if said, err := io.ReadAll(read); err != nil || len(said) > 0 {
		t.Errorf("said %q, %v", said, err)
	}
}
