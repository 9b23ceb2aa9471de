package existing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/rights"
)

// provider is for one run on one cluster.
type provider struct {
	target   *kubeconfig.Target
	client   *kube.Client
	visit    cluster.Visit
	revision string   // of the installed mesh, as asked for
	chosen   string   // as it was found
	images   []string // that the run's pods ask for
	status   func(string)
	note     func(string)

	// applications says that the run sends requests to them.
	applications bool
	// leftUp is set by the preflight for a cluster that meshbench up left.
	leftUp bool
}

// connect makes the client; nothing is asked yet.
func (p *provider) connect() (err error) {
	p.client, err = kube.New(p.target.Config)
	return err
}

// get reads a path of the API server, with parameters, as JSON.
func get(ctx context.Context, client kubernetes.Interface, path string, parameters ...string) ([]byte, error) {
	request := client.CoreV1().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json")
	for i := 0; i+1 < len(parameters); i += 2 {
		request = request.Param(parameters[i], parameters[i+1])
	}
	result := request.Do(ctx)
	if err := result.Error(); err != nil { // which reads why something is refused, as Raw does not
		return nil, err
	}
	return result.Raw()
}

// serverVersion asks for the version of the API server.
func serverVersion(ctx context.Context, client kubernetes.Interface) (*version.Info, error) {
	text, err := get(ctx, client, "/version")
	if err != nil {
		return nil, err
	}
	var info version.Info
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, fmt.Errorf("read the API server's version: %w", err)
	}
	return &info, nil
}

// reach sees whether the API server answers, and says what to do where it does not.
func (p *provider) reach(ctx context.Context) (*version.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, kubeconfig.ReachLimit)
	defer cancel()
	info, err := serverVersion(ctx, p.client)
	if err != nil {
		return nil, p.target.Explain(err, kubeconfig.ReachLimit)
	}
	return info, nil
}

// apiGroups are the names of the API groups that the cluster serves.
func apiGroups(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	text, err := get(ctx, client, "/apis")
	var list metav1.APIGroupList
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("ask what the cluster serves: %w", err)
	}
	var names []string
	for _, g := range list.Groups {
		names = append(names, g.Name)
	}
	return names, nil
}

// Preflight implements [cluster.Provider].
func (p *provider) Preflight(ctx context.Context, _ cluster.Spec) error {
	_, err := p.preflight(ctx)
	return err
}

// checked is preflight with the cluster's name in the error.
func (p *provider) checked(ctx context.Context) (*found, error) {
	mesh, err := p.preflight(ctx)
	if err != nil {
		return nil, fmt.Errorf("this run cannot be done on the cluster %s:\n%w", p.target, err)
	}
	return mesh, nil
}

// preflight finds every reason why the run cannot be done, and changes nothing: what it
// tries, it tries by dry runs. It returns the mesh that is to be measured as it is; nil for
// one that is to be installed.
func (p *provider) preflight(ctx context.Context) (*found, error) {
	p.status("reaching the cluster")
	info, err := p.reach(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := apiGroups(ctx, p.client)
	if err != nil {
		return nil, err
	}
	nodes, err := p.nodes(ctx)
	errs := []error{err}
	p.leftUp = leftUp(nodes)
	if p.leftUp && p.applications {
		errs = append(errs, errors.New("the scenario sends requests, and no application runs on a cluster that meshbench up has left: run the scenario with --cluster embedded, which makes one"))
	}
	p.describe(info, nodes, groups)
	standing := false
	if p.visit.Resumes {
		standing, err = p.stands(ctx)
		errs = append(errs, err)
	}
	var mesh *found
	if !standing || p.visit.UseInstalled {
		p.status("looking for Istio")
		mesh, err = p.checkMesh(ctx)
		errs = append(errs, err)
	}
	p.status("asking for rights")
	errs = append(errs, p.checkRights(ctx), p.checkMetrics(ctx))
	if p.visit.ReadOnly || standing { // what stands has its room
		return mesh, errors.Join(errs...)
	}
	errs = append(errs, p.checkNamespaces(ctx))
	p.status("trying whether pods would be admitted")
	errs = append(errs, p.checkAdmission(ctx, mesh, groups))
	p.status("looking for room")
	errs = append(errs, p.checkRoom(ctx, nodes))
	return mesh, errors.Join(errs...)
}

// denied reports whether the user lacks the right for a request, which [provider.checkRights]
// has said already, rather than that admission refused it.
func denied(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot ")
}

// needed are all rights that the run needs.
func (p *provider) needed() []rights.Right {
	if p.visit.ReadOnly {
		return rights.Observing(p.visit.MeshNamespace, p.visit.MemoryOnly)
	}
	all := [][]rights.Right{rights.Reading(p.visit.MeshNamespace), rights.Trying(), p.visit.Writes}
	if !p.visit.UseInstalled {
		all = append(all, rights.Installing())
	}
	if s := p.visit.PullSecret; s.Name != "" {
		all = append(all, rights.Pulling(s.Namespace))
	}
	return rights.Merge(all...)
}

// namedRights is how many missing rights an error names.
const namedRights = 8

// checkRights asks for each right, and says which are missing.
func (p *provider) checkRights(ctx context.Context) error {
	missing, err := rights.Missing(ctx, p.client.AuthorizationV1(), p.needed())
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	what := "to install Istio and run the scenario"
	printed := "`meshbench preflight --rights` prints for the same scenario and flags"
	switch {
	case p.visit.ReadOnly:
		what, printed = "to measure the mesh", "`meshbench measure --rights` prints for the same flags"
	case p.visit.UseInstalled:
		what = "for the run"
	}
	return fmt.Errorf("user %s lacks rights %s: %s; have an administrator apply what %s",
		cmp.Or(p.target.User, "of this pod"), what, rights.Sentence(missing, namedRights), printed)
}

// manifest is the YAML of the roles that the run needs, for the user that the API server
// knows the caller by.
func (p *provider) manifest(ctx context.Context) ([]byte, error) {
	who, err := p.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the API server who this user is: %w", err)
	}
	comment := []string{
		"What a run of meshbench needs on this cluster, for " + who.Status.UserInfo.Username + ".",
		"The run's namespaces get their names when it begins, so what it does in them is granted in all.",
	}
	name := "meshbench-measure"
	switch {
	case p.visit.ReadOnly:
		name = "meshbench-observe"
		comment = []string{"What meshbench measure needs on this cluster, for " + who.Status.UserInfo.Username + "."}
	case !p.visit.UseInstalled:
		name = "meshbench-install"
		comment = append(comment, "It installs Istio, whose roles only somebody may make who may escalate and bind: that is as good as being an administrator.")
	}
	return rights.Manifest(name, p.needed(), rights.Subject(who.Status.UserInfo.Username), comment...)
}

// nodes are the machines; nil where they may not be read.
func (p *provider) nodes(ctx context.Context) ([]corev1.Node, error) {
	list, err := p.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	switch {
	case denied(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	return list.Items, nil
}

// describe says which cluster it is, and what is known of its service.
func (p *provider) describe(info *version.Info, nodes []corev1.Node, groups []string) {
	text := fmt.Sprintf("cluster %s: Kubernetes %s", p.target, info.GitVersion)
	if nodes != nil {
		text += fmt.Sprintf(", nodes: %d", len(kube.Machines(nodes)))
	}
	s := detect(info.GitVersion, nodes, groups)
	if s != nil {
		text += ", " + s.name
	}
	if p.leftUp {
		text += ", left by meshbench up: containers are simulated, and Envoy is taken for upstream's"
	}
	p.note(text)
	if len(p.images) > 0 {
		p.note("images that its nodes pull if they have none: " + strings.Join(p.images, ", "))
	}
	if s != nil {
		for _, r := range s.restricts {
			p.note(s.name + ": " + r)
		}
	}
}

// checkMetrics sees whether the metrics API answers, from which memory is read.
func (p *provider) checkMetrics(ctx context.Context) error {
	_, err := get(ctx, p.client, "/apis/metrics.k8s.io/v1beta1/pods", "limit", "1")
	switch {
	case err == nil || denied(err):
		return nil
	case apierrors.IsNotFound(err):
		return errors.New("the cluster has no metrics API (metrics.k8s.io), from which memory is read: install metrics-server")
	}
	return fmt.Errorf("the metrics API (metrics.k8s.io), from which memory is read, does not answer: look at the pods of metrics-server and at APIService v1beta1.metrics.k8s.io: %w", err)
}

// checkNamespaces refuses the run's namespaces where they are there already.
func (p *provider) checkNamespaces(ctx context.Context) error {
	var taken []string
	for _, name := range p.visit.Namespaces {
		found, err := p.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || denied(err):
		case err != nil:
			return fmt.Errorf("look for namespace %s: %w", name, err)
		default:
			if run := found.Labels[cluster.RunLabel]; run != "" {
				name += fmt.Sprintf(" (of run %s: remove it with `meshbench down --name %[1]s`)", run)
			}
			taken = append(taken, name)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("these namespaces exist already, and a run makes its own: %s; choose other names with --namespace-suffix, or leave that out for random ones", strings.Join(taken, ", "))
}
