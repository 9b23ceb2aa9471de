// Package e2e holds the end-to-end tests: they build the program and use it as its user
// does, on the embedded cluster, with the real istioctl and kubectl as judges. They take
// a quarter of an hour on two cores and run only when MESHBENCH_E2E is set:
//
//	MESHBENCH_E2E=1 go test ./e2e -timeout 60m -v
//	MESHBENCH_E2E=1 go test ./e2e -timeout 60m -v -ginkgo.label-filter='shapes || up'
//
// Labels: eks, user, shapes, up, leftovers, versions, and what further files say. As root
// everything runs; as an ordinary user what needs root is skipped. Label nightly is what make
// test leaves out for its time: further versions to build, further ways to the same end.
package e2e
