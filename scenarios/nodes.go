package scenarios

// Nodes changes the cluster's nodes to the given groups: it adds missing nodes, then
// cordons, drains and removes the others. It has taken effect when all pods are Ready on
// the nodes that stay.
type Nodes struct {
	Groups []NodeGroup `yaml:"groups" jsonschema:"required,minItems=1"`
}

// Word returns nodes.
func (*Nodes) Word() string { return "nodes" }

// String describes the change in a few words.
func (n *Nodes) String() string {
	return "change nodes to " + describe(n.Groups)
}

func (*Nodes) place(*placement) {}

func (n *Nodes) check(c *checker) needs {
	c.setNodes("groups", n.Groups)
	return needs{}
}
