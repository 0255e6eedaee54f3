# Panloom's two commands for a clean clone: `make demo` and `make test`.
#
# Everything lands in ./.venv. Where apt-get may be used without a password, missing system
# packages (QGIS, python3-venv) are installed too; PANLOOM_NO_APT=1 leaves the system as it is.

BIN := .venv/bin
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help setup test lint demo bench zip clean

help:
	@echo "make demo   a sample pair, its land-cover map, and both side by side, in ./demo"
	@echo "make test   formatter, linter, types, layer contracts and every test"
	@echo "make bench  every table of benchmarks/ that needs no GPU, in a quarter of an hour"
	@echo "make lint   formatter, linter and types only"
	@echo "make zip    the QGIS plugin as dist/panloom-VERSION.zip, from the last commit"
	@echo "make setup  the environment in ./.venv that all of these use"
	@echo "make clean  removes what the targets above wrote, and leaves ./.venv"

setup:
	@scripts/setup

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

demo: setup
	@$(BIN)/python scripts/demo.py

# Tables compare what ran in turn; for wall times leave the machine alone meanwhile. PEERS_PYTHON is
# the Python of an environment with geoai and MONAI (benchmarks/peers-requirements.txt).
PEERS_PYTHON :=
BENCH := $(BIN)/python benchmarks

bench: setup
	$(BENCH)/start_up.py --rounds 5
	$(BENCH)/end_to_end.py
	$(BENCH)/where_time_goes.py --side 1536
	$(BENCH)/memory.py
	$(BENCH)/peers.py $(if $(PEERS_PYTHON),--peers-python $(PEERS_PYTHON))
	$(BENCH)/patchwise.py --rounds 3
	$(BENCH)/codecs.py --rounds 3
	$(BENCH)/gpu.py

zip:
	@mkdir -p dist
	git archive --format=zip --prefix=panloom/ --output=dist/panloom-$(VERSION).zip HEAD
	@echo "dist/panloom-$(VERSION).zip is for QGIS: Plugins > Manage and Install > Install from ZIP"

VERSION = $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' pyproject.toml)

clean:
	rm -rf demo dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
