package plain

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestText(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		"":                       "",
		"plain, ä, 漢, ✓\n\tx":    "plain, ä, 漢, ✓\n\tx",
		"\x1b[31mred\x1b[0m":     `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\a":         `\x1b]0;title\x07`,
		"a\rb\bc\x00\x7f":        `a\x0db\x08c\x00\u007f`,
		"\u009b31m":              `\u009b31m`,
		"\x9b31m":                `\x9b31m`, // a byte, to terminals that are not of UTF-8
		"user\u202e txt.exe":     `user\u202e txt.exe`,
		"\u2066x\u2069\u200f":    `\u2066x\u2069\u200f`,
		"tag \U000e0041":         `tag \udb40\udc41`,
		"broken \xff\xc3":        `broken \xff\xc3`,
		"the mark itself \ufffd": "the mark itself \ufffd",
	} {
		g.Expect(Text(text)).To(Equal(want))
		g.Expect(Text(want)).To(Equal(want))
	}
	g.Expect(Line("a\r\nb\tc\x1b")).To(Equal(`a b c\x1b`))
}

func TestCell(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		"": "", "name": "name", "1": "1", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-cmd": "'-cmd", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "＝x": "'＝x",
	} {
		g.Expect(Cell(text)).To(Equal(want))
	}
}

func TestMarkdown(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		"plain 1.5 text, x-y":      "plain 1.5 text, x-y",
		"a|b":                      `a\|b`,
		"`x` *y* __z__ ~~s~~":      "\\`x\\` \\*y\\* \\_\\_z\\_\\_ \\~\\~s\\~\\~",
		"[a](javascript:b)":        `\[a\](javascript:b)`,
		"![a](http://b)":           `!\[a\](http://b)`,
		"<img src=x>":              "&lt;img src=x&gt;",
		"&lt;b&gt; a & b":          "&amp;lt;b&amp;gt; a & b",
		"# no heading":             `\# no heading`,
		"- no item":                `\- no item`,
		"1. none either":           `1\. none either`,
		"===":                      `\===`,
		"---":                      `\---`,
		"## no heading":            `\## no heading`,
		"-":                        "-",
		"+201":                     "+201",
		"a ~ b":                    "a ~ b",
		"28 ~":                     "28 ~",
		"hello @team, a@b, x @sha": "hello @<!-- -->team, a@b, x @<!-- -->sha",
		"line\n## next":            "line ## next",
	} {
		g.Expect(Markdown(text)).To(Equal(want))
	}
	g.Expect(Fence("x")).To(Equal("```"))
	g.Expect(Fence("a ```` b ``` c")).To(Equal("`````"))
}

func TestOutput(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		"::error::a":                   `:\u003aerror::a`,
		"a\n \t\u00a0::error x=1::a\n": "a\n \t\u00a0" + `:\u003aerror x=1::a` + "\n",
		"a ::error::b":                 "a ::error::b",
		"outbound|80||web":             "outbound|80||web",
		"##[error]a":                   `##\u005berror]a`,
		"a ###[group]##[x]":            `a ###\u005bgroup]##\u005bx]`,
		"##vso[task.x]":                `##vso\u005btask.x]`,
		"## a [b], #[c]":               "## a [b], #[c]",
		"##\n[a]\n:\n:":                "##\n[a]\n:\n:",
		"\x1b[2J::":                    `\x1b[2J::`,
	} {
		g.Expect(Output(text)).To(Equal(want))
		g.Expect(Output(want)).To(Equal(want))
		var out bytes.Buffer
		w := NewOutput(&out)
		for i := range len(text) { // commands in pieces
			_, err := w.Write([]byte{text[i]})
			g.Expect(err).NotTo(HaveOccurred())
		}
		g.Expect(out.String()).To(Equal(want))
	}
}

// TestJSON: what an encoder has written is the same JSON on a terminal.
func TestJSON(t *testing.T) {
	g := NewWithT(t)
	text := "\x00\x1b\x7f\u0085\u009b\u2028\u202e\U000e0041 ::error::a ##[error]b"
	encoded, err := json.Marshal(text)
	g.Expect(err).NotTo(HaveOccurred())
	var again string
	g.Expect(json.Unmarshal([]byte(Output(string(encoded))), &again)).To(Succeed())
	g.Expect(again).To(Equal(text))
}

func TestWriter(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	w := NewWriter(&out)
	g.Expect(Raw(w)).To(BeIdenticalTo(&out))
	g.Expect(Raw(&out)).To(BeIdenticalTo(&out))
	const text = "ä漢\U0001f600\x1b[2J\u202eb\n"
	for i := range len(text) { // runes in pieces
		n, err := w.Write([]byte{text[i]})
		g.Expect(n).To(Equal(1))
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(out.String()).To(Equal("ä漢\U0001f600" + `\x1b[2J\u202eb` + "\n"))
	out.Reset()
	n, err := w.Write([]byte(strings.Repeat(text, 2)))
	g.Expect(n).To(Equal(2 * len(text)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out.String()).To(Equal(strings.Repeat("ä漢\U0001f600"+`\x1b[2J\u202eb`+"\n", 2)))
}
