# Every target sets itself up: Python 3.11 or newer and make are all that must be there.
# The set-up is redone only when pyproject.toml is newer than the mark that the last one left in .venv.

VENV := .venv
BIN := $(VENV)/bin
READY_TO_RUN := $(VENV)/.ready-to-run
READY_TO_DEVELOP := $(VENV)/.ready-to-develop
UNFINISHED := $(VENV)/.unfinished
OLDEST := $(VENV)/oldest
PACKAGES := "import sysconfig; print(sysconfig.get_path('purelib'))"

.PHONY: help demo test minimum browser-test reliability fuzz check style types floors format

help:
	@echo "make demo     train, evaluate and look: generated scenes, minutes on a laptop; the report is demo/report.html"
	@echo "make test     run the tests"
	@echo "make minimum  run the tests of commands and recipes with the oldest versions that pyproject.toml allows"
	@echo "make browser-test  run those of the page and of the file to send, in Chromium (Debian: chromium and chromium-driver)"
	@echo "make reliability  try every promise as often as it is made, and write benchmarks/reliability.md"
	@echo "make fuzz     ten minutes of coverage-guided fuzzing of the readers of settings, palettes and lists"
	@echo "make check    check style, types and import floors"
	@echo "make format   rewrite the sources in the project's style"

demo: $(READY_TO_RUN)
	$(BIN)/scenescope demo --output demo

# A file for each core at a time, four at most for the memory's sake; threads of several tests would wait for each other.
test: $(READY_TO_DEVELOP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST_OPTIONS)

# A lower bound that nobody installs is a guess. torch, which is large, stays that of .venv.
minimum: $(READY_TO_DEVELOP)
	$(BIN)/python -m venv --clear $(OLDEST)
	echo "import site; site.addsitedir('$$($(BIN)/python -c $(PACKAGES))')" > "$$($(OLDEST)/bin/python -c $(PACKAGES))/rest.pth"
	sed -n '/^dependencies/,/^]/s/.*"\([a-z0-9_-]*\)>=\([0-9.]*\)".*/\1==\2/p' pyproject.toml | grep -v '^torch' > $(OLDEST)/list
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(OLDEST)/list
	$(OLDEST)/bin/python -m pytest tests/cli tests/lab/commands tests/recipes tests/backbones $(PYTEST_OPTIONS)

browser-test: $(READY_TO_DEVELOP)
	$(BIN)/python -m pytest tests/explore/test_page_browser.py tests/explore/test_share_browser.py $(PYTEST_OPTIONS)

# Every promise as often as it is made; the table is benchmarks/reliability.md.
reliability: $(READY_TO_DEVELOP)
	rm -f benchmarks/reliability.md
	RELIABILITY=whole $(BIN)/python -m pytest tests/reliability tests/test_export.py --timeout 1800 $(PYTEST_OPTIONS)

# Ten minutes of coverage-guided fuzzing of what reads text of others.
fuzz: $(READY_TO_DEVELOP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python tests/reliability/fuzz.py --minutes 10

check: style types floors

style: $(READY_TO_DEVELOP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY_TO_DEVELOP)
	$(BIN)/mypy

floors: $(READY_TO_DEVELOP)
	$(BIN)/lint-imports

format: $(READY_TO_DEVELOP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY_TO_RUN): pyproject.toml box/pyproject.toml
	@$(call set_up,--editable '.[lite]' --editable ./box scikit-learn)
	@touch $@

# scikit-learn carries the photograph that the demo ends with.
# What develops also runs, so the demo needs no second set-up.
$(READY_TO_DEVELOP): pyproject.toml box/pyproject.toml
	@$(call set_up,--editable '.[dev]' --editable ./box scikit-learn)
	@touch $(READY_TO_RUN) $@

# An interrupted set-up leaves its mark, and the next one starts from an empty environment.
define set_up
set -e; \
python=; \
for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$candidate -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		python=$$candidate; break; \
	fi; \
done; \
if [ -z "$$python" ]; then \
	echo "error: no Python 3.11 or newer with the modules venv and ensurepip was found; install one" \
		"(Debian: apt install python3 python3-venv; macOS: brew install python)." >&2; \
	exit 2; \
fi; \
if [ -e $(UNFINISHED) ] || ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	echo "Making $(VENV) with $$python ..."; \
	$$python -m venv --clear $(VENV); \
fi; \
touch $(UNFINISHED); \
echo "Installing scenescope and what it needs; the first time downloads about 3 GB ..."; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check $(1); \
rm $(UNFINISHED)
endef
