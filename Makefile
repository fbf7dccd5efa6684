# Two commands set everything up: `make run` installs what serves and simulates, `make test` and all others the rest too.
# Both make .venv if it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMALL := $(VENV)/.installed-small
STAMP := $(VENV)/.installed
INSTALL := $(BIN)/python -m pip install --require-hashes --only-binary :all:

RUNS ?= runs
FUZZ_SECONDS ?= 3600
SOAK_SECONDS ?= 3600
FAULTS ?= 10000
POLICIES := joint schedutil floor+schedutil
SUPERNET ?= ofa-plates

MAKE_ofa-plates := MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=1073741824 $(BIN)/python -m supernets.make_weights
MAKE_translator-en-de := $(BIN)/python -m supernets.seq2seq.make_weights

.PHONY: run test kernel-test lint docs fuzz faults soak bench mutants weights lock wheels clean
.DELETE_ON_ERROR:

run: $(SMALL)  ## the car park on Ray: ours, the paper's baseline, and a stronger one, side by side
	$(BIN)/gearshift run examples/car_park.py $(foreach p,$(POLICIES),--policy $p) \
		--out $(RUNS)/car-park-$$(date +%Y%m%d-%H%M%S)

test: $(STAMP)  ## in three processes: tests that start Ray, and all others
	$(BIN)/python tests/run_all.py

kernel-test: $(STAMP)  ## boots real kernels under QEMU and tests inside; ends with 77 where Debian's packages can't be had
	PYTHONPATH=tests $(BIN)/python -m kernel $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## builds the documentation as a site, build/site; a warning is an error
	$(BIN)/mkdocs build --strict

fuzz: $(STAMP)  ## damages inputs of every parser for FUZZ_SECONDS, an hour by default, and prints what is not taken well
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

soak: $(STAMP)  ## a mix on Ray for SOAK_SECONDS, an hour by default; fails where a process grows; figures go to build/soak
	PYTHONPATH=tests $(BIN)/python -m soak --seconds $(SOAK_SECONDS)

faults: $(STAMP)  ## makes every operation of small scenarios fail in turn, FAULTS times, and prints what did not hold, by kind
	PYTHONPATH=tests $(BIN)/python -m faults --faults $(FAULTS)

bench: $(STAMP)  ## every benchmark, its peers in the same run; figures go to build/bench
	$(BIN)/python -m benchmarks --out build/bench

mutants: $(STAMP)  ## changes the core modules in 100 small ways and counts which their tests notice; about half an hour
	$(BIN)/python -m benchmarks.mutants

weights: $(STAMP)  ## trains SUPERNET again from nothing; resumable. ofa-plates, at most two hours on two cores, or translator-en-de
	$(if $(MAKE_$(SUPERNET)),,$(error SUPERNET=$(SUPERNET) is not trained here; take ofa-plates or translator-en-de))
	$(MAKE_$(SUPERNET)) $(ARGS)

lock: $(STAMP)  ## writes both lock files: versions stay unless pyproject.toml asks for others, or with ARGS=--upgrade
	PYTHONPATH=tests $(BIN)/python -m locking $(ARGS)

wheels: $(STAMP)  ## asks the package index whether there is a wheel of all that is locked, for each Python and processor
	PYTHONPATH=tests $(BIN)/python -m locking.wheels

# Each file that is fetched has its hash in a lock file, so nothing may be built by tools fetched for that alone: pip and
# setuptools come first, and build gearshift and the one package of which there is no wheel.
$(SMALL): pyproject.toml requirements.lock requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	sed -n '/^pip==/,/[^\\]$$/p; /^setuptools==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/tools.lock
	$(INSTALL) --quiet --requirement $(VENV)/tools.lock
	@echo "Installing what serves and simulates: 230 MB to download, 700 MB on the disk."
	$(INSTALL) --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "Compiling the inner loops, once: some two minutes of one core."
	$(BIN)/python -c "from scheduler.warming import warm; warm()"
	touch $@

$(STAMP): $(SMALL)
	@echo "Installing the rest, which trains, tests and compares: another 7 GB on the disk."
	$(INSTALL) --no-binary font-roboto --no-build-isolation --requirement requirements.lock --requirement requirements-dev.lock
	touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
