# Run `make` or `make help` for the list.
SHELL := /bin/bash
GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 2s
# Folder of the shared accuracy data; see CONTRIBUTING.md.
DATA ?= ../shared/data
export GOFLAGS ?= -trimpath
export PATH := $(CURDIR)/build/tools/bin:$(PATH)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Install what a fresh Debian machine lacks (bubblewrap, uv); says what it could not install
	@script/setup

.PHONY: build
build: ## Build build/backstitch
	$(GO) build -ldflags '-s -w' -o build/backstitch ./cmd/backstitch

.PHONY: demo
demo: setup build ## Run the main job on a demonstration estate, in a temporary folder
	@build/backstitch demo

.PHONY: test
test: setup ## Everything the project checks
	@script/test

.PHONY: lint
lint: ## Formatting, vet and staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

.PHONY: unit
unit: ## Unit and property tests
	$(GO) test ./...

.PHONY: test-backstage
test-backstage: ## The connector against the published catalog backend of Backstage, on PostgreSQL
	@script/backstage

.PHONY: test-gitea
test-gitea: ## The connector against the published Gitea, built from its Go module (about six minutes of CPU, once)
	@script/gitea

.PHONY: gvisor
gvisor: ## Build gVisor (runsc) from its Go module, to run a repository's own code in
	@script/gvisor

.PHONY: race
race: ## Race tests of the concurrent packages
	$(GO) test -race ./store/... ./intake/... ./code/git/... ./report/ ./action/... ./graph/ ./connector/aws/ ./connector/kubernetes/ ./connector/registry/ ./connector/rest/ ./service/

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (default 2s)
	@FUZZTIME=$(FUZZTIME) script/fuzz

.PHONY: eval
eval: ## Accuracy on real data: make eval DATA=DIR
	$(GO) run ./eval -data $(DATA) -v

.PHONY: bench
bench: ## Performance, each figure beside its baseline
	$(GO) run ./bench

.PHONY: clean
clean: ## Remove what was built
	rm -rf build
