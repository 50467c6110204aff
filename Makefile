# Every target sets up what it needs in $(VENV), once: a stamp file there is newer than pyproject.toml when nothing
# is left to do. To use an environment of your own: make demo VENV="$VIRTUAL_ENV" (or VENV="$CONDA_PREFIX").

VENV   ?= .venv
PYTHON ?= python3
PYTEST_ARGS ?=
BRANCH ?= main

BIN := $(VENV)/bin
# Twice quiet: errors still show, the long list of downloads does not.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

# As many processes as there are cores. One thread each: two that share a core wait for each other most of the time.
PARALLEL = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# For test-lowest: an environment of the oldest packages and, in one of its own, uv, which finds them (pip cannot).
# --no-build skips releases without a wheel for this Python: the oldest of all are for Python 3.10 and 3.11.
LOWEST := build/lowest
UV     := $(LOWEST)/uv/bin/uv

# sync and notebooks stop where somebody typed into notebooks/; SET_ASIDE=1 copies such a notebook to work/ and goes on.
KEEPING = $(if $(SET_ASIDE),--set-aside)

# Whether PyTorch is still to come and would bring NVIDIA's libraries (on Linux it does) where nothing can use them.
NEEDS_NO_NVIDIA = [ "$$(uname)" = Linux ] && [ ! -e /proc/driver/nvidia ] && ! command -v nvidia-smi >/dev/null && \
	! $(BIN)/python -c 'from importlib.metadata import version; version("torch")' 2>/dev/null

# What JupyterLab opens first: a copy of the reader's own, see tools/reader_copies.py.
START := work/00_start_here.ipynb

.DEFAULT_GOAL := help
.PHONY: help setup demo lab check test lint notebooks sync colab book test-browser test-lowest gpu-check bench campaign mutations clean

help:  ## show this list
	@echo "sdcda_tutorial: learn to count crowds across domains"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Each does its own set-up in $(VENV) the first time. Another place: VENV=DIR; another Python: PYTHON=python3.12"

setup: $(VENV)/.stamp-run  ## create the virtual environment and install the package (once)
	@echo "Ready: $(BIN)/sdcda --help"

demo: $(VENV)/.stamp-run  ## a first table soon, then train with and without adaptation on the mini world; in build/demo
	@$(BIN)/sdcda demo --out build/demo

lab: $(VENV)/.stamp-lab  ## open your own copies of the notebooks (work/) in JupyterLab
	@$(BIN)/python tools/reader_copies.py
	@set --; \
	if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
		echo "No display here: open the address with ?token= that JupyterLab prints below. Ctrl-C twice ends it."; \
		set -- --no-browser; \
	fi; \
	if [ "$$(id -u)" = 0 ]; then set -- "$$@" --allow-root; fi; \
	exec $(BIN)/python -m jupyterlab "$$@" --LabApp.default_url=/lab/tree/$(START)

check: lint  ## lint and the fast tests, for every commit: about a minute
	@$(PARALLEL) -m "not slow and not alone"

test: $(VENV)/.stamp-dev  ## run all tests and notebooks; a part of the tests: make test PYTEST_ARGS=tests/test_losses.py
	@[ -z "$(PYTEST_ARGS)" ] || $(BIN)/python -m pytest $(PYTEST_ARGS)
	@[ -n "$(PYTEST_ARGS)" ] || $(PARALLEL) -m "not alone"
	@[ -n "$(PYTEST_ARGS)" ] || $(PARALLEL) -m alone
	@[ -n "$(PYTEST_ARGS)" ] || $(PARALLEL) --nbval notebooks

lint: $(VENV)/.stamp-dev  ## check style, formatting, types and the direction of imports (ruff, mypy, import-linter)
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

sync: $(VENV)/.stamp-dev  ## for maintainers: bring notebooks/ up to notebooks/text; NAMES="01 solutions/06"
	@$(BIN)/python tools/notebooks.py sync $(KEEPING) $(NAMES)

notebooks: $(VENV)/.stamp-dev  ## for maintainers: sync, run and store the outputs; NAMES="01 solutions/06"
	@$(BIN)/sdcda data mini
	@$(BIN)/python tools/notebooks.py execute $(KEEPING) $(NAMES)

colab:  ## for maintainers: write your copy's address into notebooks and texts; REPO=owner/name BRANCH=main
	@$(PYTHON) tools/stamp.py --repo "$(REPO)" --branch "$(BRANCH)"

book: $(VENV)/.stamp-book  ## build the site from the stored notebooks: build/book/index.html; REPO=owner/name BRANCH=main
	@$(BIN)/python book/make_book.py --repo "$(REPO)" --branch "$(BRANCH)"

test-browser: $(VENV)/.stamp-dev $(VENV)/.stamp-lab  ## open every notebook in JupyterLab and move every demo (needs Chromium)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -v -rP tests/browser $(PYTEST_ARGS)

test-lowest: BIN := $(LOWEST)/venv/bin
test-lowest:  ## run the fast tests with the oldest packages that pyproject.toml allows
	@rm -rf $(LOWEST)
	@$(PYTHON) -m venv $(LOWEST)/uv
	@$(LOWEST)/uv/bin/python -m pip install -qq --disable-pip-version-check uv
	@echo "Installing the oldest packages into $(LOWEST): a few minutes, up to 6 GB of disk"
	@$(UV) venv --quiet --python $(PYTHON) $(LOWEST)/venv
	@$(UV) pip install --quiet --python $(LOWEST)/venv --resolution lowest-direct --no-build \
		-r pyproject.toml --extra test --extra tensorboard
	@$(UV) pip install --quiet --python $(LOWEST)/venv --no-deps -e .
	@$(UV) pip list --python $(LOWEST)/venv
	@$(PARALLEL) -m "not slow and not alone" $(PYTEST_ARGS)

gpu-check: $(VENV)/.stamp-dev  ## on a machine with an NVIDIA GPU: does all work there, and how fast? at most 8 minutes
	@$(BIN)/python tools/gpu_check.py $(ARGS)

bench: $(VENV)/.stamp-dev  ## measure what is slow, as ratios: five minutes on an idle machine, written to build/bench.json
	@$(BIN)/sdcda data mini
	@$(BIN)/python benchmarks/run.py

campaign: $(VENV)/.stamp-dev  ## try to break the commands for 20 minutes; other figures: make campaign ARGS="--seed 1"
	@OMP_NUM_THREADS=1 $(BIN)/python tests/campaign/run.py $(ARGS)

mutations: $(VENV)/.stamp-dev  ## break the package in many small ways: do the notebooks notice? 20 minutes
	@$(BIN)/sdcda data mini
	@$(BIN)/python tests/campaign/mutations_of_notebooks.py $(ARGS)

clean:  ## remove build/ and the caches; keeps runs/, data/ and the environment
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . \( -path './$(VENV)' -o -path ./runs -o -path ./data -o -path ./.git \) -prune \
		-o -name __pycache__ -type d -prune -exec rm -rf {} +

# Asking for pip, not for python, repairs an environment whose creation was cut off.
$(VENV)/.stamp-run: pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
			{ echo "Python 3.10 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
		echo "Creating a virtual environment in $(VENV)"; \
		$(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV), the first time 2 to 15 minutes and up to 6 GB of disk: PyTorch, torchvision,"
	@echo "lightning-fabric, torchmetrics, NumPy, SciPy, Pillow, matplotlib, seaborn, ipywidgets, and what these need"
	@$(NEEDS_NO_NVIDIA) && { \
		echo "There is no NVIDIA driver here, so PyTorch's CPU build is enough: 1 GB instead of 5.9. If you want that one,"; \
		echo "press Ctrl-C now, see \"No GPU on Linux\" in README.md, and then repeat your make command."; } || true
	@$(PIP) -e .
	@touch $@

$(VENV)/.stamp-lab: $(VENV)/.stamp-run
	@echo "Installing JupyterLab into $(VENV): once, about a minute"
	@$(PIP) -e '.[lab]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-run
	@echo "Installing the tools for tests and style into $(VENV): once, about a minute"
	@$(PIP) -e '.[test,dev,tensorboard]'
	@touch $@

$(VENV)/.stamp-book: $(VENV)/.stamp-run
	@echo "Installing Sphinx into $(VENV): once, about a minute"
	@$(PIP) -e '.[book]'
	@touch $@
