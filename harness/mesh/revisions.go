package mesh

import (
	"context"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/util/version"
)

// Several revisions of istiod run side by side: each is a release of the chart istiod. What
// is the cluster's, the resource definitions and the default validator, is one release of
// the chart base, of the newest of their versions.

// revisionLabel is the label of what belongs to a revision, with "default" for the one
// without a name.
const revisionLabel = "istio.io/rev"

// ownSelector selects istiod's Deployment and pods of this revision.
func (m *Mesh) ownSelector() string {
	return istiodSelector + "," + revisionLabel + "=" + revisionName(m.revision)
}

// istiods are the releases of the chart istiod, of every revision.
func (m *Mesh) istiods(ctx context.Context) ([]*release.Release, error) {
	var found []*release.Release
	err := m.helm(ctx, func(_ context.Context, configuration *action.Configuration) (err error) {
		found, err = configuration.Releases.ListDeployed()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list Helm releases in namespace %s: %w", m.namespace, err)
	}
	return slices.DeleteFunc(found, func(r *release.Release) bool {
		return r.Chart == nil || r.Chart.Name() != istiodChart || r.Labels[createdLabel] != "true"
	}), nil
}

// keepsBase reports whether the base chart that is installed stays: it is newer, and
// belongs to another revision.
func (m *Mesh) keepsBase(ctx context.Context, base *chart.Chart) (bool, error) {
	last, err := m.lastRelease(ctx, baseChart)
	if err != nil || last == nil || last.Info.Status != release.StatusDeployed || last.Chart == nil {
		return false, err
	}
	others, err := m.istiods(ctx)
	if err != nil {
		return false, err
	}
	others = slices.DeleteFunc(others, func(r *release.Release) bool { return r.Name == m.release(istiodChart) })
	there, errThere := version.ParseGeneric(last.Chart.Metadata.Version)
	wanted, errWanted := version.ParseGeneric(base.Metadata.Version)
	return len(others) > 0 && errThere == nil && errWanted == nil && wanted.LessThan(there), nil
}

// baseValues are those of the values that the base chart knows, with the revision that
// validates for all: the first that was installed, as long as it is there. Istiod gives its
// certificate authority only to webhooks of its own revision, so that one of a revision
// that does not exist would validate nothing.
func (m *Mesh) baseValues(ctx context.Context, last *release.Release) (map[string]any, error) {
	values := baseChartValues(m.values)
	if _, given := m.values["defaultRevision"]; given {
		return values, nil
	}
	values["defaultRevision"] = revisionName(m.revision)
	if last == nil {
		return values, nil
	}
	before, _ := last.Config["defaultRevision"].(string)
	others, err := m.istiods(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range others {
		revision, _ := r.Config["revision"].(string)
		if revisionName(revision) == before {
			values["defaultRevision"] = before
		}
	}
	return values, nil
}

// takeTags takes the tags that this revision is to have from the revisions that have them:
// a tag is one object, which Helm lets only one release have.
func (m *Mesh) takeTags(ctx context.Context) error {
	tags, _ := m.values["revisionTags"].([]any)
	if len(tags) == 0 {
		return nil
	}
	others, err := m.istiods(ctx)
	if err != nil {
		return err
	}
	for _, r := range others {
		theirs, _ := r.Config["revisionTags"].([]any)
		left := slices.DeleteFunc(slices.Clone(theirs), func(tag any) bool { return slices.Contains(tags, tag) })
		if r.Name == m.release(istiodChart) || len(left) == len(theirs) {
			continue
		}
		m.options.Progress(fmt.Sprintf("taking tags from Helm release %s", r.Name))
		values := Merge([]Layer{{Values: r.Config}, {Values: map[string]any{"revisionTags": left}}})
		err := m.helm(ctx, func(ctx context.Context, configuration *action.Configuration) error {
			_, err := m.newUpgrade(configuration).RunWithContext(ctx, r.Name, r.Chart, values)
			return err
		})
		if err != nil {
			return fmt.Errorf("take tags from Helm release %s: %w", r.Name, err)
		}
	}
	return nil
}

// newUpgrade is Helm's upgrade as this package uses it.
func (m *Mesh) newUpgrade(configuration *action.Configuration) *action.Upgrade {
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = m.namespace
	upgrade.Timeout = m.options.Timeout
	upgrade.MaxHistory = 2
	upgrade.DisableOpenAPIValidation = true
	return upgrade
}
