# The two commands of the README are `make demo` and `make test`; both set up everything that they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo-out

.DEFAULT_GOAL := help
.PHONY: help venv demo line-truth line-truth-quick test check format lock clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

venv: $(VENV)/installed ## A virtual environment with every extra, in .venv

# pip itself comes with the environment; everything else is exactly what requirements/dev.txt pins and hashes.
$(VENV)/installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 13); sys.exit(None if ok else "Ripeline needs Python 3.11 or 3.12, found " + sys.version.split()[0] + "; say which with: make PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV): a few minutes and 2.5 GB, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: venv ## Train, export, check and run on simulated fruit; writes demo-out/index.html
	$(BIN)/ripeline demo -o $(DEMO_OUT) --force

line-truth: venv ## Every simulated line, sorted and scored against its truth; exits with 1 below the gate
	$(BIN)/python benchmarks/line_truth.py --gate benchmarks/line_truth_gate.toml

line-truth-quick: venv ## The same in its short form, 8 seconds of each line: what CI runs
	$(BIN)/python benchmarks/line_truth.py --quick --gate benchmarks/line_truth_quick_gate.toml

# Side by side, a file a worker; a line that is hurt on purpose is timed, and gets the machine to itself.
test: venv ## All tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore tests/faults
	$(BIN)/python -m pytest tests/faults

check: venv ## Lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: venv ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: venv ## Compile requirements/*.txt again from pyproject.toml
	for extra in dev edge; do \
	  UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet pyproject.toml --extra $$extra --universal \
	    --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	    -o requirements/$$extra.txt || exit 1; \
	done

clean: ## Remove what make made
	rm -rf $(VENV) $(DEMO_OUT) build dist
