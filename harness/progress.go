package harness

// Progress is told where a run is. Implementations must be safe for concurrent use;
// package cmd/meshbench has one for terminals and one for logs.
type Progress interface {
	// Phase opens a part of the work that takes its time: "cluster", "mesh", or a
	// step's name.
	Phase(name string)
	// Status says what is being done inside the phase; each call replaces the last.
	Status(format string, args ...any)
	// Note is a line that stays.
	Note(format string, args ...any)
}
