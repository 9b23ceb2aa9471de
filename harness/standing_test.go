package harness

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	core "k8s.io/client-go/testing"
)

func TestHasWorkload(t *testing.T) {
	of := metav1.ObjectMeta{Namespace: "ns1", Name: "web"}
	for name, test := range map[string]struct {
		object    runtime.Object
		forbidden string // what may not be read
		want      bool
	}{
		"none":                           {nil, "", false},
		"Deployment":                     {&appsv1.Deployment{ObjectMeta: of}, "", true},
		"Job":                            {&batchv1.Job{ObjectMeta: of}, "", true},
		"a pod of its own":               {&corev1.Pod{ObjectMeta: of}, "", true},
		"in another namespace":           {&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns2", Name: "web"}}, "", false},
		"of a kind that may not be read": {nil, "cronjobs", true},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			if test.object != nil {
				client = fake.NewClientset(test.object)
			}
			client.PrependReactor("get", "*", func(action core.Action) (bool, runtime.Object, error) {
				resource := action.GetResource()
				if resource.Resource != test.forbidden {
					return false, nil, nil
				}
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: resource.Group, Resource: resource.Resource}, "web", nil)
			})
			g := NewWithT(t)
			there, err := hasWorkload(t.Context(), client, "ns1", "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(there).To(Equal(test.want))
		})
	}
}
