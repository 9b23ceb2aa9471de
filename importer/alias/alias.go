// Package alias gives the names in somebody's objects others, the same everywhere, so that a
// mesh can be shown to people who must not know whose it is, and costs what it did.
//
// What is not known to be a word of Kubernetes, Istio, Envoy or HTTP is a name, wherever it
// stands: unknown words never pass. A name's alias is as long as the name and made of the same
// kinds of characters, a letter for a letter and a digit for a digit, with hyphens where they
// were: so it is valid where the name was, and a proxy's configuration has as many bytes. Only
// where all aliases of very short names are taken, one is longer.
//
// Kept are the words of the APIs themselves, the protocol at the beginning of a port's name,
// numbers and versions such as v1, revisions and labels by which Istio injects, the names of
// machines' regions and zones, and what Kubernetes and Istio themselves call their own objects.
package alias

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Names holds aliases by name. The zero value is not ready: see [New] and [Open].
type Names struct {
	key   []byte
	of    map[string]string
	taken map[string]bool
	// addresses are the places of IP addresses.
	addresses map[string]string
	next      netip.Addr
	next6     netip.Addr
	// bases are names that others have with a number behind them: those of StatefulSets.
	bases map[string]bool
	// kept are the words that were let through because they are the API's: keys, and values of
	// fields that hold no names.
	kept map[string]bool
}

// New returns no aliases yet. Those to come depend on a secret key, which without the map tells
// nothing about a name; nil for one of chance.
func New(key []byte) *Names {
	if key == nil {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
	}
	return &Names{key: key, of: map[string]string{}, taken: map[string]bool{}, addresses: map[string]string{},
		next: netip.MustParseAddr("198.19.0.0"), next6: netip.MustParseAddr("2001:db8:1::"), bases: map[string]bool{}, kept: map[string]bool{}}
}

// stored is the private map as a file.
type stored struct {
	About     string            `json:"about"`
	Key       string            `json:"key"`
	Names     map[string]string `json:"names"`
	Addresses map[string]string `json:"addresses,omitempty"`
}

// Open reads the map that [Names.Save] wrote, so that names keep their aliases. Where there is
// no file, it returns none yet.
func Open(path string) (*Names, error) {
	data, err := bounded.File(path, bounded.OwnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return New(nil), nil
	}
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parse reads a private map.
func parse(data []byte) (*Names, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("it is no map of aliases: %w", err)
	}
	key, err := hex.DecodeString(s.Key)
	if err != nil || len(key) < 16 {
		return nil, errors.New("it is no map of aliases: it has no key")
	}
	n := New(key)
	for name, alias := range s.Names {
		if n.taken[alias] || name == "" || alias == "" {
			return nil, fmt.Errorf("it is no map of aliases: two names have the alias %q", alias)
		}
		n.of[name], n.taken[alias] = alias, true
	}
	for from, to := range s.Addresses {
		a, err := netip.ParseAddr(to)
		if err != nil {
			return nil, fmt.Errorf("it is no map of aliases: %w", err)
		}
		n.addresses[from] = to
		switch {
		case a.Is4() && n.next.Less(a):
			n.next = a
		case a.Is6() && n.next6.Less(a):
			n.next6 = a
		}
	}
	return n, nil
}

// Save writes the map, which only its owner can read.
func (n *Names) Save(path string) error {
	data, err := json.MarshalIndent(stored{
		About: "PRIVATE: which name stands for which. Whoever has this file can read the anonymized folder.",
		Key:   hex.EncodeToString(n.key), Names: n.of, Addresses: n.addresses,
	}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil { // it may have been there
		f.Close()
		return err
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Len is the number of names with an alias.
func (n *Names) Len() int { return len(n.of) }

// Base notes the name of something of which others have the name with a number behind it, -0.
func (n *Names) Base(name string) { n.bases[name] = true }

// tries is how many aliases are tried of one length.
const tries = 64

// word is the alias of one word.
func (n *Names) word(word string) string {
	if alias, known := n.of[word]; known {
		return alias
	}
	if base, number, ok := cutNumber(word); ok && n.bases[base] {
		return n.word(base) + "-" + number
	}
	like := word
	for try := 0; ; try++ {
		if try > 0 && try%tries == 0 {
			like += "x" // all that are as short are taken
		}
		alias := n.draw(word, like, try)
		if _, name := n.of[alias]; n.taken[alias] || name || alias == word || public(alias) || hasProtocol(alias) {
			continue
		}
		n.of[word], n.taken[alias] = alias, true
		return alias
	}
}

// cutNumber cuts a number and its hyphen off the end of a word.
func cutNumber(word string) (base, number string, ok bool) {
	i := strings.LastIndexByte(word, '-')
	if i <= 0 || i == len(word)-1 || strings.Trim(word[i+1:], "0123456789") != "" {
		return "", "", false
	}
	return word[:i], word[i+1:], true
}

// draw makes up an alias in the form of a word.
func (n *Names) draw(word, like string, try int) string {
	alias := make([]byte, len(like))
	var sum []byte
	for i := range len(like) {
		if i%sha256.Size == 0 {
			mac := hmac.New(sha256.New, n.key)
			fmt.Fprintf(mac, "%s\x00%d\x00%d", word, try, i)
			sum = mac.Sum(nil)
		}
		c, r := like[i], sum[i%sha256.Size]
		switch {
		case c >= 'a' && c <= 'z':
			c = 'a' + r%26
		case c >= 'A' && c <= 'Z':
			c = 'A' + r%26
		case c >= '0' && c <= '9':
			c = '0' + r%10
		}
		alias[i] = c
	}
	return string(alias)
}

// words matches what may be a name, or a part of one between dots and slashes.
var words = regexp.MustCompile(`[A-Za-z0-9_]+(?:-+[A-Za-z0-9_]+)*`)

var (
	// number is a number, a duration, a size or a share, and version a version of an API or of
	// an app without anything else.
	number  = regexp.MustCompile(`^[0-9]+(?:[0-9_.]*)(?:ns|us|ms|s|m|h|d|k|K|M|G|T|Ki|Mi|Gi|Ti|n|u|x)?$`)
	version = regexp.MustCompile(`^v[0-9]+(?:(?:alpha|beta)[0-9]+)?$`)
	// capitals are words of enumerations.
	capitals = regexp.MustCompile(`^[A-Z][A-Z0-9_]*(?:-[A-Z0-9_]+)*$`)
	// operator is one of Envoy's in access logs: %REQ(:METHOD)%.
	operator = regexp.MustCompile(`%[A-Z_0-9]+(?:\([^)%]*\))?(?::[0-9]+)?%`)
	// address4 is an IPv4 address with the length of its range, if it has one.
	address4 = regexp.MustCompile(`\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?\b`)
)

// isFree reports whether a word tells nothing about anybody.
func isFree(word string) bool {
	return public(word) || number.MatchString(word) && len(word) < longNumber || version.MatchString(word)
}

// longNumber is the length from which a number is somebody's: an account has twelve digits.
const longNumber = 9

// Text gives every word of a text that is not the API's an alias. Words in capitals are those of
// enumerations.
func (n *Names) Text(s string) string { return n.text(s, true) }

// Name is Text for what is a name as a whole, in which no enumeration stands.
func (n *Names) Name(s string) string { return n.text(s, false) }

func (n *Names) text(s string, enumerations bool) string {
	if strings.HasPrefix(s, "envoy.") || strings.HasPrefix(s, "istio.") || strings.HasPrefix(s, "type.googleapis.com/") {
		return s
	}
	if moved, ok := n.address(s); ok {
		return moved
	}
	return outside(s, operator, func(s string) string {
		return outside(s, address4, func(s string) string {
			return words.ReplaceAllStringFunc(s, func(word string) string {
				if isFree(word) || enumerations && capitals.MatchString(word) && len(word) > 1 {
					return word
				}
				return n.word(word)
			})
		}, n.ranged)
	}, nil)
}

// Known gives only the names that have an alias already theirs, in a text that must stay what it
// is, such as an expression.
func (n *Names) Known(s string) string {
	return words.ReplaceAllStringFunc(s, func(word string) string {
		if alias, known := n.of[word]; known && !isFree(word) {
			return alias
		}
		return word
	})
}

// outside applies change to what lies between the matches of a pattern, and to to those; nil
// keeps them.
func outside(s string, pattern *regexp.Regexp, change, to func(string) string) string {
	var b strings.Builder
	end := 0
	for _, at := range pattern.FindAllStringIndex(s, -1) {
		b.WriteString(change(s[end:at[0]]))
		if match := s[at[0]:at[1]]; to != nil {
			b.WriteString(to(match))
		} else {
			b.WriteString(match)
		}
		end = at[1]
	}
	b.WriteString(change(s[end:]))
	return b.String()
}

// address moves a text that is an address or a range of them.
func (n *Names) address(s string) (string, bool) {
	if !strings.ContainsAny(s, ".:") {
		return s, false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return n.ranged(s), true
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return n.ranged(s), true
	}
	return s, false
}

// ranged moves an address, or the beginning of a range.
func (n *Names) ranged(s string) string {
	text, bits, isRange := strings.Cut(s, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return s
	}
	a = a.Unmap()
	switch {
	case a.IsLoopback(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), reserved(a):
		return s
	case isRange && a.IsPrivate() && (bits == "8" || bits == "12" || bits == "16"):
		return s // said by everybody
	}
	to, known := n.addresses[text]
	if !known {
		next := &n.next
		if a.Is6() {
			next = &n.next6
		}
		*next = next.Next()
		to = next.String()
		n.addresses[text] = to
	}
	if isRange {
		to += "/" + bits
	}
	return to
}

// reserved reports whether an address is of a range that nobody has: those that a replay puts in
// the place of others, and those that istiod gives to hosts without one.
func reserved(a netip.Addr) bool {
	for _, r := range []string{"198.18.0.0/15", "240.240.0.0/16", "2001:2::/48", "2001:db8::/32"} {
		if netip.MustParsePrefix(r).Contains(a) {
			return true
		}
	}
	return false
}

// PortName gives the name of a port an alias. What Istio takes for its protocol stays.
func (n *Names) PortName(name string) string {
	protocol, rest := cutProtocol(name)
	switch {
	case protocol == "" || rest == "":
		return n.Name(name)
	default:
		return protocol + "-" + n.Name(rest)
	}
}

// protocols are the beginnings of ports' names by which Istio knows their protocol
// (pkg/config/protocol of istio.io/istio), longer ones first.
func protocols() []string {
	return []string{"grpc-web-native", "grpc-web", "http2", "https", "http", "grpc", "tcp", "udp", "tls", "mongo", "mysql", "redis", "hbone", "thrift", "auto", "double-hbone"}
}

// cutProtocol cuts a port's name behind its protocol.
func cutProtocol(name string) (protocol, rest string) {
	for _, p := range protocols() {
		if name == p {
			return p, ""
		}
		if after, ok := strings.CutPrefix(name, p+"-"); ok {
			return p, after
		}
	}
	return "", name
}

// hasProtocol reports whether Istio would take a word for a port of a protocol.
func hasProtocol(word string) bool {
	protocol, _ := cutProtocol(word)
	return protocol != ""
}

// Regexp gives the names in a regular expression aliases. What is special in it stays; if it is
// none any more, any text is matched in its place.
func (n *Names) Regexp(s string) string {
	changed := outside(s, special, n.Name, nil)
	if _, err := regexp.Compile(changed); err != nil {
		return ".*"
	}
	return changed
}

// special matches what is no text in a regular expression: classes, escapes, groups' options and
// repetitions.
var special = regexp.MustCompile(`\[(?:\\.|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|x[0-9a-fA-F]{2}|.)|\(\?[^):]*[:)]?|\{[0-9,]*\}`)

// Leak is a name that still stands in a text.
type Leak struct {
	Name string
	Line int
}

// Leaks finds names with aliases in a text that is to be shown. Words that the APIs have
// themselves do not count.
func (n *Names) Leaks(text string) []Leak {
	var found []Leak
	for i, line := range strings.Split(text, "\n") {
		for _, word := range words.FindAllString(line, -1) {
			if _, name := n.of[word]; name && !isFree(word) && !n.kept[word] && !n.taken[word] {
				found = append(found, Leak{word, i + 1})
			}
		}
	}
	return found
}
