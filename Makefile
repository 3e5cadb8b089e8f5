# Two commands do all the set-up: `make train` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PY := $(VENV)/bin/python
# Parallel test processes and BLAS threads would fight for the same cores.
TEST_ENV := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
PYTEST := $(TEST_ENV) $(PY) -m pytest -n auto
# The same tests with their tensors on a GPU, or on a stand-in for one.
CUDA := LUCIDLITE_TEST_DEVICE=cuda $(PYTEST)

.PHONY: help train test test-all bench docs lint clean

help:
	@echo "make train     environment, install, train the documented CNN on the shipped digits"
	@echo "make test      environment, install, every test that needs only NumPy and small wheels;"
	@echo "               parity with PyTorch too, where the environment has it; then an eighth of"
	@echo "               them again with tensors on a GPU, or on a stand-in where there is none"
	@echo "make test-all  PyTorch and the other extras installed, everything whole"
	@echo "make bench     PyTorch installed, every benchmark beside it, in about a quarter of an hour"
	@echo "make docs      the documentation, as pages to be opened in a browser, in site/"
	@echo "make lint      ruff and mypy"
	@echo "make clean     remove the environment and caches"
	@echo "Options: PYTHON=python3.12, VENV=path, ARGS='more arguments'"

$(PY):
	@echo "making an environment in $(VENV)"
	@# Where venv fails half-way, what it left must not pass for an environment next time.
	@$(PYTHON) -m venv $(VENV) || { rm -f $(PY); \
	    echo "venv is missing: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/train.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[train]'
	$(PY) -m compileall -q lucidlite
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[train,images,test,safetensors]'
	$(PY) -m compileall -q lucidlite
	@touch $@

$(VENV)/all.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[train,images,test,parity,nvrtc,notebooks,browser,safetensors,onnxruntime,tensorboard,docs,dev]'
	$(PY) -m compileall -q lucidlite
	@touch $@

$(VENV)/bench.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(PY) -m compileall -q lucidlite
	@touch $@

$(VENV)/docs.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

train: $(VENV)/train.stamp
	$(PY) -m lucidlite train $(ARGS)

test: $(VENV)/test.stamp
	$(PYTEST) $(ARGS)
	$(if $(ARGS),,LUCIDLITE_TEST_SLICE=1/8 $(CUDA))

test-all: $(VENV)/all.stamp
	LUCIDLITE_TEST_ALL=1 $(PYTEST) $(ARGS)
	$(if $(ARGS),,$(CUDA))

bench: $(VENV)/bench.stamp
	$(PY) benchmarks/run_all.py $(ARGS)

# Strict: a warning fails. The variable silences an advertisement of the theme's.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)

lint: $(VENV)/all.stamp
	$(PY) -m ruff check .
	$(PY) -m mypy

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
