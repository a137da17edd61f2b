# Every chore is one verb: make demo, make test, make check.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

.PHONY: help demo stack test check docs audit wheel chaos chaos-short bench script messages screenshots format clean

help:
	@echo "make demo     the demo shop at http://127.0.0.1:$(PORT)/ (PORT=9000 moves it)"
	@echo "make stack    the same scaled out: PostgreSQL, Redis, nginx, two uvicorns (STACK_PORT=8443)"
	@echo "make test     every test, in Python and in JavaScript"
	@echo "make check    format, lint, types, import floors, deploy checks, migrations"
	@echo "make chaos    try to lose a notification: real processes, real faults (SEED=1, ONLY=redis)"
	@echo "make chaos-short   the same with a hundred notifications each, and with the app broken on purpose"
	@echo "make bench    how fast it is, beside the peers: writes docs/performance.md (ONLY=durable, QUICK=1)"
	@echo "make script   build the bell's scripts and styles again, after a change of their sources"
	@echo "make messages collect the texts of the app for translators, and compile what they wrote"
	@echo "make screenshots   the pictures of docs/screenshots.md, from the running demo"
	@echo "make docs     the documents as a site, in build/docs; the reference pages from the code"
	@echo "make audit    known holes in what is installed (where that can be asked), and its licences"
	@echo "make wheel    the app as a wheel, in dist/"
	@echo "make format   put the code into the house format"
	@echo "make clean    remove what the verbs above made, the demo's database too"

demo: .venv/site
	@PORT=$(PORT) exec $(BIN)/python manage.py demo

STACK_PORT ?= 8443

stack: .venv/dev
	@exec $(BIN)/python -m tests.stack --port $(STACK_PORT)

test: .venv/dev
	@bash .ci/test

check: .venv/dev
	@bash .ci/check

SEED ?= 1

chaos: .venv/dev
	@$(BIN)/python -m tests.chaos --seed $(SEED) $(if $(ONLY),--only "$(ONLY)") $(CHAOS)

chaos-short: .venv/dev
	@$(BIN)/python -m pytest -m "chaos or not chaos" tests/test_chaos.py

# ONLY=sockets,durable,polling  ROUNDS=3  SOCKETS=1000,5000,10000  PEERS=all  QUICK=1
bench: .venv/bench
	@$(BIN)/python -m bench $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SOCKETS),--sockets "$(SOCKETS)") $(if $(PEERS),--peers $(PEERS)) \
		$(if $(QUICK),--quick --rounds 1)

script:
	@sh .ci/script

LANGUAGES ?= de ar

messages: .venv/dev
	@cd notifications && mkdir -p locale && ../$(BIN)/python ../manage.py makemessages \
		$(LANGUAGES:%=-l %) --no-location --no-wrap --no-obsolete -i static
	@cd notifications && ../$(BIN)/python ../manage.py compilemessages

screenshots: .venv/dev
	@$(BIN)/python docs/make_screenshots.py

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev
	@$(BIN)/python docs/make_reference.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

audit: .venv/dev
	@bash .ci/audit

wheel: .venv/dev
	@$(BIN)/python -m pip wheel --no-deps --no-build-isolation --quiet --wheel-dir dist . && ls dist/*.whl

clean:
	rm -rf build dist *.egg-info .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache static_collected
	rm -f db.sqlite3 db.sqlite3-wal db.sqlite3-shm

# Two stamps, so that a second run installs nothing.
.venv/site: requirements.txt
	@PYTHON="$(PYTHON)" sh .ci/venv requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt
	@PYTHON="$(PYTHON)" sh .ci/venv requirements-dev.txt
	@touch .venv/site $@

.venv/bench: bench/requirements.txt requirements-dev.txt requirements.txt
	@bash .ci/packages
	@PYTHON="$(PYTHON)" sh .ci/venv requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch .venv/site .venv/dev $@
