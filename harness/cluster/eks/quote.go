package eks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/instances"
	"github.com/meshbench/meshbench/internal/bounded"
)

// readPrices are the built-in prices with those of a YAML file over them; path may be "".
// The file's fields are those of [instances.Prices].
func readPrices(path string) (instances.Prices, error) {
	prices := instances.List()
	if path == "" {
		return prices, nil
	}
	text, err := bounded.File(path, bounded.OwnFile)
	if err != nil {
		return prices, fmt.Errorf("--price-file: %w", err)
	}
	var own instances.Prices
	if err := yaml.UnmarshalStrict(text, &own); err != nil {
		return prices, fmt.Errorf("--price-file %s: %w", path, err)
	}
	if own.Date == "" || own.Region == "" {
		return prices, fmt.Errorf("--price-file %s: say with date and region when and where the prices hold", path)
	}
	if own.Region == prices.Region { // what is not in the file is as it was
		err = yaml.UnmarshalStrict(text, &prices)
		own = prices
	}
	own.Source = cmp.Or(own.Source, path)
	for name, price := range map[string]float64{
		"controlPlane": own.ControlPlane, "extendedSupport": own.ExtendedSupport, "gibMonth": own.GiBMonth,
		"publicIPv4": own.PublicIPv4, "natGateway": own.NATGateway,
	} {
		if price <= 0 {
			err = errors.Join(err, fmt.Errorf("--price-file %s: %s is missing, and the built-in one is of %s", path, name, prices.Region))
		}
	}
	return own, err
}

// runHours is the length of a run that the price is told for. None was measured on AWS yet.
const runHours = 1

// quote is what a run makes and what that costs.
type quote struct {
	account  *account
	prices   instances.Prices
	version  offered
	existing string // the name of a cluster that is there; "" for one that is made
	phases   []cluster.Phase
	public   bool // nodes have public addresses
	nat      bool // the subnets lead out through NAT gateways, which are there
	spot     bool
	roles    int // that are made
}

// line is a position of the quote.
type line struct {
	what string
	hour float64 // US dollars
}

// lines are the positions, and their sum at the dearest time, an hour.
func (q quote) lines() (all []line, most float64, err error) {
	plane := line{"EKS control plane, Kubernetes " + q.version.Name, q.prices.ControlPlane}
	if q.version.Extended {
		plane = line{plane.what + " (extended support)", q.prices.ExtendedSupport}
	}
	if q.existing != "" {
		plane = line{fmt.Sprintf("EKS control plane of %s, which is there anyway", q.existing), 0}
	}
	all = append(all, plane)
	dearest, nodes := 0.0, 0
	var errs []error
	for _, peak := range peaks(q.phases) {
		sum, n := 0.0, 0
		for t, count := range peak {
			price, err := q.prices.Instance(t)
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: give a --price-file with it", err))
			}
			sum += float64(count) * price
			n += count
		}
		dearest, nodes = max(dearest, sum), max(nodes, n)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, 0, err
	}
	how := ""
	if q.spot {
		how = " (on demand; spot costs less)"
	}
	for i, p := range q.phases {
		when := ", at the start"
		if i > 0 {
			when = ", later"
		}
		if len(q.phases) == 1 {
			when = ""
		}
		for _, g := range p.Nodes {
			price, _ := q.prices.Instance(g.InstanceType) // it was asked for above
			all = append(all, line{fmt.Sprintf("%d x %s%s%s", g.Count, g.InstanceType, when, how), float64(g.Count) * price})
		}
	}
	more := []line{{fmt.Sprintf("%d disks (gp3, 20 GiB)", nodes), float64(nodes) * q.prices.Disk()}}
	if q.public {
		more = append(more, line{fmt.Sprintf("%d public IPv4 addresses", nodes), float64(nodes) * q.prices.PublicIPv4})
	}
	if q.nat {
		more = append(more, line{fmt.Sprintf("NAT gateways, which are there anyway at $%.3f an hour each; what nodes pull costs besides", q.prices.NATGateway), 0})
	}
	most = plane.hour + dearest
	for _, l := range more {
		most += l.hour
	}
	return append(all, more...), most, nil
}

// text is the quote in words.
func (q quote) text() (string, error) {
	all, most, err := q.lines()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	where := fmt.Sprintf("AWS account %s, region %s", q.account.ID, q.account.Region)
	if q.account.Emulated != "" {
		where = fmt.Sprintf("what answers in AWS's place at %s, region %s", q.account.Emulated, q.account.Region)
	}
	fmt.Fprintf(&b, "Each run of this command makes in %s, and deletes at its end:\n", where)
	width := 0
	for _, l := range all {
		width = max(width, len(l.what))
	}
	for _, l := range all {
		fmt.Fprintf(&b, "  %-*s  $%.3f an hour\n", width, l.what, l.hour)
	}
	if q.roles > 0 {
		fmt.Fprintf(&b, "  %-*s  free\n", width, fmt.Sprintf("%d IAM roles", q.roles))
	}
	fmt.Fprintf(&b, "At most $%.2f an hour, so at most $%.2f for a run of %d h, without taxes and data transfer.\n", most, most*runHours, runHours)
	fmt.Fprintf(&b, "Prices are %s's of %s (%s)", q.prices.Region, q.prices.Date, q.prices.Source)
	if q.prices.Region != q.account.Region {
		fmt.Fprintf(&b, ", not %s's: give those with --price-file", q.account.Region)
	}
	b.WriteString(".")
	return b.String(), nil
}

// typesOf are the instance types of all phases, sorted.
func typesOf(phases []cluster.Phase) []string {
	var types []string
	for _, g := range groupsOf(phases) {
		if !slices.Contains(types, g.InstanceType) {
			types = append(types, g.InstanceType)
		}
	}
	slices.Sort(types)
	return types
}
