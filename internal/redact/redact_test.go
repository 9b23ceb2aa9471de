package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const (
	marker = "Xq7Marker0Zv9Secret"
	token  = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0.c2lnbmF0dXJl-_c2lnbmF0dXJl"
	keyPEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIXq7Marker0Zv9Secret\nAwEHoUQDQgAE==\n-----END EC PRIVATE KEY-----\n"
	chain  = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIRAK\n-----END CERTIFICATE-----\n"
)

// TestText: what is a secret by its looks, and what only looks a little like one.
func TestText(t *testing.T) {
	for _, text := range []string{
		token, "Authorization: Bearer " + marker, "authorization: basic " + marker + "==", keyPEM,
		strings.ReplaceAll(keyPEM, "\n", `\n`),
		"tls.key: " + base64.StdEncoding.EncodeToString([]byte(keyPEM)),
		"key: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN PRIVATE KEY-----\n"+marker)),
		"key: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\n"+marker)),
		"clone https://user:" + marker + "@git.example/x", "password: " + marker, "password=" + marker, "password: " + marker + " and more",
		`local api_key = "` + marker + `"`, `request_handle:headers():add("authorization", "` + marker + `")`,
		`headers["x-api-key"] = '` + marker + `'`, "--set global.token=" + marker, "CLIENT_SECRET=" + marker,
		`{"keys":[{"kty":"oct","k":"` + marker + `"}]}`, `{\"kty\":\"oct\",\"k\":\"` + marker + `\"}`,
		"AKIA" + "Q7MARKERZV9SECRE", "ghp_" + marker + marker,
	} {
		g := NewWithT(t)
		got := Text(text)
		g.Expect(got).To(ContainSubstring(Mark), text)
		g.Expect(got).NotTo(ContainSubstring(marker), text)
		g.Expect(got).NotTo(MatchRegexp(`eyJ|PRIVATE KEY|Q7MARKER|LS0tLS1CRUdJTi`), text)
		g.Expect(Text(got)).To(Equal(got), "once is enough")
	}
	for _, text := range []string{
		"", "short", chain, base64.StdEncoding.EncodeToString([]byte(chain)),
		"outbound|80||token-service.default.svc.cluster.local", "kubernetes://my-tls-secret",
		"/var/run/secrets/tokens/istio-token", "token: /var/run/secrets/tokens/istio-token",
		"https://istiod.istio-system.svc:15012", "secret not found", "no token: expired",
		"--pull-secret: embedded clusters pull no images", "get the secret: connection refused",
		"a bearer of news", "spiffe://cluster.local/ns/a/sa/b",
	} {
		NewWithT(t).Expect(Text(text)).To(Equal(text))
	}
}

// TestJSON: names tell of secrets, too, and everything else stays byte for byte, however the
// text comes in.
func TestJSON(t *testing.T) {
	dump := `{
 "configs": [
  {"password": "` + marker + `", "n": 1.50, "s": "\u0065scaped \" and \\"},
  {"token_secret": {"name": "token", "sds_config": {"path": "/etc/x"}}},
  {"client_secret": {"inline_string": "` + marker + `"}},
  {"header": {"key": "x-api-key", "value": "` + marker + `"}},
  {"headers": [{"name": "authorization", "string_match": {"exact": "` + marker + `"}}]},
  {"secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": "` + base64.StdEncoding.EncodeToString([]byte(chain)) + `"}, "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}}},
  {"secret": {"both": {"inline_bytes": "` + base64.StdEncoding.EncodeToString([]byte(chain+keyPEM)) + `"}}},
  {"dockerconfigjson": "` + marker + `"}, {"secrets_token": ["` + marker + `"]},
  {"inline_string": "local t = '` + token + `'"},
  {"cluster": {"name": "outbound|80||a-token", "type": "EDS"}, "route": {"name": "x-token", "domains": ["*"]}},
  {"ISTIO_METAJSON": "{\"password\":\"` + marker + `\"}"}, null, true, [] , {}
 ]}
`
	g := NewWithT(t)
	got := JSON([]byte(dump))
	g.Expect(json.Valid(got)).To(BeTrue(), string(got))
	g.Expect(string(got)).NotTo(ContainSubstring(marker))
	g.Expect(string(got)).NotTo(ContainSubstring("eyJ"))
	for _, stays := range []string{
		`"n": 1.50, "s": "\u0065scaped \" and \\"`, `{"name": "token", "sds_config": {"path": "/etc/x"}}`, `"key": "x-api-key"`,
		`"name": "authorization"`, `{"name": "outbound|80||a-token", "type": "EDS"}`, `{"name": "x-token", "domains": ["*"]}`,
		", null, true, [] , {}\n ]}\n", `{"certificate_chain": {"inline_bytes": "` + base64.StdEncoding.EncodeToString([]byte(chain)) + `"}, "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}`,
		`{"secret": {"both": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}}`,
	} {
		g.Expect(string(got)).To(ContainSubstring(stays))
	}
	g.Expect(JSON(got)).To(Equal(got), "once is enough")

	var out bytes.Buffer
	w := NewJSON(&out)
	for i := range len(dump) {
		_, err := w.Write([]byte{dump[i]})
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(w.Close()).To(Succeed())
	g.Expect(out.Bytes()).To(Equal(got), "byte by byte")

	out.Reset()
	w = NewJSON(&out)
	_, err := w.Write([]byte(`{"a": "Bearer ` + marker))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.Close()).To(Succeed())
	g.Expect(out.String()).To(Equal(`{"a": "Bearer ` + Mark))

	long := `{"a": "` + strings.Repeat("x", longest+1) + `", "b": "y"}`
	g.Expect(string(JSON([]byte(long)))).To(Equal(`{"a": "` + Mark + `", "b": "y"}`))
}

// TestFolder: files are replaced where there is something in them; all others stay the same file.
func TestFolder(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		g.Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(path, []byte(text), mode)).To(Succeed())
		return path
	}
	clean := write("a/clean.log", "one\ntwo\n"+chain, 0o600)
	before, err := os.Stat(clean)
	g.Expect(err).NotTo(HaveOccurred())
	dirty := write("a/b/dirty.log", "one\nAuthorization: Bearer "+marker+"\n"+keyPEM+"after\n"+strings.Repeat("x", longestLine+5)+"\npassword="+marker, 0o600)
	g.Expect(os.Symlink("/etc/passwd", filepath.Join(dir, "link"))).To(Succeed())

	kept := write("kubeconfig", "client-key-data: "+base64.StdEncoding.EncodeToString([]byte(keyPEM)), 0o600)
	g.Expect(Folder(dir, "kubeconfig")).To(Succeed())
	g.Expect(os.ReadFile(kept)).To(ContainSubstring("LS0t"))
	g.Expect(Folder(filepath.Join(dir, "missing"))).To(Succeed())
	after, err := os.Stat(clean)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.SameFile(before, after)).To(BeTrue())
	text, err := os.ReadFile(dirty)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).To(Equal("one\nAuthorization: Bearer " + Mark + "\n" + Mark + "\nafter\n" + strings.Repeat("x", longestLine+5) + "\npassword=" + Mark))
	info, err := os.Stat(dirty)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	left, err := filepath.Glob(filepath.Join(dir, "a/b/.*"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty())
}
