// Package faults holds a suite that makes faults in real runs on the embedded cluster and looks
// what becomes of them: docs/reliability.md says what must. A fault is a value ([Fault] in
// fault_test.go); what it costs to add one is that value. The suite runs only when MESHBENCH_E2E
// is set:
//
//	make faults [SEED=n] [FAULT=words] [LABELS='!nightly']
package faults
