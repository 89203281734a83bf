# What a person runs, one line each; `make` lists it. ARGS goes to the program: make test ARGS="-k guard".
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
STACK ?= dev

.DEFAULT_GOAL := help
.PHONY: help setup lock check audit test drill matrix bench preview demo demo-split demo-stop clean
MAKEFLAGS += --no-print-directory

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## .venv from the locked requirements, and the Pulumi engine
	@$(PYTHON) -m tools.setup

lock: ## lock files again from pyproject.toml (ARGS=--upgrade: newer versions)
	@$(PYTHON) -m tools.setup lock $(ARGS)

check: setup ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/ty check

audit: setup .local/bin/actionlint ## actionlint and zizmor over the workflows, checkov over the program
	@$(BIN)/uv venv --quiet --allow-existing .venv-audit
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-audit/bin/python requirements/audit.txt
	.local/bin/actionlint -shellcheck .venv-audit/bin/shellcheck
	.venv-audit/bin/zizmor --offline --no-progress .github
	$(BIN)/python scripts/policy.py audit

# From its Go module, as set-up builds the engine where there is no release of it; go.sum holds what is built.
.local/bin/actionlint: tools/actionlint/go.mod tools/actionlint/go.sum
	@command -v go >/dev/null || { echo "actionlint is built with Go, and no \`go\` is on PATH: go.dev/doc/install" >&2; exit 1; }
	@CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off GOBIN="$(CURDIR)/.local/bin" go -C tools/actionlint install tool
	@touch $@

test: setup ## every test that needs neither real machines nor long faults
	$(BIN)/pytest -m "not drill and not box and not matrix" -n auto $(ARGS)

drill: setup ## the tests with real machines and with faults; machines need root
	$(BIN)/pytest -m "(drill or box) and not matrix" $(ARGS)

matrix: setup ## every kill of every climb, hours; SHARD=3/12 for a part; what passed is left out
	SHARD=$(SHARD) $(BIN)/pytest -m matrix --durations=0 -n 2 $(ARGS)

bench: setup ## measure previews, updates, memory and boxes, and print the ratios
	$(BIN)/python -m bench $(ARGS)

preview: setup ## what STACK=dev would change, cost and break, in this cloud or the embedded one
	@if [ -z "$$PULUMI_BACKEND_URL" ]; then where="$$($(BIN)/python scripts/local.py env)" || exit 1; eval "$$where"; \
	  pulumi stack init --no-select $(STACK) >/dev/null 2>&1 || :; fi; \
	$(BIN)/python scripts/preview.py run --stack $(STACK) --policy-pack infra/policy/pack $(ARGS) || [ $$? = 10 ]

demo: setup ## a stage standing on the embedded cloud, its page fetched, its cost shown
	$(BIN)/python scripts/demo.py $(ARGS)

demo-split: setup ## one box to two and back on machines, rows moved under load; needs root
	$(BIN)/python scripts/scale_up.py drill --stack $(STACK) --to split --boxes $(ARGS)

demo-stop: setup ## stop the embedded cloud and its machines
	$(BIN)/python scripts/local.py stop $(ARGS)

clean: ## take .venv and tool caches away; .local/ and the cached engine stay
	rm -rf .venv .venv-audit .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.local/*' -prune -exec rm -rf {} +
