package instances

import (
	"errors"
	"slices"
	"testing"
)

// Pod limits are from awslabs/amazon-eks-ami's eni-max-pods.txt.
func TestShapes(t *testing.T) {
	for _, want := range []struct {
		name    string
		cpus    int
		memory  int64
		maxPods int
	}{
		{"m6i.large", 2, 8 * Gi, 29},
		{"m6i.xlarge", 4, 16 * Gi, 58},
		{"m6i.4xlarge", 16, 64 * Gi, 234},
		{"m6i.16xlarge", 64, 256 * Gi, 737},
		{"m6i.32xlarge", 128, 512 * Gi, 737},
		{"m5.24xlarge", 96, 384 * Gi, 737},
		{"m6a.48xlarge", 192, 768 * Gi, 737},
		{"c6i.2xlarge", 8, 16 * Gi, 58},
		{"r6i.12xlarge", 48, 384 * Gi, 234},
		{"t3.micro", 2, 1 * Gi, 4},
		{"t3.small", 2, 2 * Gi, 11},
		{"t3.medium", 2, 4 * Gi, 17},
		{"t3.large", 2, 8 * Gi, 35},
		{"t3.2xlarge", 8, 32 * Gi, 58},
	} {
		got, err := Lookup(want.name)
		if err != nil {
			t.Errorf("%s: %v", want.name, err)
			continue
		}
		if got.CPUs != want.cpus || got.Memory != want.memory || got.MaxPods() != want.maxPods {
			t.Errorf("%s: got %d CPUs, %d bytes, %d pods; want %d, %d, %d", want.name,
				got.CPUs, got.Memory, got.MaxPods(), want.cpus, want.memory, want.maxPods)
		}
	}
}

func TestAllocatable(t *testing.T) {
	for _, want := range []struct {
		name     string
		maxPods  int
		milliCPU int64
		memory   int64
		pods     int
	}{
		// The CPU figures are those that nodes of these types report on EKS.
		{"m6i.large", 0, 1930, 8*Gi - (11*29+255+100)*Mi, 29},
		{"m6i.large", 110, 1930, 8*Gi - (11*29+255+100)*Mi, 110},
		{"m6i.xlarge", 0, 3920, 16*Gi - (11*58+255+100)*Mi, 58},
		{"m6i.2xlarge", 0, 7910, 32*Gi - (11*58+255+100)*Mi, 58},
		{"m6i.4xlarge", 0, 15890, 64*Gi - (11*234+255+100)*Mi, 234},
		{"m6i.32xlarge", 0, 127610, 512*Gi - (11*737+255+100)*Mi, 737},
	} {
		typ, err := Lookup(want.name)
		if err != nil {
			t.Fatal(err)
		}
		got := typ.Allocatable(want.maxPods)
		if got.MilliCPU != want.milliCPU || got.Memory != want.memory || got.Pods != want.pods {
			t.Errorf("%s with maxPods %d: got %+v, want %+v", want.name, want.maxPods, got, want)
		}
	}
}

func TestAllocatableIsLessThanCapacity(t *testing.T) {
	for _, typ := range Types() {
		c, a := typ.Capacity(0), typ.Allocatable(0)
		if a.MilliCPU <= 0 || a.MilliCPU >= c.MilliCPU || a.Memory <= 0 || a.Memory >= c.Memory || a.Storage <= 0 || a.Storage >= c.Storage || a.Pods != c.Pods {
			t.Errorf("%s: allocatable %+v of capacity %+v", typ.Name, a, c)
		}
	}
}

func TestLookupUnknown(t *testing.T) {
	for name, near := range map[string]string{
		"m6i.larg":     "m6i.large",
		"m6i-large":    "m6i.large",
		"m6i.23xlarge": "m6i.2xlarge",
		"t3.mediun":    "t3.medium",
		"":             "m5.large",
	} {
		_, err := Lookup(name)
		var unknown *UnknownTypeError
		if !errors.As(err, &unknown) {
			t.Errorf("Lookup(%q) = %v, want an UnknownTypeError", name, err)
			continue
		}
		if name != "" && !slices.Contains(unknown.Near, near) {
			t.Errorf("near %q: got %v, want %s among them", name, unknown.Near, near)
		}
		if len(unknown.Near) != 3 {
			t.Errorf("near %q: got %v, want three names", name, unknown.Near)
		}
	}
}
