# Every target is one Python entry point; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo serve train-sagemaker-local test platform bench bench-training infra-graph check format clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 30

demo: venv ## real queries in, ranked results out over HTTP (DATA=<folder> for your own)
	@$(BIN)/python -m training demo $(if $(DATA),--data '$(DATA)')

serve: venv ## serve the newest local model on port 8000 (MODEL=<uri> for another)
	@$(BIN)/python -m service serve $(if $(MODEL),--model '$(MODEL)',--newest)

train-sagemaker-local: venv-dev ## a SageMaker job's whole way, without an account (DATA=<folder> for your own)
	@$(BIN)/python -m tests.engines.sagemaker_local $(if $(DATA),--data '$(DATA)')

test: venv-dev ## run all tests
	@$(BIN)/python -m pytest -n auto

platform: venv-dev ## waiting room, pods and autoscaler here, without a cluster (LOAD=burst, ROLL=<version>)
	@$(BIN)/python -m tests.platform $(if $(LOAD),--load '$(LOAD)') $(if $(ROLL),--roll '$(ROLL)')

bench: venv-dev ## measure beside other servers (ONLY=ours,naive for a quick look, MODEL=<bundle> for yours)
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only '$(ONLY)') $(if $(MODEL),--model '$(MODEL)')

bench-training: venv-dev ## measure reading, memory and training at the size of MSLR-WEB30K (ten minutes, 10 GB of disk)
	@$(BIN)/python -m tests.bench.training

infra-graph: venv-dev ## renew the golden graphs of the infrastructure, and its drawings in docs/
	@$(BIN)/python -m tests.infra graph

check: venv-dev ## ruff, formatting, pyright strict, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/hadolint --failure-threshold style Dockerfile

format: venv-dev ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment, models and runs of this checkout
	rm -rf .venv .podium

.PHONY: venv venv-dev
venv:
	@$(PYTHON) -m training.environment

venv-dev:
	@$(PYTHON) -m training.environment dev
