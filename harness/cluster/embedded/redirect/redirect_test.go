package redirect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		args []string
		err  string
	}{
		{[]string{Command, "-p", "15001"}, ""},
		{[]string{Command, "--skip-rule-apply=false", "--native-nftables=false"}, ""},
		{[]string{Command, "--run-validation", "--skip-rule-apply"}, "Istio's CNI plugin is to redirect"},
		{[]string{Command, "--native-nftables"}, "leave the value global.nativeNftables out"},
	} {
		g := NewWithT(t)
		got, err := Arguments(tt.args)
		if tt.err != "" {
			g.Expect(err).To(MatchError(ContainSubstring(tt.err)))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(got[:len(tt.args)]).To(Equal(tt.args))
		g.Expect(got).To(ContainElement("--dry-run"))
	}
}

// logged is how the program prints rules: among other lines, which look like rules before it
// says that they are.
const logged = `2026-11-30T09:05:09Z	info	Istio iptables variables:
-A PREROUTING -j NOTHING
* nat

2026-11-30T09:05:09Z	info	Running iptables restore with: iptables-restore and the following input:
* mangle
-A PREROUTING -m conntrack --ctstate INVALID -j DROP
COMMIT
* nat
-N ISTIO_OUTPUT
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-I ISTIO_OUTPUT 1 -o lo -j RETURN
-I ISTIO_OUTPUT 3 -o eth0 -j RETURN
COMMIT
2026-11-30T09:05:09Z	info	Running iptables restore with: ip6tables-restore and the following input:
* nat
-A OUTPUT -p tcp -j RETURN
COMMIT
2026-11-30T09:05:09Z	info	skipping configuring routes due to dry run mode
`

func TestParse(t *testing.T) {
	g := NewWithT(t)
	rules, err := Parse(strings.NewReader(logged))
	g.Expect(err).NotTo(HaveOccurred())
	var got []string
	for _, r := range rules {
		got = append(got, r.String())
	}
	g.Expect(got).To(Equal([]string{
		"iptables -t mangle -A PREROUTING -m conntrack --ctstate INVALID -j DROP",
		"iptables -t nat -A OUTPUT -p tcp -j ISTIO_OUTPUT",
		"iptables -t nat -A ISTIO_OUTPUT -o lo -j RETURN",
		"iptables -t nat -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN",
		"iptables -t nat -A ISTIO_OUTPUT -o eth0 -j RETURN",
		"ip6tables -t nat -A OUTPUT -p tcp -j RETURN",
	}))
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "it printed none",
		"Error: unknown flag: --nosuch\n":   "it printed none",
		begin + "iptables-restore\n* nat\n": "table nat is not finished",
		begin + "iptables-restore\n* nat\n-D OUTPUT -j RETURN\nCOMMIT\n":              `line "-D OUTPUT -j RETURN": it is not a rule that is known here`,
		begin + "iptables-restore\n* nat\n-A OUTPUT\nCOMMIT\n":                        "it is not a rule",
		begin + "iptables-restore\n* nat\n-I OUTPUT 0 -j RETURN\nCOMMIT\n":            "want a number from 1",
		begin + "iptables-restore\n* nat\n-I OUTPUT 2 -j RETURN\nCOMMIT\n":            "the chain has not so many rules",
		begin + "iptables-restore\n* nat\n-A OUTPUT -j RETURN\n2026 info x\nCOMMIT\n": "it is not a rule",
	} {
		_, err := Parse(strings.NewReader(text))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)), text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(logged)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Parse(strings.NewReader(text))
		if err == nil && len(rules) == 0 {
			t.Error("neither rules nor an error")
		}
		for _, r := range rules {
			if r.Table == "" || r.Chain == "" || len(r.Words) == 0 {
				t.Errorf("an empty part in %+v", r)
			}
		}
	})
}
