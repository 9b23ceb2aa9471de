package scenarios

// Restart replaces a Deployment's pods one after another, as `kubectl rollout restart`
// does. It has taken effect when all new pods are Ready and all old ones are gone.
type Restart struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
}

// Word returns restart.
func (*Restart) Word() string { return "restart" }

// String tells the change in a few words.
func (r *Restart) String() string { return "restart " + r.Namespace + "/" + r.Deployment }
