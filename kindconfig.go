// Package meshbench holds the files of the module's top folder that are part of the
// program.
package meshbench

import _ "embed"

// KindConfig is kind-config.yaml, the configuration of kind clusters.
//
//go:embed kind-config.yaml
var KindConfig []byte
