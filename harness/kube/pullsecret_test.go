package kube

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestParsePullSecret(t *testing.T) {
	for text, want := range map[string]PullSecret{"": {}, "default/hub": {"default", "hub"}} {
		if got, err := ParsePullSecret(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"hub", "/hub", "default/", "a/b/c"} {
		if got, err := ParsePullSecret(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPullSecret(t *testing.T) {
	secret := func(namespace, name string, kind corev1.SecretType, value string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: kind, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(value)}}
	}
	account := func(namespace string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}
	}
	const json = corev1.SecretTypeDockerConfigJson
	client := fake.NewClientset(
		secret("default", "hub", json, "{}"), secret("default", "other", corev1.SecretTypeOpaque, "{}"),
		secret("ns2", "hub", json, "{}"), secret("ns3", "hub", json, `{"auths": {}}`),
		account("ns1"), account("ns2"), account("ns3"),
	)
	hub := PullSecret{"default", "hub"}
	for _, namespace := range []string{"ns1", "ns2"} {
		if err := hub.UseIn(t.Context(), client, namespace); err != nil {
			t.Fatal(err)
		}
		copied, err := client.CoreV1().Secrets(namespace).Get(t.Context(), "hub", metav1.GetOptions{})
		if err != nil || copied.Type != json || string(copied.Data[corev1.DockerConfigJsonKey]) != "{}" {
			t.Errorf("%s: %v, %v", namespace, copied, err)
		}
		used, err := client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "default", metav1.GetOptions{})
		if err != nil || !slices.Equal(used.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "hub"}}) {
			t.Errorf("%s: %v, %v", namespace, used, err)
		}
	}
	for _, tt := range []struct {
		of   PullSecret
		into string
		want string
	}{
		{hub, "ns3", "already exists"},
		{PullSecret{"default", "other"}, "ns1", "has no credentials for images: its type is Opaque"},
		{PullSecret{"default", "missing"}, "ns1", "Secret default/missing"},
	} {
		if err := tt.of.UseIn(t.Context(), client, tt.into); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v into %s: %v, want %q", tt.of, tt.into, err, tt.want)
		}
	}
	if err := (PullSecret{}).UseIn(t.Context(), client, "nowhere"); err != nil {
		t.Error(err)
	}
}
