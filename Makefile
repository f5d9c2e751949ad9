# Every target makes what it needs: a Python >= 3.12 is looked for (PYTHON=/path names one), .venv is made from the lock.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: demo contracts test check lint format bench lock dist clean help env-run env-dev

BIN := .venv/bin
CHECKED := src localnet demo tests tools bench contracts examples
# Only what exists: a checkout without one of the folders can still be checked.
SOURCES = $(wildcard $(CHECKED))
# One more than there are cores: many tests wait for processes that they have started.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

demo: env-$(if $(METER)$(SERVE),dev,run) ## Bill an access log on the embedded localnet: make demo [LOG=file(s)] [XFF=first|last] [JSON=file] [SERVE=1 [PORT=n]], or METER=1 [NETWORK=studio-next]
	@set -- $(if $(LOG),"$$LOG"); [ -z "$$1" ] || [ -e "$$1" ] || set -- $$LOG; \
	$(BIN)/python -m demo $(if $(XFF),--xff "$$XFF") $(if $(JSON),--json "$$JSON") $(if $(SERVE),--serve) $(if $(PORT),--port "$$PORT") $(if $(METER),--meter) $(if $(REQUESTS),--requests "$$REQUESTS") $(if $(CONSUMERS),--consumers "$$CONSUMERS") $(if $(NETWORK),--network "$$NETWORK") -- "$$@"

contracts: env-dev ## Write both editions of all contracts into build/contracts/, as they stand and as they are deployed
	@$(BIN)/python tools/build_contracts.py

test: env-dev $(if $(ARGS),,lint) ## Static checks and all tests; ARGS="-k reserve" runs just those tests
	@$(BIN)/python -m pytest -q $(if $(ARGS),$(ARGS),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

check: test ## What CI runs: the same as make test

lint: env-dev ## Static checks only: ruff, mypy, genvm-lint
	@$(BIN)/ruff check --output-format concise $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@sh tools/lint_contracts.sh $(BIN)/genvm-lint

format: env-dev ## Format the sources and sort their imports
	@$(BIN)/ruff check --quiet --select I --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: env-dev ## Run all benchmarks in bench/
	@for name in contract_io localnet meter payments settlement rpc demo; do $(BIN)/python bench/$$name.py || exit 1; done

lock: env-dev ## Resolve the lock files anew: make lock [UPGRADE=1]
	@sh tools/lock.sh $(BIN)/uv $(if $(UPGRADE),--upgrade)

dist: env-dev ## Build wheels and source distributions of both packages into dist/
	@$(BIN)/python -m hatchling build -d dist
	@cd localnet && ../$(BIN)/python -m hatchling build -d ../dist

clean: ## Remove the environment, caches and built files
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .cache artifacts build dist dapp/dist
	@find dapp -maxdepth 1 -name node_modules -type l -delete
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

env-run env-dev: env-%:
	@python=$$(sh tools/find_python.sh) && "$$python" -I tools/environment.py $*
