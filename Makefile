# Both commands of the README set up their own environment in .venv; all they need is Python.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
RUNS ?= runs
DEMO := $(RUNS)/demo
# Two processes share the files of tests, in the order of their names; each takes up to 2.5 GB.
TEST_PROCESSES ?= 2
PYTEST = $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all fix lint bench ablation clean

demo: $(READY)  ## draw a data set, train, score with and without the CRF, export, predict
	$(BIN)/python tools/train.py --flagfile=configs/demo.flags \
	    --data_dir=$(RUNS)/synthetic --model_dir=$(DEMO)
	$(BIN)/python tools/evaluate.py --flagfile=configs/demo_crf.flags --model=$(DEMO) \
	    --dataset=synthetic --data_dir=$(RUNS)/synthetic --split=val --crf \
	    --json_out=$(DEMO)/scores.json --panel_out=$(DEMO)/panel.png
	$(BIN)/python tools/export.py --flagfile=configs/demo_crf.flags --model=$(DEMO) \
	    --out=$(DEMO)/saved_model --crf --overwrite
	$(BIN)/python tools/predict.py --model=$(DEMO)/saved_model --out_dir=$(DEMO)/predictions \
	    $(RUNS)/synthetic/JPEGImages/val_0000.jpg $(RUNS)/synthetic/JPEGImages/val_0001.jpg
	@$(BIN)/python -c "import json; s = json.load(open('$(DEMO)/scores.json')); \
	    print(f\"\nvalidation mIoU  before the CRF  {s['miou']:.4f}\n\" \
	          f\"                 after the CRF   {s['crf']['miou']:.4f}\")"
	@echo "picture          $(DEMO)/panel.png   (image, truth, before, after)"
	@echo "predictions      $(DEMO)/predictions"
	@echo "SavedModel       $(DEMO)/saved_model"

test: $(READY)  ## the test suite, without what takes minutes
	$(PYTEST) -m "not slow"

test-all: $(READY)  ## the whole test suite
	$(PYTEST)

fix: $(READY)  ## format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(READY)  ## what CI checks before the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)  ## every benchmark, each a table of ratios against a named peer
	for script in dilated_convolution crf crf_accuracy input inference train_step evaluation; do \
	    $(BIN)/python benchmarks/$$script.py || exit 1; done

ablation: $(READY)  ## what each part of DeepLab is worth, on CamVid: make ablation DATA=CAMVID
	@test -n "$(DATA)" || { echo "error: say where CamVid lies: make ablation DATA=CAMVID"; exit 1; }
	$(BIN)/python tools/ablation.py --data_dir=$(DATA) --runs_dir=$(RUNS)/ablation

# Touched last, so that an interrupted installation starts again. Old versions of pip take an
# hour to resolve what new ones resolve in seconds.
$(READY): requirements.txt setup.py
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; \
	    sys.exit(None if (3, 10) <= v <= (3, 12) else \
	    'error: Python %d.%d; 3.10 to 3.12 are supported: make PYTHON=python3.12' % v)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

clean:  ## remove the environment and the runs
	rm -rf .venv $(RUNS)
