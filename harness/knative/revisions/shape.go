package revisions

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/harness/knative"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/scenarios"
)

// shaped makes the Services and Endpoints that Knative Serving makes for a
// revision (pkg/reconciler/serverlessservice/resources of knative.dev/serving v0.42.2), and
// for one with pods the Deployment; a test holds them against the real ones, object by
// object. EndpointSlices, and the Endpoints of Services with a selector, come from
// Kubernetes itself, as they do with Knative.
type shaped struct {
	kube *kube.Client
	*scenarios.Revisions
	status func(format string, args ...any)
}

// Knative notes who made a Service, as the API server knows them.
const (
	creatorAnnotation = "serving.knative.dev/creator"
	creator           = "meshbench"
)

// shapeWorkers make revisions side by side.
const shapeWorkers = 4

func (s *shaped) have(ctx context.Context) (int, error) {
	list, err := s.kube.CoreV1().Services(s.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: knativeService + "=" + s.Service + "," + serviceType + "=Public",
	})
	if err != nil {
		return 0, fmt.Errorf("list the Services of %s/%s: %w", s.Namespace, s.Service, err)
	}
	return len(list.Items), nil
}

func (s *shaped) make(ctx context.Context, first, last int, done func(int)) error {
	activator, err := s.activator(ctx)
	if err != nil {
		return err
	}
	service, err := s.route(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	finished := first - 1
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(shapeWorkers)
	for n := first; n <= last; n++ {
		group.Go(func() error {
			if err := s.one(ctx, n, service, activator); err != nil {
				return fmt.Errorf("make revision %s: %w", scenarios.Revision(s.Service, n), err)
			}
			mu.Lock()
			defer mu.Unlock()
			finished++
			done(finished)
			return nil
		})
	}
	return group.Wait()
}

// collect does nothing: nobody collects these.
func (s *shaped) collect(context.Context) error { return nil }

// one makes a revision's objects.
func (s *shaped) one(ctx context.Context, n int, service string, activator corev1.EndpointAddress) error {
	o := s.objects(n, service, uuid.NewString(), activator)
	if o.deployment != nil {
		if _, err := s.kube.AppsV1().Deployments(s.Namespace).Create(ctx, o.deployment, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for _, service := range []*corev1.Service{o.private, o.public} {
		if _, err := s.kube.CoreV1().Services(s.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	_, err := s.kube.CoreV1().Endpoints(s.Namespace).Create(ctx, o.endpoints, metav1.CreateOptions{})
	return err
}

// revisionObjects is what a revision consists of besides Knative's own objects.
type revisionObjects struct {
	private, public *corev1.Service
	endpoints       *corev1.Endpoints  // of the public Service
	deployment      *appsv1.Deployment // nil where no pod is to run
}

// objects are those of the n-th revision. service and revision are unique ids, activator is
// where requests for the revision go.
func (s *shaped) objects(n int, service, revision string, activator corev1.EndpointAddress) revisionObjects {
	name := scenarios.Revision(s.Service, n)
	labels := map[string]string{
		"app":                                         name,
		"serving.knative.dev/configuration":           s.Service,
		"serving.knative.dev/configurationUID":        service,
		"serving.knative.dev/configurationGeneration": strconv.Itoa(n),
		knativeService:                                s.Service,
		"serving.knative.dev/serviceUID":              service,
		knativeRevision:                               name,
		revisionUID:                                   revision,
	}
	maps.Copy(labels, s.Labels)
	ofPods := templateAnnotations(s.Revisions, n)
	ofPods[creatorAnnotation] = creator
	annotations := maps.Clone(ofPods)
	annotations["autoscaling.knative.dev/class"] = "kpa.autoscaling.knative.dev"
	meta := func(name, kind string) metav1.ObjectMeta {
		own := maps.Clone(labels)
		own["networking.internal.knative.dev/serverlessservice"] = scenarios.Revision(s.Service, n)
		own[serviceType] = kind
		return metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: own, Annotations: annotations}
	}
	port := func(name string, number int32, target intstr.IntOrString) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: number, TargetPort: target}
	}
	web := []corev1.ServicePort{
		port("http", 80, intstr.FromInt32(8012)),
		port("https", 443, intstr.FromInt32(8112)),
	}
	o := revisionObjects{
		public: &corev1.Service{ObjectMeta: meta(name, "Public"), Spec: corev1.ServiceSpec{Ports: web}},
		private: &corev1.Service{ObjectMeta: meta(name+"-private", "Private"), Spec: corev1.ServiceSpec{
			Ports: append([]corev1.ServicePort{}, append(web,
				port("http-autometric", 9090, intstr.FromString("http-autometric")),
				port("http-usermetric", 9091, intstr.FromString("http-usermetric")),
				port("http-queueadm", 8022, intstr.FromInt32(8022)),
				port("http-istio", 8012, intstr.FromInt32(8012)),
			)...),
			Selector: map[string]string{revisionUID: revision},
		}},
		endpoints: &corev1.Endpoints{ObjectMeta: meta(name, "Public"), Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{activator},
			Ports: []corev1.EndpointPort{
				{Name: "http", Port: 8012, Protocol: corev1.ProtocolTCP},
				{Name: "https", Port: 8112, Protocol: corev1.ProtocolTCP},
			},
		}}},
	}
	if s.MinScale == 0 {
		return o
	}
	replicas := int32(s.MinScale)
	o.deployment = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-deployment", Namespace: s.Namespace, Labels: labels, Annotations: ofPods},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{revisionUID: revision}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: ofPods},
				Spec: corev1.PodSpec{
					EnableServiceLinks: new(bool),
					Containers: []corev1.Container{
						{Name: "user-container", Image: s.Image, Ports: []corev1.ContainerPort{{Name: "user-port", ContainerPort: 8080}}},
						{Name: "queue-proxy", Image: "dev.local/queue", Ports: []corev1.ContainerPort{
							{Name: "http-queueadm", ContainerPort: 8022},
							{Name: "http-autometric", ContainerPort: 9090},
							{Name: "http-usermetric", ContainerPort: 9091},
							{Name: "queue-port", ContainerPort: 8012},
							{Name: "https-port", ContainerPort: 8112},
						}},
					},
				},
			},
		},
	}
	return o
}

// route makes the Service's own Service where it is not there, and returns its id.
func (s *shaped) route(ctx context.Context) (id string, err error) {
	client := s.kube.CoreV1().Services(s.Namespace)
	service, err := client.Get(ctx, s.Service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		service, err = client.Create(ctx, s.routeService(), metav1.CreateOptions{})
	}
	if err != nil {
		return "", fmt.Errorf("make Service %s/%s: %w", s.Namespace, s.Service, err)
	}
	return string(service.UID), nil
}

// routeService is the Service's own Service. Without an ingress it points at itself.
func (s *shaped) routeService() *corev1.Service {
	h2c := "kubernetes.io/h2c"
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Service, Namespace: s.Namespace,
			Labels:      map[string]string{"serving.knative.dev/route": s.Service, knativeService: s.Service},
			Annotations: map[string]string{creatorAnnotation: creator, "serving.knative.dev/lastModifier": creator},
		},
		Spec: corev1.ServiceSpec{
			Type:         corev1.ServiceTypeExternalName,
			ExternalName: s.Service + "." + s.Namespace + ".svc.cluster.local",
			Ports: []corev1.ServicePort{{
				Name: "http2", Port: 80, TargetPort: intstr.FromInt32(80), Protocol: corev1.ProtocolTCP, AppProtocol: &h2c,
			}},
		},
	}
}

// activatorName is the activator's, to which requests for a revision without pods go, in
// Knative Serving's namespace.
const activatorName = "activator"

// activator is the address of the activator, or of a pod that stands for it: its Deployment
// is made where there is none.
func (s *shaped) activator(ctx context.Context) (corev1.EndpointAddress, error) {
	_, err := s.kube.AppsV1().Deployments(knative.Namespace).Get(ctx, activatorName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		err = s.makeActivator(ctx)
	}
	if err == nil {
		err = readiness.Await(ctx, s.kube, schema.GroupKind{Group: appsv1.GroupName, Kind: "Deployment"}, knative.Namespace, activatorName, s.status)
	}
	if err != nil {
		return corev1.EndpointAddress{}, fmt.Errorf("make a pod that stands for Knative's activator: %w", err)
	}
	pods, err := s.kube.CoreV1().Pods(knative.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + activatorName})
	if err != nil {
		return corev1.EndpointAddress{}, fmt.Errorf("list the activator's pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return corev1.EndpointAddress{}, fmt.Errorf("Deployment %s/%s has no pod with the label app=%[2]s", knative.Namespace, activatorName)
	}
	p := pods.Items[0]
	return corev1.EndpointAddress{
		IP: p.Status.PodIP, NodeName: &p.Spec.NodeName,
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}, nil
}

func (s *shaped) makeActivator(ctx context.Context) error {
	_, err := s.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: knative.Namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	labels := map[string]string{"app": activatorName}
	_, err = s.kube.AppsV1().Deployments(knative.Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: activatorName},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: activatorName, Image: "dev.local/activator"}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}
