// Package footprint tells what commands of the program have left on the machine: what of it is
// theirs is known by following their processes, so that other commands, of the same suite or of
// anybody else, may run beside them.
package footprint
