# `make run` shows the main job; `make test` runs everything that CI runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# cargo is found even where sudo resets PATH.
CARGO = . tests/setup/common.sh; cargo
PROGRAMS = -p countersign-proxy -p countersign-enclave -p countersign-verify
SIMULATOR = --features countersign-proxy/simulator,countersign-enclave/simulator,countersign-verify/simulator

# An export that the unit tests compare with byte for byte, and the key it is signed with.
AUDIT_EXPORT = proxy-server/src/audit/tests/golden.jsonl
SECRETS = 'API token' 'AWS secret access key' 'AWS session token' 'ID token' 'KMS plaintext' 'application cookie' \
    authorization 'authorization code' 'client secret' cookie 'request body' 'request path' \
    'request query' 'response body' 'server key' 'session key' 'sign-in nonce' 'sign-in state' \
    $(if $(COUNTERSIGN_WITHOUT_POSTGRES),,'database password')
AUDIT_KEY = MCowBQYDK2VwAyEA6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw

.PHONY: help run test setup-test fresh-logs lint unit documents model fuzz-smoke api-fuzz web metrics story release deny secrets bench first-page chaos soak virtual-enclave fuzz advisories clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

run: ## set up what is missing and show the main job (ONCE=1: go through it once and exit)
	@tests/setup/run.sh
	@$(CARGO) build --locked $(PROGRAMS) -p countersign-simulator -p countersign-demo $(SIMULATOR)
	@target/debug/countersign-demo $(if $(ONCE),--once)

# What the tests log, and the secrets they use, is kept there for the stage `secrets`.
test: export COUNTERSIGN_TEST_LOGS = $(CURDIR)/target/test-logs
test: setup-test fresh-logs lint unit documents model api-fuzz web metrics fuzz-smoke story release deny secrets ## everything that CI runs
	@echo "make test: every stage passed"

setup-test:
	@tests/setup/test.sh

fresh-logs:
	@rm -rf target/test-logs && mkdir -p target/test-logs

lint: ## formatting and clippy, with and without the simulator
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --locked --quiet $(PROGRAMS) -- -D warnings
	@$(CARGO) clippy --locked --quiet --workspace --all-targets --all-features -- -D warnings

unit: ## unit, property, attack and end-to-end tests
	@$(CARGO) test --locked --workspace --all-features $(if $(COUNTERSIGN_TEST_LOGS),> >(tee target/test-logs/unit.log) 2>&1)

documents: ## attestation documents, audit exports and the manifest's schema through independent implementations (Python)
	@$(CARGO) build --locked --quiet --workspace --all-features
	@target/venv/bin/python tests/python/verify_documents.py --program target/debug/countersign-verify
	@target/venv/bin/python tests/python/verify_audit.py $(AUDIT_EXPORT) --trust $(AUDIT_KEY)
	@target/venv/bin/python tests/python/verify_audit.py $(AUDIT_EXPORT) --trust $(AUDIT_KEY) --attack
	@target/venv/bin/python tests/python/manifest_schema.py --program target/debug/countersign-enclave

model: ## models of the protocol, explored by a model checker
	@$(CARGO) fmt --manifest-path tests/model/Cargo.toml --check
	@$(CARGO) clippy --locked --quiet --manifest-path tests/model/Cargo.toml --target-dir target/model --all-targets -- -D warnings
	@$(CARGO) test --locked --quiet --manifest-path tests/model/Cargo.toml --target-dir target/model -- --nocapture

api-fuzz: ## requests made from the OpenAPI document against the admin API (schemathesis)
	@$(CARGO) build --locked --quiet --workspace --all-features --bin e2e-admin
	@target/venv/bin/python tests/python/admin_api.py --server target/debug/e2e-admin

web: ## the web page in Chromium, over the story of `make run`; screenshots in target/web
	@$(CARGO) build --locked --quiet $(PROGRAMS) -p countersign-simulator -p countersign-demo $(SIMULATOR)
	@target/venv/bin/python tests/web/page.py --target target/debug --out target/web \
	    --axe tests/web/node_modules/axe-core/axe.min.js

metrics: ## what a running proxy tells Prometheus, and the alert rules (promtool, a real Prometheus)
	@$(CARGO) build --locked --quiet $(PROGRAMS) $(SIMULATOR)
	@tests/checks/metrics.sh target/debug/countersign-proxy

fuzz-smoke: ## a short run of each fuzz target
	@tests/fuzz/run.sh 5

fuzz: ## a long run of each fuzz target (SECONDS_EACH=600)
	@tests/setup/test.sh
	@tests/fuzz/run.sh $(or $(SECONDS_EACH),600)

story: ## `ONCE=1 make run`
	@$(MAKE) --no-print-directory run ONCE=1

release: ## release build, and the proof that the simulator is absent from it
	@$(CARGO) build --locked --release $(PROGRAMS)
	@tests/checks/no-simulator.sh
	@tests/checks/refusals-documented.sh

deny: ## banned crates, licences, sources
	@$(CARGO) fetch --locked --quiet
	@$(CARGO) deny --offline --locked check bans licenses sources

# The programs of the tests say about a megabyte; a hundredth of that means that nothing was kept.
secrets: ## no secret of the tests in anything that the tests logged (after `make test`)
	@tests/checks/secrets.py target/test-logs --least-bytes 100000 --kinds $(SECRETS)

advisories: ## security advisories (needs the advisory database from the network)
	@$(CARGO) deny check advisories

bench: ## ours and the competitors in one run (NAME=verify for a part)
	@tests/setup/bench.sh
	@tests/bench/run.sh $(NAME)

first-page: ## what the web page costs with 100,000 sessions
	@$(CARGO) test --locked --release -p countersign-proxy --all-features --lib first_page -- --ignored --nocapture

chaos: ## kills of proxies and of the database in the middle of changes (COUNT=1000: about a quarter of an hour)
	@tests/setup/test.sh
	@export COUNTERSIGN_KILLS=$(or $(COUNT),1000); $(CARGO) test --locked -p countersign-e2e --test chaos -- --nocapture

soak: ## the way out under faults (MINUTES=30)
	@tests/setup/test.sh
	@export COUNTERSIGN_SOAK_SECONDS=$$(( $(or $(MINUTES),30) * 60 )); $(CARGO) test --locked -p countersign-e2e --test soak -- --nocapture --test-threads 1

virtual-enclave: ## process 1 and the host half in two virtual machines (QEMU), over real vsock and a /dev/nsm
	@tests/setup/virtual-enclave.sh
	@$(CARGO) build --locked --quiet --release -p countersign-enclave
	@$(CARGO) build --locked --quiet $(PROGRAMS) -p countersign-simulator -p countersign-demo -p countersign-virtual-guest $(SIMULATOR)
	@tests/virtual-enclave/virtual_enclave.py --parts target/virtual-enclave --enclave target/release/countersign-enclave --target target/debug

clean: ## remove what was built
	@$(CARGO) clean
