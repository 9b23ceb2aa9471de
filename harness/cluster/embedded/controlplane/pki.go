package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// certificateLife is how long every certificate of a cluster is valid. Clusters live
// for minutes, one that was left up for days; there is no rotation.
const certificateLife = 365 * 24 * time.Hour

// pair is a certificate with its private key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certPEM is the certificate in PEM.
func (p pair) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

// keyPEM is the private key in PEM.
func (p pair) keyPEM() ([]byte, error) { return keyPEM(p.key) }

// keyPEM encodes by SEC 1: Kubernetes reads service account keys in no other way.
func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// newAuthority makes a self-signed certificate authority.
func newAuthority(name string) (pair, error) {
	return sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil)
}

// server issues a serving certificate for names and addresses.
func (p pair) server(name string, dns []string, ips ...net.IP) (pair, error) {
	return sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    dns,
		IPAddresses: ips,
	}, &p)
}

// client issues a client certificate: to Kubernetes its common name is the user and
// its organizations are the groups.
func (p pair) client(user string, groups ...string) (pair, error) {
	return sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &p)
}

// sign completes template with a new key and signs it by parent, or by itself when
// parent is nil.
func sign(template *x509.Certificate, parent *pair) (pair, error) {
	what := template.Subject.CommonName
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make key of %s: %w", what, err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, fmt.Errorf("make serial number of %s: %w", what, err)
	}
	// An hour back: the clocks of the sandbox and its clients are the same, but clients
	// that cache time must not see a certificate from the future.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(certificateLife)
	issuer, signer := template, crypto.Signer(key)
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign certificate of %s: %w", what, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("parse certificate of %s: %w", what, err)
	}
	return pair{cert: cert, key: key}, nil
}

// pki is every key of a cluster. One authority signs for servers, clients and
// kubelets; a second one, for the front proxy, only signs the API server's identity
// towards aggregated API servers, which must not be mistaken for a user.
type pki struct {
	ca, frontCA pair

	apiserver     pair // serves the API
	kubeletClient pair // the API server, towards kubelets
	frontProxy    pair // the API server, towards aggregated API servers
	admin         pair
	manager       pair // kube-controller-manager
	scheduler     pair

	serviceAccount *ecdsa.PrivateKey // signs service account tokens
}

// newPKI makes all keys. ips are the addresses at which the API server is reached, and domain ends
// the names of Services.
func newPKI(domain string, ips []net.IP) (*pki, error) {
	var p pki
	var err error
	make := func(to *pair, issue func() (pair, error)) {
		if err == nil {
			*to, err = issue()
		}
	}
	make(&p.ca, func() (pair, error) { return newAuthority("meshbench") })
	make(&p.frontCA, func() (pair, error) { return newAuthority("meshbench-front-proxy") })
	make(&p.apiserver, func() (pair, error) {
		return p.ca.server("kube-apiserver", []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
		}, ips...)
	})
	make(&p.kubeletClient, func() (pair, error) {
		return p.ca.client("kube-apiserver-kubelet-client", "system:masters")
	})
	make(&p.frontProxy, func() (pair, error) { return p.frontCA.client("front-proxy-client") })
	make(&p.admin, func() (pair, error) { return p.ca.client("kubernetes-admin", "system:masters") })
	// Without a service account for each controller, the controller manager needs the
	// rights of all of them.
	make(&p.manager, func() (pair, error) {
		return p.ca.client("system:kube-controller-manager", "system:masters")
	})
	make(&p.scheduler, func() (pair, error) { return p.ca.client("system:kube-scheduler") })
	if err != nil {
		return nil, err
	}
	p.serviceAccount, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make service account key: %w", err)
	}
	return &p, nil
}

// write puts what the processes read into dir, readable by the owner alone.
func (p *pki) write(dir string) error {
	for _, f := range []struct {
		name string
		pair
	}{
		{"ca", p.ca}, {"front-proxy-ca", p.frontCA}, {"apiserver", p.apiserver},
		{"kubelet-client", p.kubeletClient}, {"front-proxy", p.frontProxy},
	} {
		key, err := f.keyPEM()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.name+".crt"), f.certPEM(), 0o600); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.name+".key"), key, 0o600); err != nil {
			return fmt.Errorf("write key: %w", err)
		}
	}
	key, err := keyPEM(p.serviceAccount)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "service-account.key"), key, 0o600); err != nil {
		return fmt.Errorf("write service account key: %w", err)
	}
	return nil
}

// kubeletTLS is the configuration of the kubelets' servers: each address gets a
// certificate of its own when it is first asked for, so that clients verify kubelets
// as on a real cluster although nodes come and go. Clients that show a certificate
// must have one of this cluster; metrics-server shows none.
func (p *pki) kubeletTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(p.ca.cert)
	var mu sync.Mutex
	issued := map[string]*tls.Certificate{}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  pool,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
			if err != nil {
				return nil, fmt.Errorf("issue kubelet certificate: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if cert := issued[host]; cert != nil {
				return cert, nil
			}
			made, err := p.ca.server("system:node:"+host, nil, net.ParseIP(host))
			if err != nil {
				return nil, err
			}
			cert := &tls.Certificate{Certificate: [][]byte{made.cert.Raw}, PrivateKey: made.key, Leaf: made.cert}
			issued[host] = cert
			return cert, nil
		},
	}
}
