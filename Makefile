# Four commands are the whole interface: demo, test, check, bench. CI also runs test-old-cpu; gpu is for a machine with one.
PYTHON ?= python3
VENV := .venv
IN := $(VENV)/bin
# Tests of Ray and of servers wait much, so two cores take three.
PROCESSES ?= 3
.PHONY: demo test test-old-cpu check bench gpu
# All tests but those that compute nothing: a new file is among them without being named.
WITHOUT_NUMBERS := tests/ray tests/dashboards tests/platform/track tests/test_cli.py tests/test_ui.py tests/test_documents.py \
	tests/test_layout.py tests/test_needs.py tests/test_bounds.py

demo: $(VENV)/.runtime
	$(IN)/unlabeled study run projection-head

# What some hundred processes of the tests import is compiled once, whatever the user's environment says.
test test-old-cpu: export PYTHONDONTWRITEBYTECODE :=

# The tests for a GPU are tried on the CPU, so that they are whole where there is one.
test: export UNLABELED_TEST_DEVICE := cpu
test: $(VENV)/.dev
	$(IN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

test-old-cpu: export ATEN_CPU_CAPABILITY := default
test-old-cpu: export ONEDNN_MAX_CPU_ISA := SSE41
test-old-cpu: $(VENV)/.dev
	$(IN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(addprefix --ignore=,$(WITHOUT_NUMBERS))

check: $(VENV)/.dev
	$(IN)/ruff format --check .
	$(IN)/ruff check .
	$(IN)/mypy

bench: $(VENV)/.dev
	$(IN)/python -m benchmarks

gpu: $(VENV)/.dev
	$(IN)/python -m pytest tests/gpu
	$(IN)/python -m benchmarks.gpu

$(VENV)/.runtime: pyproject.toml constraints.txt
	@test -x $(IN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Unlabeled needs Python 3.11 or newer; run make PYTHON=/path/to/one")'
	test -x $(IN)/python || $(PYTHON) -m venv $(VENV)
	$(IN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory $(VENV)/.runtime
	$(IN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
