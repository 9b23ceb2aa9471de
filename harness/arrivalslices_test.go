package harness

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSlicesAgree(t *testing.T) {
	pod := func(name string, ready bool, change ...func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: name, Labels: map[string]string{"app": "a"}}}
		p.Status.PodIP, p.Status.Phase = "192.0.2.1", corev1.PodRunning
		if ready {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		for _, c := range change {
			c(&p)
		}
		return p
	}
	slice := func(ready ...string) discoveryv1.EndpointSlice {
		s := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "a-1", Labels: map[string]string{
			discoveryv1.LabelServiceName: "a", discoveryv1.LabelManagedBy: sliceController,
		}}}
		no := false
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "unready"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}})
		for _, name := range ready {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}})
		}
		return s
	}
	service := func(change ...func(*corev1.Service)) corev1.Service {
		s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "a"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "a"}}}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	deleted := func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }
	for _, c := range []struct {
		name    string
		service corev1.Service
		pods    []corev1.Pod
		slices  []discoveryv1.EndpointSlice
		ok      bool
	}{
		{"as they are", service(), []corev1.Pod{pod("p", true), pod("q", true), pod("unready", false)}, []discoveryv1.EndpointSlice{slice("p"), slice("q")}, true},
		{"one is missing", service(), []corev1.Pod{pod("p", true), pod("q", true)}, []discoveryv1.EndpointSlice{slice("p")}, false},
		{"none is there yet", service(), []corev1.Pod{pod("p", true)}, nil, false},
		{"one is too many", service(), []corev1.Pod{pod("p", true)}, []discoveryv1.EndpointSlice{slice("p", "q")}, false},
		{"one goes", service(), []corev1.Pod{pod("p", true), pod("q", true, deleted)}, []discoveryv1.EndpointSlice{slice("p")}, true},
		{"one has ended", service(), []corev1.Pod{pod("p", true), pod("q", true, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })}, []discoveryv1.EndpointSlice{slice("p")}, true},
		{"another namespace's", service(), []corev1.Pod{pod("p", true), pod("q", true, func(p *corev1.Pod) { p.Namespace = "ns2" })}, []discoveryv1.EndpointSlice{slice("p")}, true},
		{
			"unready ones too", service(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }),
			[]corev1.Pod{pod("p", false)}, []discoveryv1.EndpointSlice{slice("p")}, true,
		},
		{
			"no selector", service(func(s *corev1.Service) { s.Spec.Selector = nil }), []corev1.Pod{pod("p", true)}, nil, true,
		},
		{
			"a name for what is elsewhere", service(func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }), []corev1.Pod{pod("p", true)}, nil, true,
		},
		{
			"somebody else's slices", service(), nil, []discoveryv1.EndpointSlice{func() discoveryv1.EndpointSlice {
				s := slice("elsewhere")
				s.Labels[discoveryv1.LabelManagedBy] = "somebody"
				return s
			}()}, true,
		},
	} {
		ok, waiting := agree([]corev1.Service{c.service}, c.pods, c.slices)
		if ok != c.ok || !ok && !strings.Contains(waiting, "ns1/a") {
			t.Errorf("%s: %t, %q", c.name, ok, waiting)
		}
	}
}
