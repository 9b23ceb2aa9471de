package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// markers are the secrets of the scenario of secrets, in every place where people have one. No
// file of a run that has ended holds any of them.
var markers = map[string]string{
	"SECRET": "Zk7opaqueSecretMarker91", "STRING": "Zk7stringDataMarker92", "PULL": "Zk7pullSecretMarker93", "VARIABLE": "Zk7variableMarker94",
	"HEADER": "Zk7headerMarker95", "BEARER": "Zk7bearerMarker96", "LUA": "Zk7luaApiKeyMarker97", "JWK": "Zk7jsonWebKeyMarkerMarker98",
	"METADATA": "Zk7proxyMetadataMarker99", "MAP": "Zk7configMapMarker90",
}

// web is a JSON Web Token whose signature is nobody's.
var webToken = strings.Join([]string{
	base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)), base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"marker@example"}`)),
	base64.RawURLEncoding.EncodeToString([]byte("no signature of anybody")),
}, ".")

// secretArguments are further arguments of a run that are no secret's place, and are used as one.
func secretArguments() []string {
	return []string{"--mesh-set", "meshConfig.defaultConfig.proxyMetadata.API_TOKEN=" + markers["METADATA"]}
}

// secretScenario writes the scenario of secrets into a folder, with a key of its own for TLS, and
// returns its path.
func secretScenario(dir string) string {
	GinkgoHelper()
	text, err := os.ReadFile("testdata/secrets.yaml")
	Expect(err).NotTo(HaveOccurred())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web.example"}, DNSNames: []string{"web.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Expect(err).NotTo(HaveOccurred())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	inPEM := func(kind string, bytes []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	pairs := []string{"@CERTIFICATE@", inPEM("CERTIFICATE", certificate), "@KEY@", inPEM("PRIVATE KEY", der), "@JWT@", webToken}
	for name, marker := range markers {
		pairs = append(pairs, "@"+name+"@", marker, "@"+name+"64@", base64.StdEncoding.EncodeToString([]byte(marker)))
	}
	pairs = append(pairs, "@PULLCONFIG@", base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf(`{"auths":{"registry.example":{"auth":%q}}}`,
		base64.StdEncoding.EncodeToString([]byte("user:"+markers["PULL"]))))))
	path := filepath.Join(dir, "secrets.yaml")
	Expect(os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o644)).To(Succeed())
	return path
}

// Looks of secrets, beside the markers.
var secretLooks = []*regexp.Regexp{
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`),
	regexp.MustCompile(`LS0tLS1CRUdJTi(?:BQUklWQVRF|BFQyBQUklW|BSU0EgUFJJ)`),
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}`),
}

// secretsIn are the secrets in a text, each with what stands before it.
func secretsIn(text string) (found []string) {
	note := func(what string, at int) {
		found = append(found, fmt.Sprintf("%s after %q", what, text[max(0, at-60):at]))
	}
	for name, marker := range markers {
		encoded := base64.StdEncoding.EncodeToString([]byte(marker))
		for _, form := range []string{marker, encoded[:len(encoded)-4]} {
			if at := strings.Index(text, form); at >= 0 {
				note(name, at)
			}
		}
	}
	for _, look := range secretLooks {
		if at := look.FindStringIndex(text); at != nil {
			note(look.String(), at[0])
		}
	}
	return found
}

// secretsBelow are the secrets in all files below a folder, what is compressed included.
func secretsBelow(dir string) (found []string) {
	GinkgoHelper()
	files := 0
	Expect(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if z, err := gzip.NewReader(bytes.NewReader(text)); err == nil { // profiles
			if text, err = io.ReadAll(z); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		for _, secret := range secretsIn(string(text)) {
			found = append(found, path+": "+secret)
		}
		return nil
	})).To(Succeed())
	Expect(files).To(BeNumerically(">", 20), "files in the run's folder")
	return found
}
