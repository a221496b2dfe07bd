# Two commands: `make demo` (the whole road on one CPU, SEED=, FRESH=1) and `make test`.
PYTHON ?= python3.11
VENV := .venv
SEED ?= 0

.PHONY: setup demo test check format clean

# The stamp holds what is installed: pip runs again only when the requirements or the placeholders change.
$(VENV)/installed: requirements.txt pyproject.toml $(wildcard placeholders/*/*)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

setup: $(VENV)/installed

demo: setup
	SEED=$(SEED) FRESH=$(FRESH) bash runs/cpu.sh

test: setup check
	$(VENV)/bin/python -m pytest

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf output .pytest_cache .mypy_cache .ruff_cache
