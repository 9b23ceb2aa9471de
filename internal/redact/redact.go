// Package redact takes secrets out of text before it is written into a run's folder: private
// keys, tokens, passwords, in configuration that Envoy shows, in logs, in errors that quote a
// manifest. A run's folder is attached to issues and published; nothing in it is worth a key.
//
// Two kinds of rules say what a secret is. What is one by its looks is found in any text: a
// private key in PEM (or base64 of it), a JSON Web Token, the credentials after Bearer and
// Basic, tokens of well-known services, a password in a URL, and what is assigned to a name like
// password or api_key. In JSON a name tells more: of a field, of the field around it, of a
// header. What a secret of no known looks under no telling name is, nobody can know: see
// SECURITY.md.
package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// Text is text without secrets.
func Text(text string) string { return string(Bytes([]byte(text))) }

// Bytes is text without secrets: the same slice where there are none.
func Bytes(text []byte) []byte {
	if !suspicious(text) {
		return text
	}
	text = jwt.ReplaceAll(text, []byte(Mark))
	text = pemKey.ReplaceAll(text, []byte(Mark))
	text = pemCut.ReplaceAll(text, []byte(Mark))
	text = base64Key.ReplaceAll(text, []byte(Mark))
	text = scheme.ReplaceAll(text, []byte("${1}"+Mark))
	text = known.ReplaceAll(text, []byte(Mark))
	text = userinfo.ReplaceAll(text, []byte("${1}"+Mark+"@"))
	text = jwkPart.ReplaceAll(text, []byte("${1}"+Mark+"${2}"))
	text = header.ReplaceAll(text, []byte("${1}"+Mark+"${3}"))
	var out []byte
	kept := 0
	for _, at := range assigned.FindAllSubmatchIndex(text, -1) {
		if value := text[at[4]:at[5]]; harmless(value) || prose(text[at[2]:at[3]], value, text[at[5]:]) {
			continue
		}
		out = append(append(out, text[kept:at[4]]...), Mark...)
		kept = at[5]
	}
	if kept == 0 {
		return text
	}
	return append(out, text[kept:]...)
}

// prose tells that what looks assigned to a name is the next word of a sentence, as errors are
// put together: "get the secret: connection refused". A password of small letters that is
// followed by another word passes for one.
func prose(name, value, rest []byte) bool {
	return bytes.HasSuffix(name, []byte(": ")) && word.Match(value) && another.Match(rest)
}

var (
	word    = regexp.MustCompile(`^[a-z]+:?$`)
	another = regexp.MustCompile(`^ ["']?[A-Za-z]`)
)

var (
	// A JSON Web Token: header and claims begin with {" in base64. The signature may be cut.
	jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}`)
	// A private key in PEM, with lines or with what JSON and YAML make of their ends.
	pemKey = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[^-]*-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`)
	pemCut = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s,:-]|\\[nr])*`)
	// The same in base64: "-----BEGIN PRIVATE KEY", or with a word of two or three letters or
	// OPENSSH, ENCRYPTED and the like before it. A certificate continues otherwise.
	base64Key = regexp.MustCompile(`LS0tLS1CRUdJTi(?:BQUklWQVRFIEtFWS|BSU0EgUFJJVkFURSBLRV|BFQyBQUklWQVRFIEtFWS|BEU0EgUFJJVkFURSBLRV|BPUEVOU1NIIFBSSVZBVEUgS0VZ|BFTkNSWVBURUQgUFJJVkFURSBLRV)[A-Za-z0-9+/=\s]*`)
	scheme    = regexp.MustCompile(`(?i)(\b(?:bearer|basic)[ +]+|\b(?:bearer|basic)%20)[A-Za-z0-9._~+/=-]{8,}`)
	known     = regexp.MustCompile(`\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}|xox[abpors]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|sk_live_[A-Za-z0-9]{16,}|npm_[A-Za-z0-9]{36}|dckr_pat_[A-Za-z0-9_-]{20,})`)
	userinfo  = regexp.MustCompile(`(\b[a-z][a-z0-9+.-]*://[^\s/:@"'<>]*:)[^\s/@"'<>]+@`)
	// The secret parts of a key in JSON, which stands as text in Envoy's configuration of
	// tokens (local_jwks): of symmetric and private keys.
	jwkPart = regexp.MustCompile(`(\\?"(?:k|d|dp|dq|qi)\\?"\s*:\s*\\?")[A-Za-z0-9_-]{16,}(\\?")`)
	// A header that a script sets: :add("authorization", "…"), ["x-api-key"] = "…".
	header = regexp.MustCompile(`(?i)(["'](?:(?:proxy-)?authorization|(?:set-)?cookie|[\w-]*(?:api-?key|token|secret|password))["']\s*\]?\s*[,=:]\s*["'])([^"'\\]{3,})(["'])`)
	// What is assigned to a name that says that it is a secret.
	assigned = regexp.MustCompile(`(?i)(["']?[\w.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)\\?["']?\s*(?::=|[:=])\s*\\?["']?)([^\s"'\\,;&<>(){}\[\]]{6,})`)
)

// triggers are parts, in small letters, one of which is in every text that a rule finds.
var triggers = [][]byte{
	[]byte("eyj"), []byte("private key"), []byte("ls0tls1crudjti"), []byte("bearer"), []byte("basic"), []byte("://"),
	[]byte("password"), []byte("passwd"), []byte("secret"), []byte("token"), []byte("key"), []byte("credential"), []byte("authorization"), []byte("cookie"),
	[]byte("akia"), []byte("asia"), []byte("ghp_"), []byte("gho_"), []byte("ghu_"), []byte("ghs_"), []byte("ghr_"), []byte("github_pat_"), []byte("glpat-"),
	[]byte("xox"), []byte("aiza"), []byte("sk_live_"), []byte("npm_"), []byte("dckr_pat_"), []byte(`"k`), []byte(`"d`), []byte(`"q`),
}

// suspicious tells cheaply whether there may be a secret in text.
func suspicious(text []byte) bool {
	if len(text) < 6 {
		return false
	}
	lower := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	for _, t := range triggers {
		if bytes.Contains(lower, t) {
			return true
		}
	}
	return false
}

// Named is the value of a field, a header or a variable with a name, without secrets.
func Named(name, value string) string {
	if value != "" && tells(name) && !harmless([]byte(value)) {
		return Mark
	}
	return Text(value)
}

// harmless tells of what a telling name has that it is no secret: a path, a reference, a word of
// a programming language, or what has been taken out already.
func harmless(value []byte) bool {
	text := string(value)
	for _, begin := range []string{"/var/", "/etc/", "/run/", "/tmp/", "/usr/", "/opt/", "/home/", "/root/", "/work/", "./", "kubernetes://", "file:", "${", "$(", "env:", "sds://", "http://", "https://", Mark, "[redacted"} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	switch strings.ToLower(strings.TrimRight(text, ".")) {
	case "string", "required", "missing", "invalid", "expired", "optional", "enabled", "disabled", "default", "unknown", "redacted", "object", "cannot", "failed", "context", "request_handle":
		return true
	}
	return false
}

// tells reports whether the name of a field or of a header says that its value is a secret.
func tells(name string) bool {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == '-' || c == '.':
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		default:
			b.WriteByte(c)
		}
	}
	plain := b.String()
	switch plain {
	case "authorization", "proxyauthorization", "cookie", "setcookie", "dockerconfigjson", "dockercfg", "passphrase", "htpasswd", "signingkey", "encryptionkey":
		return true
	}
	for _, end := range []string{"password", "passwd", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "credential", "credentials", "connectionstring"} {
		if strings.HasSuffix(plain, end) {
			return true
		}
	}
	return false
}
