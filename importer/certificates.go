package importer

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/meshbench/meshbench/manifests"
)

// secret is a Secret that a gateway has its certificate in.
type secret struct{ namespace, name string }

// certificates finds the Secrets that Gateways name. A gateway without its certificate keeps a
// listener from taking effect, and Secrets are not read, so the replay has made-up ones.
func (b *builder) certificates() {
	add := func(namespace, name string) {
		s := secret{namespace, name}
		if name != "" && namespace != "" && !slices.Contains(b.mesh.secrets, s) {
			b.mesh.secrets = append(b.mesh.secrets, s)
		}
	}
	for _, o := range b.sorted(groupNetworking, "Gateway") {
		var g struct {
			Spec struct {
				Selector map[string]string `json:"selector"`
				Servers  []struct {
					TLS struct {
						Mode       string   `json:"mode"`
						Credential string   `json:"credentialName"`
						More       []string `json:"credentialNames"`
					} `json:"tls"`
				} `json:"servers"`
			} `json:"spec"`
		}
		o.Decode(&g)
		for _, server := range g.Spec.Servers {
			for _, name := range append(server.TLS.More, server.TLS.Credential) {
				for _, w := range b.mesh.Workloads { // Istio reads it where the gateway runs
					if len(g.Spec.Selector) > 0 && selects(g.Spec.Selector, w.template.Metadata.Labels) {
						add(w.Namespace, name)
					}
				}
			}
		}
	}
	for _, o := range b.sorted(groupGatewayAPI, "Gateway") {
		for _, ref := range gatewayAPICertificates(o) {
			add(cmp.Or(ref.Namespace, o.Namespace), ref.Name)
		}
	}
	for _, s := range b.mesh.secrets {
		b.notes.add("Secrets are not read, and gateways get certificates that were made up: %s", noted{kind: "Secret", name: s.namespace + "/" + s.name})
		b.needNamespace(s.namespace)
	}
}

// certificateRef refers to a Secret.
type certificateRef struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

func gatewayAPICertificates(o *manifests.Object) []certificateRef {
	var g struct {
		Spec struct {
			Listeners []struct {
				TLS struct {
					Certificates []certificateRef `json:"certificateRefs"`
				} `json:"tls"`
			} `json:"listeners"`
		} `json:"spec"`
	}
	o.Decode(&g)
	var all []certificateRef
	for _, l := range g.Spec.Listeners {
		for _, ref := range l.TLS.Certificates {
			if ref.Kind == "" || ref.Kind == "Secret" {
				all = append(all, ref)
			}
		}
	}
	return all
}

// madeUp are the Secrets with a certificate that nobody trusts, the same in all.
func madeUp(secrets []secret) ([]map[string]any, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made up by meshbench import"}, DNSNames: []string{"example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	encode := func(kind string, data []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	text := encode("CERTIFICATE", certificate)
	var all []map[string]any
	for _, s := range secrets {
		all = append(all, map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": named(s.namespace, s.name, nil),
			"data": map[string]any{"tls.crt": text, "tls.key": encode("PRIVATE KEY", private), "ca.crt": text},
		})
	}
	return all, nil
}
