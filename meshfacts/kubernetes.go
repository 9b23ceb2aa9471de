package meshfacts

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// Kubernetes is the range of minor versions that a version of Istio is published to support.
type Kubernetes struct {
	// Oldest and Newest are minor versions, 1.27.
	Oldest, Newest string
}

// String is the range in words.
func (k Kubernetes) String() string { return k.Oldest + " to " + k.Newest }

// kubernetes are the ranges by Istio's minor version.
//
// Source: istio.io, Supported Releases, Support status of Istio releases, as it was on
// 2026-02-23.
var kubernetes = map[string]Kubernetes{
	"1.20": {"1.25", "1.29"},
	"1.21": {"1.26", "1.29"},
	"1.22": {"1.27", "1.30"},
	"1.23": {"1.27", "1.30"},
	"1.24": {"1.28", "1.31"},
	"1.25": {"1.29", "1.32"},
	"1.26": {"1.29", "1.33"},
	"1.27": {"1.29", "1.33"},
	"1.28": {"1.30", "1.34"},
	"1.29": {"1.31", "1.35"},
}

// KubernetesOf is the range that a version of Istio is published to support; false where
// that is not known.
func KubernetesOf(istio string) (Kubernetes, bool) {
	v, err := version.ParseGeneric(istio)
	if err != nil {
		return Kubernetes{}, false
	}
	k, known := kubernetes[fmt.Sprintf("%d.%d", v.Major(), v.Minor())]
	return k, known
}
