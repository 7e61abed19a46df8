# The commands of the project. CARGO_TARGET_DIR moves all build products, as for cargo.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where rustup puts cargo and Debian puts nginx, for shells that do not look there.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
LARDER := $(TARGET_DIR)/release/larder
# One profile for everything: the heavy dependencies are compiled once.
CARGO_FLAGS := --release --locked
# The servers beside which the tests run (tests/scripts/services).
SERVICES := postgres mariadb seaweedfs fake-gcs azurite

.PHONY: help serve build dist test lint advisories unit e2e stress bench toolchain

help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: toolchain ## Build a server for SQLite and a directory alone, quickly, and run it (ARGS="…" for more arguments)
	cargo build --profile quick --locked --no-default-features --features embedded
	exec $(TARGET_DIR)/quick/larder serve $(ARGS)

build: toolchain ## Build the server with all storages and databases
	cargo build $(CARGO_FLAGS)

dist: toolchain ## Build the server as it should run for long: smaller, and less CPU per request; takes some minutes more
	LARDER_REVISION="$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)" cargo build --profile dist --locked -p larder

# What the Rust tests leave of two cores, waiting, is as much as the lints take. So they run beside them.
test: everything unit-needs ## Run all checks and tests
	cargo fmt --all --check
	tests/scripts/with-services.sh $(SERVICES) -- tests/scripts/beside.sh "$(MAKE) lint" -- $(UNIT)
	$(MAKE) e2e

lint: toolchain ## Check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	cargo clippy $(CARGO_FLAGS) --no-default-features --features embedded -- -D warnings
	@# A build fetches the crates of this platform; cargo-deny looks at those of all.
	cargo fetch --locked
	$(DENY) --offline --locked check licenses bans sources
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --workspace --no-deps

# What may be among the dependencies: deny.toml.
DENY = "$$(tests/scripts/clients/cargo-deny.sh)/cargo-deny" --all-features

advisories: toolchain ## Check the dependencies against the list of known vulnerabilities, which is fetched
	$(DENY) --locked check advisories

# The server, the tests and all between, in one resolution of features: nothing is compiled twice.
.PHONY: everything
everything: toolchain
	cargo build $(CARGO_FLAGS) --workspace --all-targets

unit: everything unit-needs ## Run the Rust tests, beside real servers
	tests/scripts/with-services.sh $(SERVICES) -- $(UNIT)

UNIT = cargo test $(CARGO_FLAGS) --workspace
.PHONY: unit-needs
unit-needs: toolchain
	@tests/scripts/need.sh python3 python3-venv curl strace ccache prometheus promtool

e2e: everything ## Run the suite of real clients against the built server
	@tests/scripts/need.sh node npm zstd openssl python3 nginx curl chromium
	tests/scripts/with-services.sh $(SERVICES) -- bash -c 'tests/scripts/e2e.sh && LARDER_TEST_MATRIX=1 tests/scripts/matrix.sh'
	LARDER_TEST_BINARY=$(abspath $(TARGET_DIR))/release/larder-mounted LARDER_TEST_SIZES=few tests/scripts/e2e.sh $(MOUNTED_CASES)
	ln -sf $(CURDIR)/tests/scripts/larder-tenant.sh $(TARGET_DIR)/release/larder-tenant
	LARDER_TEST_BINARY=$(abspath $(TARGET_DIR))/release/larder-tenant LARDER_TEST_SIZES=few tests/scripts/e2e.sh $(MOUNTED_CASES)
	$(TARGET_DIR)/release/larder-serve-compose $(SERVE_DIR)
	ln -sf $(CURDIR)/tests/scripts/larder-serve.sh $(SERVE_DIR)/larder-serve
	LARDER_TEST_BINARY=$(abspath $(SERVE_DIR))/larder-serve LARDER_TEST_SIZES=few tests/scripts/e2e.sh $(MOUNTED_CASES) cases/buildkit.test.mjs cases/same-token.test.mjs

# What also runs against the server as a service in another program (tests/src/bin/larder-mounted.rs), against a tenant among a
# hundred (tests/scripts/larder-tenant.sh), and against the component under a stock wasmtime (tests/scripts/larder-serve.sh).
MOUNTED_CASES = $(foreach case,save-restore keys sccache nix version-1,cases/$(case).test.mjs)

# The parts and the composition, files of a release.
SERVE_DIR = $(TARGET_DIR)/serve
.PHONY: serve-wasm
serve-wasm: toolchain ## Build the component for a stock `wasmtime serve`, print the command, and run it if there is a wasmtime
	cargo build $(CARGO_FLAGS) -p larder-serve-compose
	$(TARGET_DIR)/release/larder-serve-compose $(SERVE_DIR)
	exec tests/scripts/serve-wasm.sh $(SERVE_DIR)/larder-serve.wasm

stress: everything ## Attack and kill the server for long (ARGS="…": a part of it, see tests/stress/README.md)
	@tests/scripts/need.sh node npm zstd python3 strace
	LARDER_STRESS=long cargo test $(CARGO_FLAGS) --workspace --test stress -- --nocapture $(ARGS)
	$(if $(ARGS),,LARDER_STRESS=long tests/scripts/e2e.sh cases/bake.test.mjs cases/restarts.test.mjs)

# The storages' servers are started for the measurements that need them, which `--only` may leave out.
BENCH_SERVERS = $(if $(findstring --only,$(ARGS)),$(if $(findstring drivers,$(ARGS))$(findstring s3-blocks,$(ARGS)),$(STORAGES)),$(STORAGES))
STORAGES = tests/scripts/with-services.sh seaweedfs fake-gcs azurite --
bench: dist ## Measure against a bare hyper server and against nginx (ARGS="…", see tests/bench/README.md)
	@tests/scripts/need.sh python3 wrk nginx
	cargo build $(CARGO_FLAGS) -p larder-bench-bare
	$(BENCH_SERVERS) python3 -B tests/bench/bench.py --larder $(TARGET_DIR)/dist/larder $(ARGS)

toolchain: ## Install what the build needs and lacks
	@tests/scripts/toolchain.sh
