# make bench SCENARIO=headless   run a scenario and print its report
# make compare BASE=1.22.3 HEAD=1.23.2   two versions of Istio, side by side
# make test                      everything that CI runs
SCENARIO ?= headless
CLUSTER  ?= embedded
ARGS     ?=
# All but what models are made of.
SCENARIOS := $(filter-out cost-model%,$(patsubst scenarios/%.yaml,%,$(wildcard scenarios/*.yaml)))
REPEAT   ?= 4
LABELS   ?= !nightly
BASE     ?= 1.22.3
HEAD     ?= 1.23.2
FUZZTIME ?= 10m
FUZZRECORD ?= docs/data/fuzz.jsonl
SOAK     ?= 8h
SCRIPTS  := $(filter-out %.yml %.tsv .ci/accepted,$(wildcard .ci/* .github/action/* e2e/kind/*.sh e2e/gates/*.sh harness/components/modules/*.sh))
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# One set of flags for building, testing, and the components (goFlags in harness/components):
# what differs in them is compiled twice, the standard library first of all. Debug information
# is not made, as the linker drops it (-s -w); for a debugger, build without make.
export CGO_ENABLED := 0
export GOFLAGS     := $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false

# Compilers collect their garbage more rarely (compilerGOGC in harness/components): a sixth less
# time. For them alone: tests and runs hand their environment on to what they measure.
COMPILER_GOGC := $(or $(GOGC),300)

# One after the other, whatever -j says: unit tests and end-to-end tests measure, and would
# measure each other.
.NOTPARALLEL:
.PHONY: bench compare build eks first-run components generate test unit e2e faults reliability-doc user skips e2e-kind benchmark performance-doc fuzz fuzz-doc soak soak-doc nightly false-alarms regressions history versions versions-doc ci-summary lint licenses vuln clean help

# Clusters on EKS take a program of their own (docs/eks.md).
bench: $(if $(filter eks,$(CLUSTER)),eks,build) ## run SCENARIO, with further flags in ARGS
	$(if $(filter eks,$(CLUSTER)),bin/meshbench-eks,bin/meshbench) run $(SCENARIO) --cluster $(CLUSTER) $(ARGS)

compare: build ## run SCENARIO with Istio BASE and HEAD in turns, REPEAT times each, and compare
	bin/meshbench compare --scenario $(SCENARIO) --istio $(BASE),$(HEAD) --repeat $(REPEAT) --cluster $(CLUSTER) $(ARGS)

# Symbols are left out: 200 sidecars start through this program, so its size counts.
build: ## build bin/meshbench
	GOGC=$(COMPILER_GOGC) go build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/meshbench ./cmd/meshbench

eks: ## build bin/meshbench-eks, which has --cluster eks
	GOGC=$(COMPILER_GOGC) go build -tags eks -ldflags "-s -w -X main.version=$(VERSION)" -o bin/meshbench-eks ./cmd/meshbench

# From empty caches in a temporary folder; takes a quarter of an hour of the whole machine.
# STEPS="components scenario" leaves out a part, BUNDLE=FILE imports the components.
first-run: export SCENARIO := $(SCENARIO)
first-run: ## seconds that the tool, the components and SCENARIO take the first time
	.ci/first-run

components: build ## obtain what the embedded cluster is made of
	bin/meshbench components --traffic

# What the charts and sources of the pinned versions say of themselves: webhooks, values,
# fields. A test holds the files against them.
generate: ## write meshfacts/data from the pinned versions of Istio
	go run ./harness/mesh/generate

test: unit e2e skips ## all tests

# Tests append what they skip, and why, to lists in bin; MESHBENCH_REQUIRE=1 makes those
# skips fail that somebody could spare them (package internal/skip). The packages that take longest
# wait for programs: three at a time on two cores.
unit: export MESHBENCH_SKIPS := $(CURDIR)/bin/skips-unit.txt
unit: build components ## vet, unit tests, command-line tests
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	GOGC=$(COMPILER_GOGC) go vet ./...
	rm -f $(MESHBENCH_SKIPS)
	go test -p 3 $$(go list ./... | grep -vE '/e2e(/faults)?$$')
	go test -tags eks ./harness/cluster/providers

# Most of a run is waiting for readings, so two at a time take little more than one.
# LABELS=nightly runs what is left out for its time, LABELS=eks one suite.
e2e: export MESHBENCH_SKIPS := $(CURDIR)/bin/skips-e2e.txt
e2e: build ## end-to-end tests on the embedded cluster, those of LABELS
	rm -f $(MESHBENCH_SKIPS)
	MESHBENCH_E2E=1 go tool ginkgo --procs 2 -v --no-color --timeout 2h --label-filter '$(LABELS)' ./e2e

# Each fault is made in a run of its own, at a moment that the seed chooses: SEED=n makes the
# same again, FAULT=words those whose names hold these words. What comes of them is appended to
# bin/faults.jsonl.
faults: LABELS :=
faults: export MESHBENCH_SKIPS := $(CURDIR)/bin/skips-faults.txt
faults: build ## faults in real runs, with SEED, those of FAULT or of LABELS
	rm -f $(MESHBENCH_SKIPS)
	MESHBENCH_E2E=1 go tool ginkgo --procs 3 -v --no-color --timeout 3h $(if $(SEED),--seed $(SEED)) \
	  $(if $(FAULT),--focus '$(FAULT)') --label-filter '$(LABELS)' ./e2e/faults

reliability-doc: ## write what came of the last faults into docs/reliability.md
	go run ./internal/reliability/doc docs/reliability.md bin/faults.jsonl

user: LABELS := user && !nightly
user: e2e skips ## the end-to-end tests that CI repeats as an ordinary user

skips: ## what the last tests skipped, and why
	@cat bin/skips-*.txt 2>/dev/null | sort -u | awk -F '\t' \
	  '{ printf "skipped: %s %s: %s\n", $$1, $$2, $$3 } END { if (!NR) print "skipped: no test" }'

# Needs a container engine and a node image, see docs/kind.md.
e2e-kind: build ## end-to-end tests on kind clusters
	MESHBENCH_E2E_KIND=1 go test ./e2e -count=1 -timeout 90m -v -ginkgo.v -ginkgo.label-filter=kind

# In the benchmark format, so that benchstat compares two of them. About ten minutes on two
# cores that nobody else uses; BENCH chooses, and BENCH_ARGS sets sizes: of simulated pods
# BENCH_ARGS='-bench.nodes 250,500,1000'.
BENCH      ?= .
BENCH_ARGS ?=
benchmark: build ## measure speed: ratios and figures as a table, results in bin/benchmark.txt
	bin/meshbench components istioctl kubectl >/dev/null
	@echo "measuring; what is done is in bin/benchmark.txt"
	go test ./proxyconfig -run '^$$' -bench '$(BENCH)' -benchtime 3x >bin/benchmark.txt || { cat bin/benchmark.txt; exit 1; }
	go test ./e2e -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 2h -args $(BENCH_ARGS) >>bin/benchmark.txt 2>&1 || { tail -n 50 bin/benchmark.txt; exit 1; }
	go run ./internal/performance bin/benchmark.txt

performance-doc: benchmark ## the same, into docs/performance.md, with this machine and the date
	go run ./internal/performance -version $(VERSION) -doc docs/performance.md bin/benchmark.txt

# Each target that internal/fuzzing lists, one after the other; FUZZ="FuzzLoad store.FuzzRead"
# chooses. What came of each is appended to FUZZRECORD, of which fuzz-doc makes a table.
fuzz: ## every parser with made-up input, FUZZTIME (10m) each
	go build -o bin/fuzzing ./internal/fuzzing
	bin/fuzzing -time $(FUZZTIME) -record $(FUZZRECORD) $(FUZZ)

fuzz-doc: ## what was fuzzed so far, into docs/reliability.md
	go run ./internal/fuzzing -record $(FUZZRECORD) -doc docs/reliability.md

# 8 hours, or SOAK=30m. Two clusters at a time; see e2e/soak. What was sampled stays in
# runs/soak-TIME, and make soak-doc SAMPLES=runs/soak-TIME puts it into docs/reliability.md.
soak: build ## runs for SOAK (8h), and whether anything grows meanwhile
	go build -o bin/soak ./e2e/soak
	bin/soak -for $(SOAK)

soak-doc: ## what SAMPLES, a folder of make soak, say, into docs/reliability.md
	go run ./e2e/soak -judge $(SAMPLES) -doc docs/reliability.md

# The newest Istio against the accepted one, and this meshbench against BEFORE, by default the
# last release; without one that comparison is left out. Memory is judged on any machine.
nightly: build ## regressions in SCENARIOS, by pairs measured in turns
	BEFORE="$$(.ci/before)" .ci/nightly $(SCENARIOS)

# 120 pairs, two minutes each on two CPUs: call it again until it is done.
false-alarms: build ## gates of a version against itself, measured for MINUTES (60), from a store
	e2e/gates/falsealarms.sh $(or $(STORE),docs/data/falsealarms.jsonl) $(or $(MINUTES),60)

regressions: build ## what a gate by pairs must find, each with at most eight pairs of one-pod
	e2e/gates/regressions.sh

# A night that failed appends what it has, too.
history: build ## append the last nightly's runs to the store in the branch history, and publish its page there
	.ci/history runs/nightly

# The machine must have nothing else to do. Takes about two minutes a run, and as long as it
# takes to build what was never built here.
versions: build ## run SCENARIO with every pinned Istio, three times each, into docs/data/versions.jsonl
	.ci/versions

versions-doc: build ## write the tables of docs/versions.md from docs/data/versions.jsonl
	bin/meshbench history docs/data/versions.jsonl --insert docs/versions.md >/dev/null

ci-summary: ## the last nightly's verdicts as Markdown
	@find runs/nightly -name gate.md | sort | xargs -r cat

# A tool has a module of its own in tools, which pins it and all that it is made of. It is
# built on its first use and kept in the go command's cache.
tool = go tool -modfile=$(CURDIR)/tools/$(1)/go.mod $(1)

lint: ## check the Go code, the workflows, the scripts, and the configuration of releases
	$(call tool,actionlint)
	@if command -v shellcheck >/dev/null; then set -x; shellcheck --severity=warning $(SCRIPTS); \
	elif [ "$${MESHBENCH_REQUIRE:-0}" != 0 ]; then echo "install shellcheck"; exit 1; \
	else echo "skipped: shellcheck: it is not installed"; fi
	cd tools/goreleaser && go vet . && go test .
	$(call tool,golangci-lint) run --allow-parallel-runners

# For what is released: goreleaser puts the texts into the archives.
licenses: build ## hold what the program is made of against the licenses that it may have, texts in bin/licenses.txt
	cd tools/licenses && go vet . && go test . && go run . -texts $(CURDIR)/bin/licenses.txt $(CURDIR)/bin/meshbench

vuln: ## look for known vulnerabilities in what the program calls
	$(call tool,govulncheck) ./...

clean: ## remove what was built here; the component cache stays
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)
