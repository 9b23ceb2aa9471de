// Package redirect gives a pod the rules by which its traffic passes its sidecar. On a node
// Istio's init container sets them with the program iptables. Here that container runs
// too, the real program of the version that is installed and with its own arguments, but is
// told to set nothing (--dry-run): it prints the input that it would give iptables-restore,
// and these rules are set in the pod's network namespace through netlink, as nftables, so that
// neither iptables nor nft is asked of the machine. So annotations, values and versions count
// as they do on a node.
//
// One thing is changed. Istio's rules know the proxy's own traffic by its user, 1337. Here
// no container runs as that user: see [Proxy].
package redirect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Command is the first argument of Istio's init container.
const Command = "istio-iptables"

// Arguments are those with which the init container's program prints its rules in place of
// setting them. An error says why its rules cannot be had.
func Arguments(args []string) ([]string, error) {
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		switch {
		case name == "--skip-rule-apply" && value != "false":
			return nil, errors.New("Istio's CNI plugin is to redirect this pod's traffic, and there is none on an embedded cluster: install Istio without it (values pilot.cni.enabled, istio_cni.enabled)")
		case name == "--native-nftables" && value != "false":
			return nil, errors.New("rules of Istio's own nftables are not read here: leave the value global.nativeNftables out, which sets the same rules through iptables")
		}
	}
	// Of an option that is given twice the last one counts; the log level of the mesh may
	// hide the rules.
	return slices.Concat(args, []string{"--dry-run", "--log_as_json=false", "--log_output_level=default:info"}), nil
}

// Rule is a rule of iptables.
type Rule struct {
	IPv6         bool
	Table, Chain string
	// Words are what comes after the chain's name: -p tcp -j RETURN.
	Words []string
}

// String is the rule as iptables takes it.
func (r Rule) String() string {
	program := "iptables"
	if r.IPv6 {
		program = "ip6tables"
	}
	return strings.Join(append([]string{program, "-t", r.Table, "-A", r.Chain}, r.Words...), " ")
}

// Rules are those of a pod, each chain's in order.
type Rules []Rule

// begin is what the program logs before the input of iptables-restore or ip6tables-restore.
const begin = "Running iptables restore with: "

// Parse reads the rules out of what the program printed with [Arguments]. Text that is no
// rule in a place where one belongs is an error, and so is an output without rules.
func Parse(output io.Reader) (Rules, error) {
	text, err := bounded.All(output, bounded.OwnFile)
	if err != nil {
		return nil, fmt.Errorf("read the rules of %s: %w", Command, err)
	}
	var p parser
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("read the rules of %s: line %q: %w", Command, lines.Text(), err)
		}
	}
	if p.table != "" {
		return nil, fmt.Errorf("read the rules of %s: table %s is not finished", Command, p.table)
	}
	if len(p.rules) == 0 {
		return nil, fmt.Errorf("read the rules of %s: it printed none", Command)
	}
	return p.rules, nil
}

// parser reads what is logged, line by line.
type parser struct {
	rules Rules
	ipv6  bool
	told  bool   // input of iptables-restore may follow
	table string // "" outside of one
}

func (p *parser) line(line string) error {
	words := strings.Fields(line)
	switch _, program, found := strings.Cut(line, begin); {
	case found:
		name, _, _ := strings.Cut(program, " ")
		p.told, p.ipv6 = true, strings.HasPrefix(name, "ip6tables")
		return nil
	case len(words) == 0 || !p.told:
		return nil // what it logs besides
	case p.table == "" && words[0] == "*" && len(words) == 2:
		p.table = words[1]
		return nil
	case p.table == "":
		return nil
	}
	switch words[0] {
	case "COMMIT":
		p.table = ""
		return nil
	case "-N":
		return nil // chains are made as rules need them
	case "-A":
		if len(words) > 2 {
			p.rules = append(p.rules, Rule{p.ipv6, p.table, words[1], words[2:]})
			return nil
		}
	case "-I":
		if len(words) > 3 {
			return p.insert(Rule{p.ipv6, p.table, words[1], words[3:]}, words[2])
		}
	}
	return errors.New("it is not a rule that is known here")
}

// insert puts a rule at a position in its chain, which counts from 1.
func (p *parser) insert(rule Rule, position string) error {
	n, err := strconv.Atoi(position)
	if err != nil || n < 1 {
		return fmt.Errorf("position %q: want a number from 1", position)
	}
	at := len(p.rules)
	for i, r := range p.rules {
		if r.IPv6 != rule.IPv6 || r.Table != rule.Table || r.Chain != rule.Chain {
			continue
		}
		if n--; n == 0 {
			at = i
			break
		}
		at = i + 1
	}
	if n > 1 {
		return errors.New("the chain has not so many rules")
	}
	p.rules = slices.Insert(p.rules, at, rule)
	return nil
}
