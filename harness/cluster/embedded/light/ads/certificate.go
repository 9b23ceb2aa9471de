package ads

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Certificate is what a pod asks istiod's CA for.
type Certificate struct {
	// Key is the one to be certified. istiod's work depends on its kind alone, so clients may
	// share one: to make a key of RSA takes a tenth of a second.
	Key crypto.Signer
	// Identity is the pod's, spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT.
	Identity string
	// Lifetime is what is asked for; istiod may grant less.
	Lifetime time.Duration
	// Signer is the name of one that is asked for; "" for istiod's own.
	Signer string
	// GraceRatio is the part of the lifetime that is left when it is renewed.
	GraceRatio float64
	// Address is where the CA is, IP:PORT, at the n-th attempt in a row, and ServerName its
	// name; nil for that of the configuration.
	Address    func(n int) (string, error)
	ServerName string
}

const signMethod = "/istio.v1.auth.IstioCertificateService/CreateCertificate"

// renew asks for a certificate, and again before it ends, until ctx ends. Like pilot-agent it
// keeps its connection.
func (c *Client) renew(ctx context.Context) {
	var ca *connection
	defer func() {
		if ca != nil {
			ca.http.CloseIdleConnections()
		}
	}()
	bound := firstBackoff
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if ca == nil {
			to, err := c.authority(attempt)
			if err != nil {
				c.uncertified(err)
				pause(ctx, mathrand.N(bound)+time.Millisecond)
				bound = min(2*bound, mostBackoff)
				continue
			}
			ca = dial(to, false)
		}
		expires, err := c.sign(ctx, ca)
		if err != nil {
			ca.close()
			ca = nil // it may be elsewhere, or have another root
			c.uncertified(err)
			pause(ctx, mathrand.N(bound)+time.Millisecond)
			bound = min(2*bound, mostBackoff)
			continue
		}
		bound, attempt = firstBackoff, -1
		c.mu.Lock()
		c.certified = true
		c.count.Certificates++
		was := c.state
		c.advance()
		changed := c.state != was
		c.mu.Unlock()
		if changed {
			c.config.Changed()
		}
		lifetime := time.Until(expires)
		grace := time.Duration(float64(lifetime) * c.config.Certificate.GraceRatio)
		pause(ctx, max(lifetime-grace, time.Second))
	}
}

func (c *Client) uncertified(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.certified && c.state.Error == "" {
		c.state.Error = "no certificate: " + err.Error()
	}
}

func (c *Client) authority(attempt int) (endpoint, error) {
	want := c.config.Certificate
	if want.Address == nil {
		return c.endpoint(attempt)
	}
	config, err := c.config.TLS()
	if err != nil {
		return endpoint{}, err
	}
	address, err := want.Address(attempt)
	return endpoint{address: address, name: want.ServerName, tls: config}, err
}

// sign has a certificate signed and returns when it ends.
func (c *Client) sign(ctx context.Context, ca *connection) (expires time.Time, err error) {
	want := c.config.Certificate
	identity, err := url.Parse(want.Identity)
	if err != nil {
		return expires, fmt.Errorf("read the identity: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{identity}}, want.Key)
	if err != nil {
		return expires, fmt.Errorf("make a certificate request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	name := c.config.ServerName
	if want.Address != nil {
		name = want.ServerName
	}
	message := certificateRequest(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), want)
	answer, err := ca.unary(ctx, name, signMethod, c.header(), message)
	if err != nil {
		return expires, fmt.Errorf("ask for a certificate: %w", err)
	}
	return expiry(answer)
}

// certificateRequest is an istio.v1.auth.IstioCertificateRequest.
func certificateRequest(csr []byte, want *Certificate) []byte {
	// Metadata is a google.protobuf.Struct: {CertSigner: SIGNER}.
	value := protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), want.Signer)
	entry := appendString(nil, 1, "CertSigner")
	entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), value)
	metadata := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), entry)

	b := appendString(newMessage(), 1, string(csr))
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(want.Lifetime/time.Second))
	return protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), metadata)
}

// expiry is when the certificate of an istio.v1.auth.IstioCertificateResponse ends.
func expiry(answer []byte) (expires time.Time, err error) {
	var chain []string
	if err := fields(answer, func(field protowire.Number, v []byte) error {
		if field == 1 {
			chain = append(chain, string(v))
		}
		return nil
	}); err != nil {
		return expires, err
	}
	if len(chain) < 2 {
		return expires, errors.New("istiod sent no certificate chain")
	}
	block, _ := pem.Decode([]byte(chain[0]))
	if block == nil {
		return expires, errors.New("istiod sent a certificate that is not PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return expires, fmt.Errorf("read istiod's certificate: %w", err)
	}
	return certificate.NotAfter, nil
}
