package scenarios

// Apply creates or updates the objects of a manifest by server-side apply, in order.
// Exactly one of Manifest and File is given.
type Apply struct {
	// Manifest is YAML, several documents allowed. Every object names its namespace.
	Manifest string `yaml:"manifest,omitempty"`
	// File is the path of such a manifest, relative to the scenario file and below its
	// folder. A rendered scenario has its text in Manifest and no File. Expressions in the
	// file are not evaluated.
	File string `yaml:"file,omitempty"`
}

// Word returns apply.
func (*Apply) Word() string { return "apply" }

// String tells the change in a few words.
func (*Apply) String() string { return "apply a manifest" }
