# Needs python 3.11 or 3.12 with venv, and make. Everything else is brought by `make setup`, which the others call.
.PHONY: help run setup test chaos guards attack check lint types imports api-description format openapi lock compose-env bench
.DEFAULT_GOAL := help
BIN := .venv/bin

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do \
	  printf '  make %-12s %s\n' "$$target" "$$what"; done

run: setup  ## start PostgreSQL, the API and a worker; Ctrl-C stops them all
	@exec $(BIN)/groovemark up --env-file env/local.env

setup:  ## build the environment in .venv alone
	@sh env/bootstrap.sh

test: setup  ## the whole test suite; ARGS='-k words -x' is handed to pytest
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

chaos: setup  ## kill, stop and starve everything, and count what is lost; ARGS='R1 R7 --fresh'
	@$(BIN)/python -m tests.chaos $(ARGS)

guards: setup  ## play chaos and attacks without the guards they test, and see each of them break; ARGS='R1 S5'
	@$(BIN)/python -m tests.guards $(ARGS)

attack: setup  ## send bombs, polyglots, damage, floods and crawlers, and see what becomes of it; ARGS='S5 S13 --fresh'
	@$(BIN)/python -m tests.attack $(ARGS)

check: lint types imports api-description .venv/locks.checked  ## style, types, layering, openapi.json and locks

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

# Once more where mypy itself crashed (2; mistakes in the types are 1): it did once, in a new environment, and not again.
types: setup
	@$(BIN)/mypy || { [ $$? = 2 ] && $(BIN)/mypy; }

imports: setup
	@$(BIN)/lint-imports

api-description: setup
	@$(BIN)/groovemark openapi --output .venv/openapi.json
	@diff -u openapi.json .venv/openapi.json || { \
	  echo "groovemark: openapi.json is stale (- as it is, + as the code has it): run 'make openapi' and commit it." >&2; \
	  exit 1; }

.venv/locks.checked: pyproject.toml poetry.lock requirements.lock.txt env/lock.sh | setup
	@sh env/lock.sh --check
	@touch $@

format: setup  ## put code in the house's form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

openapi: setup  ## write openapi.json anew
	@$(BIN)/groovemark openapi --output openapi.json

lock: setup  ## bring both locks up to date with pyproject.toml
	@sh env/lock.sh

compose-env:  ## write the secrets that docker compose needs, once, into .env
	@sh env/compose-secrets.sh

bench:  ## list the benchmarks
	@for file in bench/*.py; do \
	  printf '  %s %-32s %s\n' $(BIN)/python "$$file" "$$(sed -n '1s/"""//gp' "$$file")"; done
