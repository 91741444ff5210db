.DEFAULT_GOAL := help
SHELL := /bin/sh

LINT_VERSION := v2.15.0
LINT_DIR     := .tools/golangci-lint-$(LINT_VERSION)
LINT         := $(LINT_DIR)/golangci-lint

# Narrow a run: make test PKG=./domain/... ARGS='-run Handle -v'
PKG  ?= ./...
ARGS ?=
# People that make seed adds.
N ?= 1000000
# Time for each fuzz test of make fuzz.
FUZZTIME ?= 10s

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# The version comes from the line above; asking git again fails in a checkout that belongs to another user.
GOBUILD  = go build -trimpath -buildvcs=false

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: need-go ## Start everything on this machine: API, PostgreSQL, Valkey, Clerk stand-in (no account, no Docker)
	@echo "compiling (the first time takes a minute or two)"
	@$(GOBUILD) -o bin/local ./cmd/local
	@exec bin/local

.PHONY: seed
seed: need-go ## Add N (a million) made-up profiles to the database of make run, whether or not it runs
	@$(GOBUILD) -o bin/local ./cmd/local
	@exec bin/local seed $(ARGS) $(N)

.PHONY: test
test: need-go need-cc ## Run all tests with the race detector, on servers of their own
	@internal/tools/prerequisites optional
	CGO_ENABLED=1 go test -race -shuffle=on -count=1 -timeout 15m $(ARGS) $(PKG)

.PHONY: lint
lint: need-go $(LINT) ## Check the code, the dependency rule, and that production links no stand-in
	@$(LINT) run
	@internal/tools/prove-lint-rules $(LINT)
	@internal/tools/production-purity
	@go run ./internal/migrationlint/cmd

.PHONY: check
check: lint test ## Lint and test

.PHONY: fmt
fmt: need-go $(LINT) ## Format the code
	@$(LINT) fmt

.PHONY: bench
bench: need-go ## Run the benchmarks
	go test -run '^$$' -bench . -benchmem -timeout 30m $(ARGS) $(PKG)

.PHONY: fuzz
fuzz: need-go ## Run each fuzz test for FUZZTIME (10s)
	@internal/tools/fuzz $(FUZZTIME)

.PHONY: alert-drill
alert-drill: need-go ## See the alerts fire and clear: the program, a real Prometheus, and faults (seven minutes)
	go test -tags drill -run '^TestAlertDrill$$' -v -count=1 -timeout 30m $(ARGS) ./cmd/profile-api

.PHONY: build
build: need-go ## Build bin/profile-api, the production program
	CGO_ENABLED=0 $(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/profile-api ./cmd/profile-api

.PHONY: build-waf
build-waf: need-go ## Build bin/waf, the firewall that may stand in front of the API
	CGO_ENABLED=0 $(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/waf ./cmd/waf

.PHONY: env
env: ## Write .env and secrets/ for docker compose, with random keys (FORCE=1 to write .env again)
	@FORCE='$(FORCE)' deploy/compose/make-env

.PHONY: compose-up
compose-up: ## Build and start the containers, note the version in .env, wait until they are healthy (make env first)
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/compose/up

.PHONY: compose-down
compose-down: ## Stop the containers; the data stays
	docker compose down

.PHONY: compose-smoke
compose-smoke: ## Try the containers for real, apart from your own: build, start, call, tear down
	@deploy/compose/smoke

.PHONY: backup-drill
backup-drill: need-go ## Rehearse the loss of the database: backups, destruction, restore to a moment, comparison
	@mkdir -p bin && $(GOBUILD) -o bin/backup-drill ./internal/drill/backup
	@exec bin/backup-drill $(ARGS)

.PHONY: rollout-drill
rollout-drill: need-go ## Rehearse releases behind HAProxy by 10, 50, 100 %: a good one, bad ones, a crash (three minutes)
	@go run ./internal/drill/rollout

.PHONY: load
load: need-go ## Run the load tests: PROFILE=smoke|100|1000|spike|soak|all, DURATION=45s, REPLICAS=1; reports in bin/load
	@$(GOBUILD) -o bin/load-drill ./internal/drill/load
	@exec bin/load-drill -profile '$(or $(PROFILE),smoke)' -duration '$(DURATION)' -replicas '$(or $(REPLICAS),1)'

.PHONY: security
security: need-go ## Look for faults and leaked secrets: gosec, gitleaks, govulncheck, modules, SBOM, image
	@internal/tools/security $(ARGS)

.PHONY: clean
clean: ## Remove what was built (not the data of make run, nor .env)
	rm -rf bin .tools

.PHONY: need-go need-cc
need-go:
	@internal/tools/prerequisites go
need-cc: need-go
	@internal/tools/prerequisites cc

# In a folder of its own per version, so that another pin builds anew; not in go.mod, where its graph would drown ours.
$(LINT): | need-go
	@echo "building golangci-lint $(LINT_VERSION) into $(LINT_DIR) (once; one to five minutes)"
	@GOBIN='$(CURDIR)/$(LINT_DIR)' GOFLAGS=-buildvcs=false go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
