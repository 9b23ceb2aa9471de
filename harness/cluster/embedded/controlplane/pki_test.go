package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// plane is a control plane of which only the keys are there.
func plane(t *testing.T) *ControlPlane {
	keys, err := newPKI("cluster.local", []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 10)})
	if err != nil {
		t.Fatal(err)
	}
	return &ControlPlane{keys: keys}
}

// serve answers with the client's user and groups on the loopback.
func serve(t *testing.T, config *tls.Config) (url string) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			io.WriteString(w, "nobody")
			return
		}
		subject := r.TLS.PeerCertificates[0].Subject
		io.WriteString(w, subject.CommonName)
		for _, group := range subject.Organization {
			io.WriteString(w, " "+group)
		}
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(tls.NewListener(inner, config))
	return "https://" + inner.Addr().String()
}

func get(t *testing.T, config *rest.Config, url string) (string, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func TestKubeconfigReachesTheAPIServer(t *testing.T) {
	c := plane(t)
	pool := x509.NewCertPool()
	pool.AddCert(c.keys.ca.cert)
	url := serve(t, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.keys.apiserver.cert.Raw}, PrivateKey: c.keys.apiserver.key}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.WriteKubeconfig(file, url); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v: a kubeconfig with a key must be the owner's alone", info.Mode())
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	who, err := get(t, config, url)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kubernetes-admin system:masters"; who != want {
		t.Errorf("user is %q, want %q", who, want)
	}
}

func TestKubeletsAreVerifiedAtTheirAddress(t *testing.T) {
	c := plane(t)
	url := serve(t, c.KubeletTLS())
	config := c.RESTConfig()
	who, err := get(t, config, url)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kubernetes-admin system:masters"; who != want {
		t.Errorf("user is %q, want %q", who, want)
	}
	// metrics-server shows a token and no certificate.
	config.CertData, config.KeyData = nil, nil
	if who, err = get(t, config, url); err != nil || who != "nobody" {
		t.Errorf("without a certificate: %q, %v", who, err)
	}
	// Another cluster's certificate is refused.
	stranger := plane(t).RESTConfig()
	stranger.CAData = config.CAData
	if who, err = get(t, stranger, url); err == nil {
		t.Errorf("another cluster's %q was let in", who)
	}
	// Another cluster's authority does not vouch for this one's kubelet.
	config.CAData = plane(t).RESTConfig().CAData
	if _, err = get(t, config, url); err == nil {
		t.Error("a kubelet of an unknown authority was trusted")
	}
}

func TestKeysAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	if err := plane(t).keys.write(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Fatal("nothing was written")
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}
