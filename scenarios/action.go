package scenarios

// Change is what one action does to the cluster. Each kind of action is a type of its
// own, in a file of its own, listed in [changes]; the harness does them.
type Change interface {
	// Word is the action's key in a scenario file: scale.
	Word() string
	// String tells the change in a few words: scale ns1/test to 100.
	String() string
	// check notes what is wrong with the change and what the cluster holds after it, and
	// returns what else the change needs.
	check(c *checker) needs
}

// changes lists every kind of action. A new kind is a new file and a line here.
func changes() []Change {
	return []Change{
		&Namespace{}, &Deployment{}, &Scale{}, &Expose{}, &Delete{}, &Restart{}, &Nodes{}, &Apply{}, &Revisions{}, &Upgrade{},
	}
}

// Kinds returns an empty change of every kind of action, for whoever must know all of them.
func Kinds() []Change { return changes() }

// Action is one change to the cluster. In a scenario file it is a mapping with one key,
// the action's word: {scale: {namespace: ns1, deployment: test, replicas: 100}}. A second
// key, repeat, writes the action once for each value of a variable; a rendered scenario
// holds the copies.
type Action struct {
	// Change is a pointer to one of this package's action types.
	Change Change `yaml:"-"`
}

// Repeat writes an action once for each value of a variable, both ends included. One
// less than From as To makes no copy.
type Repeat struct {
	// Var is the variable's name in expressions of the action.
	Var string `yaml:"var" jsonschema:"required"`
	// From is the first value.
	From int `yaml:"from" jsonschema:"required"`
	// To is the last value.
	To int `yaml:"to" jsonschema:"required"`
}

// MarshalYAML writes the action as a mapping with its word as the key.
func (a Action) MarshalYAML() (any, error) {
	return map[string]Change{a.Change.Word(): a.Change}, nil
}
