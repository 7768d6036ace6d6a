# collapse-lit. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON     ?= python3
EXPERIMENT ?= quickstart
RUN        ?= $(EXPERIMENT)
ARGS       ?=
NODES      ?= 1
DEVICES    ?= 1
SBATCH_ARGS ?=

VENV := .venv
BIN  := $(VENV)/bin
# faiss-gpu if there is an NVIDIA GPU, else faiss-cpu: never both, because they install the same module.
# On a login node without a GPU, use `make setup FAISS=gpu` for GPU nodes.
FAISS ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)

SLURM = $(shell sinfo --noheader >/dev/null 2>&1 && echo yes)
ARRAY = mkdir -p runs; sbatch --array=0-8 --ntasks-per-node=$(DEVICES) $(SBATCH_ARGS) configs/cluster/job.sbatch

.PHONY: help setup train resume controls grid submit report watch test lint format bench results docs build clean

help:  ## list the targets
	@awk -F':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Variables'
	@echo '  EXPERIMENT=NAME    which configs/NAME.yaml to train      (default: quickstart)'
	@echo '  RUN=NAME           which runs/NAME to write and continue (default: the experiment)'
	@echo '  ARGS="..."         anything else, such as ARGS="--trainer.max_epochs=5"'

##@ Start

setup: $(VENV)/.installed  ## create .venv with the package and its tools

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing the package, PyTorch and tools into $(VENV): several minutes, about 7 GB with CUDA.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(FAISS),dev]'
	@touch $@

train: setup  ## train EXPERIMENT into runs/RUN; the same command again continues that run
	$(BIN)/collapse-lit fit --config configs/$(EXPERIMENT).yaml --run_dir runs/$(RUN) $(ARGS)

resume: setup  ## continue runs/RUN with the configuration it was started with
	$(BIN)/collapse-lit fit --config runs/$(RUN)/config.yaml --run_dir runs/$(RUN) $(ARGS)

##@ Several runs
controls: RUN = $(EXPERIMENT)-controls
controls: setup  ## run EXPERIMENT and its controls: one table, one figure, in runs/EXPERIMENT-controls
	$(BIN)/collapse-lit controls --config configs/$(EXPERIMENT).yaml --run_dir runs/$(RUN) $(ARGS)

grid: RUN = $(EXPERIMENT)-grid
grid: setup  ## run EXPERIMENT over the paper's grid, as a SLURM array if there is SLURM
	$(if $(SLURM),$(ARRAY)) $(BIN)/collapse-lit grid --config configs/$(EXPERIMENT).yaml --run_dir runs/$(RUN) $(ARGS)

submit: setup  ## submit EXPERIMENT to SLURM: NODES=1 DEVICES=1; it requeues itself and continues
	@mkdir -p runs
	sbatch --nodes=$(NODES) --ntasks-per-node=$(DEVICES) $(SBATCH_ARGS) configs/cluster/job.sbatch \
	  $(BIN)/collapse-lit fit --config configs/$(EXPERIMENT).yaml --run_dir runs/$(RUN) \
	  --trainer.num_nodes $(NODES) --trainer.devices $(DEVICES) $(ARGS)

##@ Look at runs
report: setup  ## rebuild figures and report.html of runs/RUN
	$(BIN)/collapse-lit report runs/$(RUN) $(ARGS)

watch: setup  ## watch runs/RUN live in the terminal, with W&B's own viewer
	cd runs/$(RUN) && $(CURDIR)/$(BIN)/wandb leet $(ARGS)

##@ Work on the package
test: setup  ## run the test suite (CPU, no network)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

.PHONY: test-long
test-long: setup  ## run the slow checks: controls, W&B sweeps, embeddings, full disks; minutes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m long $(ARGS)

.PHONY: test-kills
test-kills: setup  ## kill a run at twenty random moments; minutes
	$(BIN)/python -m pytest -m kills -s $(ARGS)

.PHONY: test-gpu
test-gpu: setup  ## compare one GPU with the CPU, from the loader to a resumed run
	$(BIN)/python -c 'import torch; torch.cuda.is_available() or exit("make test-gpu: torch sees no CUDA device")'
	$(BIN)/python -m pytest tests/gpu $(ARGS)

.PHONY: test-slurm
test-slurm: setup  ## run on a real SLURM, set up on loopback (Debian, as root)
	@command -v slurmctld munged >/dev/null || apt-get install --yes --no-install-recommends slurm-wlm munge
	$(BIN)/python -m pytest -m slurm -s $(ARGS)

.PHONY: test-browser
test-browser: setup  ## test the pages in Chromium, which apt installs if missing (Debian, as root)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || apt-get install --yes --no-install-recommends chromium chromium-driver
	$(BIN)/python -m pytest -m browser $(ARGS)

lint: setup  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## measure speed, as ratios between methods from one run
	@for script in benchmarks/*.py; do $(BIN)/python $$script; done

results: setup  ## rebuild results/README.md with its figures from results/runs, and docs/metrics.md
	$(BIN)/python results/build.py $(ARGS)
	$(BIN)/python -m collapse_lit.report.metrics_page > docs/metrics.md

docs: $(VENV)/.docs  ## build the site into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build $(ARGS)

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

build: setup  ## build wheel and source archive into dist/
	$(BIN)/python -m build --outdir dist .

.PHONY: test-wheel
test-wheel:  ## install the wheel into an empty environment and use it; PYTHON=python3.12
	bash .ci/wheel $(PYTHON)

.PHONY: test-lowest
test-lowest:  ## test the measures with the oldest versions that pyproject.toml allows
	bash .ci/lowest $(PYTHON)

clean:  ## remove environments, caches and builds; runs/ and data/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist site *.egg-info
