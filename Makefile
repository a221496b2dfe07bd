# Two commands: `make demo` (the whole road on one CPU, SEED=, FRESH=1) and `make test`. For GPUs also `make rl-env`.
PYTHON ?= python3.11
VENV := .venv
SEED ?= 0

BACKEND ?= sglang

.PHONY: setup demo test check format clean rl-env

# The stamp holds what is installed: pip runs again only when the requirements or the placeholders change.
$(VENV)/installed: requirements.txt pyproject.toml $(wildcard placeholders/*/*)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

setup: $(VENV)/installed

# RL's GPU environment, BACKEND=sglang or vllm, in .venv-rl-$(BACKEND). --no-deps: the file names every package, and
# SGLang's pin of transformers (requirements-rl-sglang.in) would be refused otherwise. flash-attn comes as source and is
# built against the installed torch.
rl-env:
	test -f requirements-rl-$(BACKEND).txt || { echo "BACKEND is sglang or vllm, not $(BACKEND)" >&2; exit 2; }
	test -x .venv-rl-$(BACKEND)/bin/python || $(PYTHON) -m venv .venv-rl-$(BACKEND)
	grep -v '^flash-attn==' requirements-rl-$(BACKEND).txt > .venv-rl-$(BACKEND)/without-flash-attn.txt
	.venv-rl-$(BACKEND)/bin/pip install --disable-pip-version-check --no-deps -r .venv-rl-$(BACKEND)/without-flash-attn.txt
	.venv-rl-$(BACKEND)/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation \
	  $$(grep '^flash-attn==' requirements-rl-$(BACKEND).txt)
	.venv-rl-$(BACKEND)/bin/pip install --disable-pip-version-check --no-deps -e .

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
