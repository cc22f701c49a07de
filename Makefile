# Everything runs in .venv, which the first target that needs it makes; only Python 3.11+ must be
# there. Switches:
#   PYTHON=/path/to/python   the Python that .venv is made with (default: the first that fits)
#   TORCH_INDEX=cpu          PyTorch's own CPU build, without CUDA (or cu128, or a whole URL)
#   DATA="DIR DIR"           data sets in the plain layout, for the benchmarks that need them
#   ONLY=ROW,ROW             only these benchmarks; COMPARE=COMMIT runs them there too, in turns
#   TESTS="PATH ..."         only these tests; FLAGS="..." for pytest, such as FLAGS=--durations=20
#   ARGS='segment ...' what docker-run runs
#   WORKERS=2           processes that run tests side by side
#   QUIET=               let pip tell what it does

VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
PYTHON ?=
QUIET ?= -qq
TORCH_INDEX ?=
DATA ?=
ONLY ?=
COMPARE ?=
TESTS ?=
FLAGS ?=
ARGS ?= info
DEMO_OUT ?= demo-out
DEMO_WORDS ?= cat; dog; bird|parrot; cow; person; face; hair; flower; cup; hot dog; table; chair; refrigerator; airplane; train; car; bicycle; stop sign; road; sky; tree; grass; building; curtain

torch_url = $(if $(findstring ://,$(TORCH_INDEX)),$(TORCH_INDEX),https://download.pytorch.org/whl/$(TORCH_INDEX))
pip_install = $(BIN)/python -m pip install $(QUIET) --disable-pip-version-check -c constraints.txt
# From that index alone: beside PyPI, pip would take PyPI's build whenever the index is down.
torch_install = $(if $(TORCH_INDEX),$(pip_install) --no-deps --index-url $(torch_url) torch)
# Two processes of one thread each: small nets gain nothing from more threads.
pytest = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal
bench_flags = $(foreach folder,$(DATA),--data $(folder)) $(if $(ONLY),--only $(ONLY)) \
  $(if $(COMPARE),--compare $(COMPARE))

.PHONY: docker-build docker-run help install demo test test-slow test-all test-gpu lint bench bench-gpu clean

help:
	@echo "make install    lexiseg into $(VENV), ready to use"
	@echo "make demo       segment the photos in examples/photos by words"
	@echo "make test       the fast tests        make test-all   every test (test-slow: the others)"
	@echo "make test-gpu   the tests that need an NVIDIA GPU"
	@echo "make lint       style, types, import contracts"
	@echo "make bench      measure and write benchmarks/results (bench-gpu: on a GPU)"
	@echo "make docker-build docker-run   the container (ARGS='segment photo.jpg sky')"
	@echo "make clean      remove what these targets made, $(VENV) included"
	@echo "On Linux without an NVIDIA GPU, add TORCH_INDEX=cpu to the first: it saves 2 GB."

install: $(VENV)/.installed
	@echo "lexiseg is in $(VENV); try: $(BIN)/lexiseg segment my.jpg sky tree person"

demo: $(VENV)/.installed
	@$(BIN)/lexiseg segment --words "$(DEMO_WORDS)" --out $(DEMO_OUT) examples/photos/*.jpg
	@echo "Look at the pictures: $(CURDIR)/$(DEMO_OUT)/*/overlay.png"

test: $(VENV)/.installed-test
	$(pytest) -m "not slow and not gpu" $(FLAGS) $(TESTS)

test-slow: $(VENV)/.installed-test
	$(pytest) -m slow $(FLAGS) $(TESTS)

test-all: $(VENV)/.installed-test
	$(pytest) -m "not gpu" $(FLAGS) $(TESTS)

# Labels as on the CPU, and times; bench-gpu measures the rest, the official generator's time too.
test-gpu: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q $(FLAGS) tests/gpu

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks run $(bench_flags)

bench-gpu: $(VENV)/.installed
	$(BIN)/python -m benchmarks run --device cuda $(bench_flags)

docker-build:
	./scripts/docker-run.sh build

docker-run:
	./scripts/docker-run.sh $(ARGS)

clean:
	rm -rf $(VENV) $(DEMO_OUT) lexiseg-out dist build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src tests examples -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps: a second run installs nothing until the requirements change.
$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing lexiseg into $(VENV) (PyTorch is large: some minutes the first time) ..."
	@$(torch_install)
	@$(pip_install) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(pip_install) -e ".[test]"
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	@$(pip_install) -e ".[lint]"
	@touch $@

# A Python that answers but lacks venv (Debian without python3-venv) is passed over.
$(VENV)/.made:
	@for python in $(or $(PYTHON),python3.12 python3.11 python3.13 python3.14 python3 python); do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1 || continue; \
	  "$$python" -m venv $(VENV) && touch $@ && exit 0; \
	done; \
	echo "make: no Python 3.11 or newer with the venv module was found ($(or $(PYTHON),python3 and python3.11 to python3.14)): install one (on Debian or Ubuntu: python3 and python3-venv), or name it: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python" >&2; \
	exit 1
