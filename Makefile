# One target a habit; CI calls the same ones.
#
#   make serve [REPOS=folder] [PORT=9418] [HOST=127.0.0.1] [PUSH=1]
#   make test | lint | fmt | bench | results | growth | crash | soak | fuzz | docs | wheel | lock | clean
#
# Needed on the machine: Rust (cargo), Python 3.11 or later, a C compiler, git for the tests.
# Everything else comes from the lock files into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
REPOS  ?= repos
PORT   ?= 9418
HOST   ?= 127.0.0.1
PUSH   ?=
FUZZ_SECONDS ?= 60
MINUTES ?= 5

# The binding's build looks for an interpreter; it is to be this one, always.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# An activated environment, or a caller's Python settings, must not reach into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

TOOLS := $(VENV)/.tools-installed
CORE  := $(VENV)/.core-built

RUST_SOURCES := $(shell find rust/src -name '*.rs') Cargo.toml Cargo.lock pyproject.toml

.PHONY: serve test test-rust test-python lint fmt bench results growth crash soak fuzz docs wheel lock clean build

build: $(CORE)

$(TOOLS): requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python tests/parity/dulwich_source.py >/dev/null
	touch $@

$(CORE): $(TOOLS) $(RUST_SOURCES)
	. $(BIN)/activate && maturin develop --release --quiet
	touch $@

serve: $(CORE)
	@$(BIN)/python examples/example_repository.py --if-empty $(REPOS)
	@echo 'Serving $(REPOS); stop with Ctrl-C. To clone one of them:'
	@for repo in $(REPOS)/*; do test -d "$$repo" && \
		echo "    git clone git://localhost:$(PORT)/$$(basename "$$repo")"; done | head -n 20
	@exec $(BIN)/gitserve daemon --verbose --reuseaddr --export-all --base-path=$(REPOS) \
		--listen=$(HOST) --port=$(PORT) $(if $(PUSH),--enable=receive-pack) $(REPOS)

test: test-rust test-python

test-rust:
	cargo test --locked --quiet
	cargo test --locked --quiet --manifest-path benches/loadgen/Cargo.toml \
		--target-dir target/loadgen

# A file of tests is run by one process: what its tests share is made once.
test-python: $(CORE)
	$(BIN)/python -m pytest -q -n auto --maxprocesses=4 --dist=loadfile

lint: $(CORE)
	$(BIN)/ruff check --quiet --output-format=concise
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy -p gitserve -p benches
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml gitserve._core
	cargo fmt --check
	cargo fmt --check --manifest-path benches/loadgen/Cargo.toml
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo clippy --locked --quiet --all-targets --features python -- -D warnings
	cargo clippy --locked --quiet --all-targets --manifest-path benches/loadgen/Cargo.toml \
		--target-dir target/loadgen -- -D warnings

# BENCH: options of the harness, such as BENCH='--repo /srv/git/project.git --rounds 5'.
bench: $(CORE)
	$(BIN)/python -m benches $(BENCH)

# What benches/results/ and the README say, anew: RESULTS='--large A.git --medium B.git ...'.
results: $(CORE)
	$(BIN)/python -m benches results --readme README.md $(RESULTS)

# How costs grow with commits, refs and clients: benches/results/growth.md. Some minutes.
growth: $(CORE)
	$(BIN)/python -m benches growth --rounds 1 --scale 0.3 --seconds 2 --json benches/results/growth.json \
		--plots benches/results --page benches/results/growth.md $(GROWTH)

# Ends pushes at every step, in every way that tests/crash knows; `make test` takes some of each.
# About an hour.
crash: $(CORE)
	CRASH_FULL=1 $(BIN)/python -m pytest -q tests/crash

# Clones, fetches and pushes over every road for MINUTES while git repacks and prunes the repository.
soak: $(CORE)
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

# Searches FUZZ_SECONDS on each target: first those of tests/fuzz, then the core's, which need
# cargo-fuzz and a nightly compiler. All run on mutated seeds in `make test`, everywhere.
FUZZ_TARGETS = $(patsubst rust/fuzz/targets/%.rs,%,$(wildcard rust/fuzz/targets/*.rs))
fuzz: $(CORE)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)
	cd rust/fuzz && cargo run --quiet --locked --bin corpus
	@for target in $(FUZZ_TARGETS); do echo "fuzzing $$target for $(FUZZ_SECONDS) s" && \
		cargo +nightly fuzz run --fuzz-dir rust/fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) \
			-rss_limit_mb=2048 -timeout=10 -print_final_stats=0 -verbosity=0 || exit 1; done

# The API's reference from docstrings, the other documents beside it.
docs: $(CORE)
	rm -rf site
	$(BIN)/python docs/build.py site
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --locked --quiet --no-deps --lib --document-private-items
	cp -R target/doc site/core

fmt: $(TOOLS)
	$(BIN)/ruff check --quiet --fix-only
	$(BIN)/ruff format
	cargo fmt
	cargo fmt --manifest-path benches/loadgen/Cargo.toml

wheel: $(TOOLS)
	$(BIN)/maturin build --release --out dist

# Resolves requirements/dev.in anew. Names no package index: whoever installs chooses theirs.
lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet pip-tools
	$(VENV)/lock/bin/pip-compile --quiet --upgrade --allow-unsafe --generate-hashes --strip-extras --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements/dev.txt requirements/dev.in

clean:
	rm -rf $(VENV) target dist site bench-work .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f python/gitserve/_core*.so
	find python tests benches examples -name __pycache__ -type d -prune -exec rm -rf {} +
