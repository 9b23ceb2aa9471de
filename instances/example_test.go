package instances_test

import (
	"fmt"

	"github.com/meshbench/meshbench/instances"
)

// What a node of EKS offers to pods, and how many it takes.
func ExampleType_Allocatable() {
	large, err := instances.Lookup("m6i.large")
	if err != nil {
		fmt.Println(err)
		return
	}
	free := large.Allocatable(0) // with the type's own pod limit
	fmt.Printf("%s: %d pods, %d of %d MiB, %d of %d millicores\n", large.Name, free.Pods,
		free.Memory/instances.Mi, large.Memory/instances.Mi, free.MilliCPU, 1000*large.CPUs)
	// Output: m6i.large: 29 pods, 7518 of 8192 MiB, 1930 of 2000 millicores
}

// A name that is misspelled is answered with those closest to it.
func ExampleLookup() {
	_, err := instances.Lookup("m6i.lagre")
	fmt.Println(err)
	// Output: unknown instance type "m6i.lagre": did you mean m6i.large, m6i.xlarge, m6a.large?
}
