package childenv

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestNothingElse: what is not named is not handed on, whoever asks, and what is needed is.
func TestNothingElse(t *testing.T) {
	g := NewWithT(t)
	for name, value := range map[string]string{
		"AWS_SECRET_ACCESS_KEY": "marker", "AWS_SESSION_TOKEN": "marker", "GITHUB_TOKEN": "marker", "ACTIONS_RUNTIME_TOKEN": "marker",
		"KUBECONFIG": "marker", "LD_PRELOAD": "marker", "LD_LIBRARY_PATH": "marker", "GOFLAGS": "marker", "PYTHONPATH": "marker", "BASH_ENV": "marker",
		"SSH_AUTH_SOCK": "marker", "GOOGLE_APPLICATION_CREDENTIALS": "marker", "OPENAI_API_KEY": "marker",
		"HTTPS_PROXY": "http://proxy", "GOPROXY": "http://modules", "PIP_INDEX_URL": "http://packages", "DOCKER_HOST": "unix:///x", "PATH": "/bin", "HOME": "/h",
	} {
		t.Setenv(name, value)
	}
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"go":     {Go(), []string{"HTTPS_PROXY=http://proxy", "GOPROXY=http://modules", "PATH=/bin", "HOME=/h"}},
		"python": {Python(), []string{"HTTPS_PROXY=http://proxy", "PIP_INDEX_URL=http://packages", "PATH=/bin", "HOME=/h"}},
		"engine": {Engine(), []string{"HTTPS_PROXY=http://proxy", "DOCKER_HOST=unix:///x", "PATH=/bin", "HOME=/h"}},
		"none":   {None(), nil},
	} {
		g.Expect(c.env).NotTo(BeNil(), "nil is everything")
		g.Expect(strings.Join(c.env, "\n")).NotTo(ContainSubstring("marker"), name)
		for _, variable := range c.want {
			g.Expect(c.env).To(ContainElement(variable), name)
		}
	}
	t.Setenv("DOCKER_HOST", "ssh://somebody@elsewhere")
	g.Expect(Engine()).To(ContainElement("SSH_AUTH_SOCK=marker"))
}
