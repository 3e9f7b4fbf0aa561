# Each command does its own set-up, on a fresh Debian or Ubuntu too: packages by apt, then .venv.
.PHONY: help setup test lint fuzz faults transitions load recipes support demo rehearsal clean
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready
# More than there are cores: tests with real hosts mostly wait for these.
WORKERS ?= 4
# Random pairs of faults that `make faults` plays, besides every single one; `make test` samples both.
FAULTS ?= 300
# Steps from playbook to playbook that `make transitions` walks at random, and where it begins.
TRANSITIONS ?= 200
SEED ?= 1
# Broken frames of the protocol that `make fuzz` reads in each direction.
FUZZ ?= 100000
# Broken playbooks, inventories, locks and env files that it reads, of each kind.
FUZZ_FILES ?= 20000
# What `make load` plays: acts for each server, requests a second, servers, seconds of long requests.
LOAD_DEPLOYS ?= 100
LOAD_RATE ?= 500
LOAD_SERVERS ?= uvicorn gunicorn
LOAD_LONG ?= 10
LOAD_HANDOVER ?= overlap
# Options of `shipit rehearse`, for machines without KVM: one is enough, and it is slow.
REHEARSAL ?= --limit web1.example.com -e patience=5m

help: ## say what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(READY) ## what all the others need: system packages and .venv
$(READY): pyproject.toml tests/setup
	tests/setup

test: lint ## lint, then all tests, those with real hosts among them
	tests/as-root $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

faults: $(READY) ## every fault at every state on real hosts, and FAULTS=300 random pairs of them
	FAULTS=$(FAULTS) tests/as-root $(BIN)/pytest -s tests/hosts/test_faults.py \
	  tests/hosts/test_hard_times.py tests/hosts/test_disk.py

transitions: $(READY) ## walk TRANSITIONS=200 steps from playbook to playbook on a real host, from SEED=1
	TRANSITIONS=$(TRANSITIONS) SEED=$(SEED) tests/as-root $(BIN)/pytest -s tests/hosts/test_transitions.py

fuzz: $(READY) ## read FUZZ=100000 broken frames in each direction, and files; samples are in the tests
	FUZZ=$(FUZZ) FUZZ_FILES=$(FUZZ_FILES) $(BIN)/pytest -q tests/unit/test_fuzz_frames.py tests/unit/test_fuzz_files.py

load: $(READY) ## deploy LOAD_DEPLOYS=100 times under load, and count what customers lost
	PYTHONPATH=tests $(BIN)/python -m load.wheels
	tests/as-root env PYTHONPATH=tests $(BIN)/python -m load.play --deploys $(LOAD_DEPLOYS) \
	  --rate $(LOAD_RATE) --servers "$(LOAD_SERVERS)" --long $(LOAD_LONG) --handover $(LOAD_HANDOVER)

recipes: $(READY) ## play every recipe of docs/recipes.md under load on a real host
	RECIPES=all tests/as-root $(BIN)/pytest -s tests/hosts/test_recipes.py

support: $(READY) ## play the main story on every distribution, and write it into docs/support.md
	tests/as-root tests/ubuntu-keys
	rm -f build/support.jsonl
	CI=true SUPPORT=build/support.jsonl tests/as-root $(BIN)/pytest tests/hosts/test_suites.py
	$(BIN)/python tests/support/support_matrix.py build/support.jsonl

demo: $(READY) ## ship a service to two real hosts, then a broken one, and roll back
	$(BIN)/python playbooks/demo/prepare.py --version 1.0.0
	$(BIN)/python playbooks/demo/prepare.py --version 1.1.0
	$(BIN)/python playbooks/demo/prepare.py --version 1.2.0 --broken healthz
	tests/as-root $(BIN)/python playbooks/demo/demo.py

rehearsal: $(READY) ## play the demo through on a virtual machine by Vagrant (Debian, root or sudo)
	$(BIN)/python playbooks/demo/prepare.py
	DEMO_DATABASE_URL=sqlite+aiosqlite:///demo.db tests/as-root tests/vagrant/run playbooks/demo.yaml $(REHEARSAL)

clean: ## remove what the others made in this folder
	rm -rf rehearsal.html rehearsal.txt .venv dist build .*_cache .hypothesis playbooks/demo/dist playbooks/demo/wheels
	find src tests playbooks -name __pycache__ -prune -exec rm -rf {} +
