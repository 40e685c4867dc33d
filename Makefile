# make quickstart   install, then the whole loop on the small default model (no GPU needed)
# make test         what CI runs: format, lint, types, tests;  make test TESTS=tests/unit/test_stats.py
# make gpu          on a machine with an NVIDIA card: tests what nothing else can, prints a report to paste
# make lint, make format, make clean
#
# PYTHON=python3.12 chooses the interpreter for .venv; PIP_FLAGS= adds options to every pip install.

PYTHON    ?= python3
PIP_FLAGS ?=
TESTS     ?=

VENV    := .venv
BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
PINS    := pyproject.toml constraints.txt

.PHONY: quickstart test debian gpu lint format clean venv

quickstart: $(VENV)/.installed
	$(BIN)/minirl run quickstart

test: lint debian
	$(BIN)/python -m pytest $(TESTS)

# tests/browser open the report in a real browser, and tests/unit/export render Ollama's templates with Go. CI and
# containers, where we are root, get both; elsewhere those tests are skipped, and say how to get them.
APT = apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
debian:
	@missing=; command -v "$${CHROMIUM:-chromium}" >/dev/null || missing="chromium fonts-dejavu-core"; \
	command -v go >/dev/null || missing="$$missing golang-go"; \
	if [ -z "$$missing" ] || ! command -v apt-get >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ]; then ($(APT) $$missing >/dev/null) || echo "minirl: could not install $$missing"; \
	elif [ "$$CI" = true ]; then sudo sh -c "$(APT) $$missing >/dev/null" || echo "minirl: could not install $$missing"; fi

gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/gpu -m gpu -rA --capture=no

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(VENV)/.installed-dev

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find minirl tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make an install happen again when the pins change, and only then.
$(VENV)/.installed: $(PINS) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(PINS) | $(BIN)/python
	$(INSTALL) -e '.[dev,4bit,cuda]'
	@# The published torchvision and xformers do not load beside a CPU build of torch, and unsloth refuses a broken one.
	@if $(BIN)/python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then \
	  $(BIN)/python -m pip uninstall --disable-pip-version-check -q -y torchvision xformers; fi
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "minirl: no '$(PYTHON)' here. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "minirl: needs Python 3.11 to 3.13, but '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "minirl: '$(PYTHON)' cannot make virtual environments (no ensurepip). On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
