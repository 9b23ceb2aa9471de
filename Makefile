# make bench SCENARIO=headless   run a scenario and print its report
# make test                      everything that CI runs
SCENARIO ?= headless
CLUSTER  ?= embedded
ARGS     ?=
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# One set of flags for building and testing: what differs in them is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS     := $(GOFLAGS) -trimpath

.PHONY: bench build components test unit e2e clean help

bench: build ## run SCENARIO, with further flags in ARGS
	bin/meshbench run $(SCENARIO) --cluster $(CLUSTER) $(ARGS)

# Symbols are left out: 200 sidecars start through this program, so its size counts.
build: ## build bin/meshbench
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/meshbench ./cmd/meshbench

components: build ## obtain what the embedded cluster is made of
	bin/meshbench components

test: unit e2e ## all tests

unit: build ## vet, unit tests, command-line tests
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go test $$(go list ./... | grep -v /e2e)

e2e: build ## end-to-end tests on the embedded cluster
	MESHBENCH_E2E=1 go test ./e2e -count=1 -timeout 40m -v

clean: ## remove what was built here; the component cache stays
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST)
