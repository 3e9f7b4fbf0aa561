# Each target sets itself up, on a fresh Debian or Ubuntu too: packages by apt, then .venv.
.PHONY: help setup test lint fuzz faults transitions load bench bench-fleet recipes load-balancer projects fleet mutants support demo rehearsal clean
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready
# More than the cores: tests on real hosts mostly wait.
WORKERS ?= 4
# Random pairs of faults that `make faults` tests, besides every single one, on real hosts and for each
# story on the fake machine; `make test` samples both.
FAULTS ?= 300
# Random changes from playbook to playbook that `make transitions` deploys, and the seed.
TRANSITIONS ?= 200
SEED ?= 1
# Broken protocol frames that `make fuzz` sends in each direction.
FUZZ ?= 100000
# Broken playbooks, inventories, locks and env files that it reads, of each.
FUZZ_FILES ?= 20000
# Of `make load`: deploys for each server, requests a second, servers, seconds of a long request.
LOAD_DEPLOYS ?= 100
LOAD_RATE ?= 500
LOAD_SERVERS ?= uvicorn gunicorn
LOAD_LONG ?= 10
LOAD_HANDOVER ?= overlap
# Options of `make bench`: --hosts 1,4,10 --rtt 0,25,100 --rounds 3 --tools shipit,floor --write
BENCH ?= --write
FLEET ?= --write
# Words of the modules that `make mutants` changes; by default all of [tool.mutmut].
MUTANTS ?=
# Options of `shipit rehearse`, for machines without KVM: one host, and more time.
REHEARSAL ?= --limit web1.example.com -e patience=5m

help: ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(READY) ## install system packages and .venv; every other target does this first
$(READY): pyproject.toml tests/setup
	tests/setup

# Every process that the tests start reads the bytecode of src, also where none may write it.
test: lint ## lint, then all tests, also on real hosts
	$(BIN)/python -m compileall -q src
	tests/as-root $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

faults: $(READY) ## test every fault at every state, also on real hosts, and FAULTS=300 random pairs
	FAULTS=$(FAULTS) $(BIN)/pytest tests/unit/agent/transaction/test_faults.py
	FAULTS=$(FAULTS) tests/as-root $(BIN)/pytest -s tests/hosts/test_faults.py \
	  tests/hosts/test_hard_times.py tests/hosts/test_disk.py

transitions: $(READY) ## deploy TRANSITIONS=200 random changes of a playbook on a real host, from SEED=1
	TRANSITIONS=$(TRANSITIONS) SEED=$(SEED) tests/as-root $(BIN)/pytest -s tests/hosts/test_transitions.py

fuzz: $(READY) ## read FUZZ=100000 broken frames in each direction, and broken files; make test samples both
	FUZZ=$(FUZZ) FUZZ_FILES=$(FUZZ_FILES) FUZZ_BUNDLE=2000 FUZZ_ARCHIVES=5000 $(BIN)/pytest -q \
	  tests/unit/test_fuzz_frames.py tests/unit/test_fuzz_files.py tests/unit/archive/test_file.py \
	  tests/unit/agent/storage/test_pythons.py

load: $(READY) ## deploy LOAD_DEPLOYS=100 times under load, and count lost requests
	PYTHONPATH=tests:tests/support $(BIN)/python -m load.wheels
	tests/as-root env PYTHONPATH=tests:tests/support $(BIN)/python -m load.run --deploys $(LOAD_DEPLOYS) \
	  --rate $(LOAD_RATE) --servers "$(LOAD_SERVERS)" --long $(LOAD_LONG) --handover $(LOAD_HANDOVER)

load-balancer: $(READY) ## deploy 20 times behind haproxy, at 200 requests a second, and count lost requests
	LOAD_BALANCER=1 tests/as-root $(BIN)/pytest -s tests/hosts/test_load_balancer.py

bench-fleet: $(READY) ## deploy to up to 2,000 simulated hosts; write docs/scale.md
	PYTHONPATH=.:tests:tests/support $(BIN)/python -m bench.fleet $(FLEET)

bench: $(READY) ## deploy beside Ansible, pyinfra, Fabric and a floor; write docs/performance.md
	tests/as-root env PYTHONPATH=.:tests:tests/support $(BIN)/python -m bench $(BENCH)

recipes: $(READY) ## test every recipe of docs/recipes.md under load on a real host
	RECIPES=all tests/as-root $(BIN)/pytest -s tests/hosts/test_recipes.py tests/hosts/test_task_workers.py

projects: $(READY) ## deploy every project of tests/projects on a real host, from init to rollback
	PROJECTS=all tests/as-root $(BIN)/pytest -s tests/hosts/test_projects.py tests/hosts/test_project.py

fleet: $(READY) ## roll releases out to twelve real hosts, one of them bad in each phase
	FLEET=whole tests/as-root $(BIN)/pytest -v tests/hosts/test_canary.py

mutants: $(READY) ## change the pure modules, or MUTANTS="lock redaction": their unit tests must notice
	$(BIN)/python -m pip install --quiet --group mutants
	$(BIN)/python tests/support/mutation.py $(MUTANTS)

support: $(READY) ## test every distribution, and write the table of docs/support.md
	tests/as-root tests/ubuntu-keys
	rm -f build/support.jsonl
	CI=true SUPPORT=build/support.jsonl tests/as-root $(BIN)/pytest tests/hosts/test_suites.py
	$(BIN)/python tests/support/support_matrix.py build/support.jsonl

demo: $(READY) ## deploy a service to two real hosts, then a broken release, and roll back
	$(BIN)/python playbooks/demo/prepare.py --version 1.0.0
	$(BIN)/python playbooks/demo/prepare.py --version 1.1.0
	$(BIN)/python playbooks/demo/prepare.py --version 1.2.0 --broken healthz
	tests/as-root $(BIN)/python playbooks/demo/demo.py

rehearsal: $(READY) ## rehearse the demo on a virtual machine by Vagrant (Debian, root or sudo)
	$(BIN)/python playbooks/demo/prepare.py
	DEMO_DATABASE_URL=sqlite+aiosqlite:///demo.db tests/as-root tests/vagrant/run playbooks/demo.yaml $(REHEARSAL)

clean: ## remove all generated files
	rm -rf mutants rehearsal.html rehearsal.txt .venv dist build .*_cache .hypothesis playbooks/demo/dist playbooks/demo/wheels
	find src tests playbooks -name __pycache__ -prune -exec rm -rf {} +
