package scenarios

// Change is what one action does to the cluster. Each kind of action has its own type in
// its own file and is listed in [changes]; the harness carries changes out.
type Change interface {
	// Word is the action's key in a scenario file: scale.
	Word() string
	// String describes the change in a few words: scale ns1/test to 100.
	String() string
	// check notes problems with the change and its effect on the cluster, and returns the
	// change's further needs.
	check(c *checker) needs
	// place gives the namespaces that the change names the names that they have on the
	// cluster, before it is checked; see [Scenario.InNamespaces].
	place(p *placement)
}

// changes lists every kind of action. A new kind is a new file and a line here.
func changes() []Change {
	return []Change{
		&Namespace{}, &Deployment{}, &StatefulSet{}, &DaemonSet{}, &Job{}, &CronJob{}, &Scale{}, &Expose{}, &Delete{}, &Restart{},
		&Nodes{}, &Apply{}, &Revisions{}, &Upgrade{}, &Pause{}, &Churn{}, &Traffic{}, &Call{}, &Gateway{},
		&Graph{}, &Scope{}, &Walk{}, &Probe{},
	}
}

// Kinds returns an empty change of every kind of action, for code that must handle all.
func Kinds() []Change { return changes() }

// Action is one change to the cluster. In a scenario file it is a mapping with one key,
// the action's word: {scale: {namespace: ns1, deployment: test, replicas: 100}}. A second
// key, repeat, expands the action once for each value of a variable. With the key actions in
// place of a word, a list of actions is expanded, all of them in order for each value; lists
// can hold lists. A rendered scenario has the copies.
type Action struct {
	// Change is a pointer to one of this package's action types.
	Change Change `yaml:"-"`
}

// Repeat expands an action, a list of actions, a step or a list of steps once for each value
// of a variable from From to To, both included. To may be From-1, which yields no copy.
type Repeat struct {
	// Var is the variable's name in expressions of what is expanded.
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
