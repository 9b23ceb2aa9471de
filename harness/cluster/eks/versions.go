package eks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/meshbench/meshbench/meshfacts"
)

// offered is a version of Kubernetes that EKS offers.
type offered struct {
	// Name is the minor version, 1.31.
	Name string
	// Extended says that it is in extended support, which costs more.
	Extended bool
}

// offers are the versions that EKS makes clusters of, the newest first.
func (a *account) offers(ctx context.Context) ([]offered, error) {
	var all []offered
	pages := eks.NewDescribeClusterVersionsPaginator(a.eks, &eks.DescribeClusterVersionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask which versions of Kubernetes EKS offers: %w", explain(err))
		}
		for _, v := range page.ClusterVersions {
			switch v.VersionStatus {
			case types.VersionStatusStandardSupport:
				all = append(all, offered{Name: aws.ToString(v.ClusterVersion)})
			case types.VersionStatusExtendedSupport:
				all = append(all, offered{Name: aws.ToString(v.ClusterVersion), Extended: true})
			}
		}
	}
	for _, v := range all {
		if _, err := version.ParseGeneric(v.Name); err != nil {
			return nil, fmt.Errorf("read the versions of Kubernetes that EKS offers: %w", err)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("EKS offers no version of Kubernetes in this region: choose another region")
	}
	slices.SortFunc(all, func(a, b offered) int { return compare(b.Name, a.Name) })
	return all, nil
}

// compare orders minor versions, which were parsed before.
func compare(a, b string) int {
	va, vb := version.MustParseGeneric(a), version.MustParseGeneric(b)
	switch {
	case va.LessThan(vb):
		return -1
	case vb.LessThan(va):
		return 1
	}
	return 0
}

// choose is the version to take of those that are offered: the one that is asked for, else
// the newest that the Istio is published to support, else the nearest to that. The note is
// what a reader should know of the choice; "" for nothing.
func choose(all []offered, asked, istio string) (chosen offered, note string, err error) {
	supported, known := meshfacts.KubernetesOf(istio)
	within := func(v offered) bool {
		return known && compare(v.Name, supported.Oldest) >= 0 && compare(v.Name, supported.Newest) <= 0
	}
	if asked != "" {
		i := slices.IndexFunc(all, func(v offered) bool { return v.Name == asked })
		if i < 0 {
			return offered{}, "", fmt.Errorf("--kubernetes %s: EKS does not offer it (any more): it offers %s", asked, names(all))
		}
		chosen = all[i]
	} else {
		chosen = nearest(all, within, supported, known)
	}
	switch {
	case !known:
		note = fmt.Sprintf("which versions of Kubernetes Istio %s supports is not known here; EKS runs %s", istio, chosen.Name)
	case !within(chosen) && asked == "":
		note = fmt.Sprintf("Istio %s is published to support Kubernetes %s, and EKS offers %s: %s is the nearest", istio, supported, names(all), chosen.Name)
	case !within(chosen):
		note = fmt.Sprintf("Istio %s is published to support Kubernetes %s, not %s", istio, supported, chosen.Name)
	}
	return chosen, note, nil
}

// nearest is the newest version that is within the range, else the one closest to it.
func nearest(all []offered, within func(offered) bool, to meshfacts.Kubernetes, known bool) offered {
	if i := slices.IndexFunc(all, within); i >= 0 {
		return all[i]
	}
	oldest := all[len(all)-1]
	if known && compare(oldest.Name, to.Newest) > 0 {
		return oldest
	}
	return all[0]
}

// names lists versions, the oldest first.
func names(all []offered) string {
	var words []string
	for _, v := range slices.Backward(all) {
		words = append(words, v.Name)
	}
	return strings.Join(words, ", ")
}
