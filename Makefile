# make run      one run of relp-sae, e.g. make run ARGS="--n 8"
# make test     every check and test
# make bench    how fast exact patching is, next to other ways and to the hardware (minutes)
# make notebook run the notebook and keep its output in docs/notebook (minutes)
# make report   docs/report.md, written from the committed results
# make setup    only the virtual environment that both need (they make it themselves)
# make clean    remove caches and built packages; .venv and runs stay

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup run check test bench notebook report clean

setup: $(READY)

# .ready is written last: an environment without it was interrupted, and is made anew.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Error: '$(PYTHON)' is not Python 3.11 or newer. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv: about 2 GB on disk, a few minutes."
	test -e $(READY) || $(PYTHON) -m venv --clear .venv
	rm -f $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

run: $(READY)
	$(BIN)/relp-sae run $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test: check

bench: $(READY)
	$(BIN)/python benchmarks/patching.py $(ARGS)

notebook: $(READY)
	$(BIN)/jupyter nbconvert --execute --to markdown --output-dir docs/notebook notebooks/relp_sae.ipynb

report: $(READY)
	$(BIN)/python docs/report/make_report.py

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
