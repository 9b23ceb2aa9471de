package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// PullSecret is a Secret on the cluster with credentials for image registries. The zero
// PullSecret is none.
type PullSecret struct{ Namespace, Name string }

// ParsePullSecret reads NAMESPACE/NAME; "" is none.
func ParsePullSecret(text string) (PullSecret, error) {
	if text == "" {
		return PullSecret{}, nil
	}
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return PullSecret{}, fmt.Errorf("%q is no Secret: give NAMESPACE/NAME", text)
	}
	return PullSecret{namespace, name}, nil
}

// CopyTo copies the Secret into another namespace, under its own name and with labels. One of
// that name which is there already, with the same credentials, is taken.
func (p PullSecret) CopyTo(ctx context.Context, client kubernetes.Interface, namespace string, labels map[string]string) error {
	if p.Name == "" || namespace == p.Namespace {
		return nil
	}
	from, err := client.CoreV1().Secrets(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the credentials for images, Secret %s/%s: %w", p.Namespace, p.Name, err)
	}
	if from.Type != corev1.SecretTypeDockerConfigJson && from.Type != corev1.SecretTypeDockercfg {
		return fmt.Errorf("the Secret %s/%s has no credentials for images: its type is %s, and it takes %s", p.Namespace, p.Name, from.Type, corev1.SecretTypeDockerConfigJson)
	}
	_, err = client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Labels: labels}, Type: from.Type, Data: from.Data,
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		there, e := client.CoreV1().Secrets(namespace).Get(ctx, p.Name, metav1.GetOptions{})
		switch {
		case e != nil:
			err = e
		case there.Type == from.Type && equalData(there.Data, from.Data):
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("copy the credentials for images into namespace %s: %w", namespace, err)
	}
	return nil
}

func equalData(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || string(other) != string(value) {
			return false
		}
	}
	return true
}

// UseIn copies the Secret into a namespace and lets its account default pull with it, which pods
// without an account of their own run as. A new namespace gets that account a moment later.
func (p PullSecret) UseIn(ctx context.Context, client kubernetes.Interface, namespace string) error {
	if p.Name == "" {
		return nil
	}
	if err := p.CopyTo(ctx, client, namespace, nil); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"imagePullSecrets": []corev1.LocalObjectReference{{Name: p.Name}}})
	if err != nil {
		return err
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	err = Until(ctx, PollEvery/5, func(ctx context.Context) (bool, string, error) {
		_, err := accounts.Patch(ctx, "default", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsNotFound(err) {
			return false, "account default of namespace " + namespace, nil
		}
		return err == nil, "", err
	})
	if err != nil {
		return fmt.Errorf("let namespace %s pull images with Secret %s: %w", namespace, p.Name, err)
	}
	return nil
}
