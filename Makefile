# `make demo` shows the main job on real files, `make test` runs the tests; both install what they
# need into .venv and node_modules first. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin
# A process for each core; the tests of one file stay together, as they share chains and daemons.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: help setup demo test test-long lint format bench contracts kubo geth clef live-deps slither clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.done node_modules/.done $(BIN)/anvil  ## install everything from the registries

.venv/.done: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

node_modules/.done: package-lock.json
	npm ci --no-audit --no-fund
	touch $@

# The program itself rather than npm's launcher, so that signals reach it.
$(BIN)/anvil: | node_modules/.done .venv/.done
	ln -sf "$$(ls $(CURDIR)/node_modules/@foundry-rs/anvil-*/bin/anvil* | head -n 1)" $@

demo: setup  ## run the main job on real files, and show it
	$(BIN)/integrity demo

lint: setup  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint live-deps  ## all tests but the long ones
	$(PYTEST) -m "not long"

test-long: setup live-deps clef  ## the long tests
	$(PYTEST) -m long

format: setup  ## let the formatter have its way
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

contracts: setup  ## compile the registry and write the artifact that ships
	npx hardhat compile
	$(BIN)/python tools/build_artifact.py

# The script looks at what is there: a link's date says nothing about the ipfs behind it.
kubo:  ## a Kubo (IPFS) daemon at build/ipfs: the one on PATH, else npm's, else built by Go
	@$(PYTHON) tools/kubo/get.py

geth:  ## a geth (Ethereum) node at build/geth: the one on PATH, else built by Go
	@$(PYTHON) tools/ethereum/get.py geth

clef:  ## go-ethereum's signer at build/clef, built by Go
	@$(PYTHON) tools/ethereum/get.py clef

live-deps: kubo geth tools/live/node_modules/.done tools/safe/node_modules/.done  ## other people's programs that the tests talk to

tools/live/node_modules/.done: tools/live/package-lock.json
	cd tools/live && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

tools/safe/node_modules/.done: tools/safe/package-lock.json
	cd tools/safe && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

slither: setup  ## static analysis of the contracts, in an environment of its own
	$(BIN)/python tools/slither/check.py

bench: setup kubo  ## measure against the peers, and write docs/performance.md
	$(BIN)/python -m benchmarks

clean:  ## remove what the other targets made
	rm -rf .venv .venv-slither node_modules tools/live/node_modules tools/safe/node_modules build
