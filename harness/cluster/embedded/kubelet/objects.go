package kubelet

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func (m *Manager) configMap(namespace, name string) (*corev1.ConfigMap, error) {
	return m.factory.Core().ConfigMaps().Lister().ConfigMaps(namespace).Get(name)
}

func (m *Manager) secret(namespace, name string) (*corev1.Secret, error) {
	return m.factory.Core().Secrets().Lister().Secrets(namespace).Get(name)
}

func (m *Manager) services() ([]*corev1.Service, error) {
	return m.factory.Core().Services().Lister().List(labels.Everything())
}

func (m *Manager) token(ctx context.Context, pod *corev1.Pod, spec authenticationv1.TokenRequestSpec) (authenticationv1.TokenRequestStatus, error) {
	made, err := m.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.TokenRequestStatus{}, err
	}
	return made.Status, nil
}

// deletePod deletes the object of a pod that has ended; that it is gone is no error.
func (m *Manager) deletePod(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	err := m.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if gone(err) {
		return nil
	}
	return err
}
