package components

// The components of runs that send requests, which are obtained only when [Options] ask
// for them.
const (
	// CoreDNS answers for the names of Services. Of its plugins those are built that
	// modules/coredns.txt names.
	CoreDNS Name = "coredns"
	// Fortio sends requests, and answers them. Its command script is left out.
	Fortio Name = "fortio"
)

// The releases that are pinned here: CoreDNS is that of Kubernetes 1.31 and of EKS with it.
const (
	corednsRelease = "1.11.3"
	fortioRelease  = "1.75.3"
)

const (
	corednsModule = "github.com/coredns/coredns"
	fortioModule  = "fortio.org/fortio"
)

// trafficUnits are those of runs that send requests.
func trafficUnits() ([]*unit, error) {
	coredns, err := corednsUnit()
	if err != nil {
		return nil, err
	}
	fortio, err := fortioUnit()
	if err != nil {
		return nil, err
	}
	return []*unit{coredns, fortio}, nil
}

func corednsUnit() (*unit, error) {
	g, pins, err := readModules("coredns-" + corednsRelease)
	if err != nil {
		return nil, err
	}
	source, err := pinned.ReadFile("modules/coredns.txt")
	if err != nil {
		return nil, err
	}
	g.programs = map[Name]program{CoreDNS: {pkg: "meshbench.invalid/coredns/coredns", ldflags: "-s -w", source: string(source)}}
	u := &unit{name: "coredns", version: corednsRelease, builder: g, compiles: true}
	u.add(CoreDNS, corednsRelease, corednsModule+"@"+pins[corednsModule], "coredns", false)
	return u, nil
}

func fortioUnit() (*unit, error) {
	g, pins, err := readModules("fortio-" + fortioRelease)
	if err != nil {
		return nil, err
	}
	g.programs = map[Name]program{Fortio: {
		pkg:     "meshbench.invalid/fortio/fortio",
		ldflags: "-s -w",
		// Upstream's main package calls this one. What the command script interprets is a
		// language whose module not every proxy has, and nothing here uses it.
		patch: &patch{module: fortioModule, pkg: fortioModule + "/cli", edits: []string{
			"package cli // import \"fortio.org/fortio/cli\"\n", "package main\n",
			"\t\"fortio.org/fortio/grol\"\n", "",
			"func FortioMain(", "func main() { os.Exit(FortioMain(nil)) }\n\nfunc FortioMain(",
			"return grol.ScriptMode(*scriptInit)", "cli.ErrUsage(\"Error: this fortio has no command script (-init %q)\", *scriptInit)",
		}},
	}}
	u := &unit{name: "fortio", version: fortioRelease, builder: g, compiles: true}
	u.add(Fortio, fortioRelease, fortioModule+"@"+pins[fortioModule], "fortio", false)
	return u, nil
}

// trafficImages are the images that the same programs are published in: CoreDNS with all of
// its plugins, Fortio with all of its commands.
func trafficImages() []publishedImage {
	return []publishedImage{
		{name: KubernetesHub + "/coredns/coredns", tag: "v" + corednsRelease, version: corednsRelease, files: map[Name]string{CoreDNS: "/coredns"}},
		{name: FortioHub + "/fortio", tag: fortioRelease, version: fortioRelease, files: map[Name]string{Fortio: "/usr/bin/fortio"}},
	}
}
