# Every target sets up its environment in .venv first; only Python is needed.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
# The first of several names that runs: a python3.X on the PATH may be a shim that fails.
find_python = $(shell for name in $(1); do \
    $$name -c "$(SUPPORTED)" 2>/dev/null && echo $$name && break; done)
PYTHON ?= $(call find_python,python3.13 python3.12 python3.11 python3.10 python3)
OLDEST_PYTHON ?= $(call find_python,python3.10)
BIN := .venv/bin
READY := .venv/ready
RUNS ?= runs
DEMO := $(RUNS)/demo
PHOTOS := $(DEMO)/photos
# Images, or a folder of images, to label with the network that comes with the package.
PHOTO ?= $(PHOTOS)
# Two processes share the test files, in alphabetical order; each uses up to 2.5 GB of memory.
TEST_PROCESSES ?= 2
PYTEST_OPTIONS = -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

BROWSER := .venv-browser
CRF := .venv-crf
FORMATS := .venv-formats
RAY := .venv-ray
AUDIT := .venv-audit

.PHONY: demo docs test test-browser test-crf test-formats test-ray test-all test-oldest test-newest fix \
    lint bench ablation fuzz faults soak distributed audit clean

demo: $(READY) $(filter $(PHOTOS),$(PHOTO))  ## label photographs; then train, score, export
	@test "$(PHOTO)" = "$(PHOTOS)" -a ! -d $(PHOTOS) || \
	    $(BIN)/python tools/predict.py --model=msrc21 --crf --out_dir=$(DEMO)/labels \
	    --panel_out=$(DEMO)/photos.png $(PHOTO)
	$(BIN)/python tools/train.py --flagfile=configs/demo.flags \
	    --data_dir=$(RUNS)/synthetic --model_dir=$(DEMO)
	$(BIN)/python tools/evaluate.py --flagfile=configs/demo_crf.flags --model=$(DEMO) \
	    --crf --json_out=$(DEMO)/scores.json --panel_out=$(DEMO)/panel.png
	$(BIN)/python tools/export.py --flagfile=configs/demo_crf.flags --model=$(DEMO) \
	    --out=$(DEMO)/saved_model --crf --overwrite
	$(BIN)/python tools/predict.py --model=$(DEMO)/saved_model --out_dir=$(DEMO)/predictions \
	    $(RUNS)/synthetic/JPEGImages/val_0000.jpg $(RUNS)/synthetic/JPEGImages/val_0001.jpg
	@$(BIN)/python -c "import json; s = json.load(open('$(DEMO)/scores.json')); \
	    print(f\"\nvalidation mIoU  before the CRF  {s['miou']:.4f}\n\" \
	          f\"                 after the CRF   {s['crf']['miou']:.4f}\")"
	@test ! -f $(DEMO)/photos.png || \
	    echo "photographs      $(DEMO)/photos.png  (image, before, after)"
	@echo "picture          $(DEMO)/panel.png   (image, truth, before, after)"
	@echo "predictions      $(DEMO)/predictions"
	@echo "SavedModel       $(DEMO)/saved_model"

test: $(READY)  ## the test suite, without the slow tests
	$(BIN)/pytest $(PYTEST_OPTIONS) -m "not slow"

test-all: $(READY)  ## the whole test suite
	$(BIN)/pytest $(PYTEST_OPTIONS)

test-browser: $(BROWSER)/ready  ## the tests of pages in Chromium; its command must be on the PATH
	$(BROWSER)/bin/python -m pytest -m browser -rs tests/deeplab_tf/demo \
	    tests/deeplab_tf/evaluation/html_report

# Sources may have changed, and build/lib may hold old ones.
test-crf: $(CRF)/ready  ## the CRF where NumPy and numba are installed, but not TensorFlow
	rm -rf build/lib
	$(CRF)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps .
	$(CRF)/bin/pytest --noconftest -o pythonpath=tests/support tests/crf/test_standalone.py

test-formats: $(FORMATS)/ready  ## the tests of exported formats and servers, without the slow ones
	$(FORMATS)/bin/python -m pytest -m "not slow" -rs tests/deeplab_tf/export/test_formats.py \
	    tests/deeplab_tf/export/test_int8.py tests/deeplab_tf/export/test_serving.py \
	    tests/deeplab_tf/export/test_warmup.py tests/deeplab_tf/commands/test_exported.py

test-ray: $(RAY)/ready  ## the tests of --runner=ray, on a cluster that they start here
	$(RAY)/bin/python -m pytest -m "not slow" -rs tests/deeplab_tf/scale \
	    tests/deeplab_tf/commands/test_on_ray.py

test-oldest: .venv-oldest/ready  ## the tests with the oldest versions that setup.py allows
	.venv-oldest/bin/pytest $(PYTEST_OPTIONS) -m "not slow"

test-newest:  ## the tests with the newest released versions
	$(call make_environment,.venv-newest,$(PYTHON))
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager -e .[dev]
	.venv-newest/bin/pytest $(PYTEST_OPTIONS) -m "not slow"

fuzz: $(READY)  ## thousands of damaged and hostile inputs for every reader; docs/reliability.md
	$(BIN)/python tests/campaigns/fuzz.py --inputs=12000 --findings=$(RUNS)/fuzz

audit: $(AUDIT)/ready  ## known vulnerabilities of the pinned packages, asked of the package index
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner=off -r requirements.txt

fix: $(READY)  ## format, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(READY)  ## what CI checks before the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@! grep -rnE 'keras\.src|_run_through_graph' --include='*.py' crf deeplab_tf tools benchmarks \
	    || { echo "error: use the public interfaces of Keras"; exit 1; }

faults: $(READY)  ## every command killed, starved and disturbed: what is left? make faults FAULTS=--kills=5
	$(BIN)/python benchmarks/faults.py $(FAULTS)

docs: $(READY)  ## the documentation as a site in build/docs, with every link checked
	$(BIN)/python docs/site/site_build.py build/docs

bench: $(READY)  ## every benchmark that needs no flags; with flags, they compare with other programs
	for script in dilated_convolution depthwise crf crf_batches crf_kernels crf_scaling crf_strips \
	    crf_training input inference train_step large_fov fcn_classifiers evaluation deploy \
	    boundary_scores depth_inputs depth_from_color; do \
	    $(BIN)/python benchmarks/$$script.py || exit 1; done

# The page of the demo needs Gradio, which .venv-browser has.
soak: $(READY)  ## does memory stop growing? hours; make soak SOAK_FLAGS="--parts=crf --scale=0.1"
	$(firstword $(wildcard $(BROWSER)/bin/python) $(BIN)/python) benchmarks/soak.py $(SOAK_FLAGS)

distributed: $(READY)  ## faults of workers that train together, and what more workers gain
	$(BIN)/python benchmarks/distributed_faults.py $(DISTRIBUTED_FLAGS)
	$(BIN)/python benchmarks/distributed_scaling.py

ablation: $(READY)  ## what each part of DeepLab contributes: make ablation DATA=MSRC21 WEIGHTS=LITE0.weights.h5
	@test -n "$(DATA)" -a -n "$(WEIGHTS)" || { echo "error: name the folder of MSRC-21 and the file" \
	    "of EfficientNet-Lite0's weights: make ablation DATA=MSRC21 WEIGHTS=FILE"; exit 1; }
	$(BIN)/python tools/ablation.py --data_dir=$(DATA) --runs_dir=$(RUNS)/ablation \
	    --weights=$(WEIGHTS)

# A temple (danielbuechele, CC BY 2.0), a cat (Stéfan van der Walt, CC0), an astronaut (NASA, public
# domain) and, to show what the network does not know, a cup of coffee (Rachel Michetti, CC0).
define SAVE_PHOTOS
import pathlib, sys
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image
photos = {"temple": load_sample_image("china.jpg")}
photos |= {name: getattr(data, name)() for name in ("chelsea", "astronaut", "coffee")}
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, image in photos.items():
    Image.fromarray(image).save(folder / f"{name}.png")
endef
export SAVE_PHOTOS

$(PHOTOS): | $(READY)
	@{ $(BIN)/python -c "import skimage, sklearn" 2>/dev/null || \
	    $(BIN)/python -m pip install --quiet --quiet -c requirements.txt -e .[photographs]; } && \
	$(BIN)/python -c "$$SAVE_PHOTOS" $@.partial && mv $@.partial $@ || \
	echo "no photographs without the packages scikit-image and scikit-learn, so the demo starts" \
	    "with the training; for photographs of yours: make demo PHOTO=FILE_OR_FOLDER"

# Old versions of pip take an hour to resolve what new ones resolve in seconds.
define make_environment
	@"$(2)" -c "$(SUPPORTED)" 2>/dev/null || { \
	    echo "error: $(or $(2),no python found): Python 3.10 to 3.13 with venv is needed:" \
	    "make PYTHON=/path/to/python3.12 (for test-oldest: OLDEST_PYTHON=/path/to/python3.10)"; \
	    exit 1; }
	"$(2)" -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
endef

# The files `ready` are touched last, so that an interrupted installation starts again.
$(READY): requirements.txt setup.py
	$(call make_environment,.venv,$(PYTHON))
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --quiet --no-deps -e .
	@touch $@

# An environment on top of .venv, for packages that most tests do without.
define make_layer
	$(BIN)/python -m venv --clear $(1)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	    "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/main.pth"
endef

# Gradio takes only older versions of Pillow than the one pinned in .venv.
$(BROWSER)/ready: $(READY)
	$(call make_layer,$(BROWSER))
	$(BROWSER)/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary \
	    "gradio>=6.31,<7" playwright axe-playwright-python
	@touch $@

$(CRF)/ready: $(READY)
	$(BIN)/python -m venv --clear $(CRF)
	$(CRF)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.txt \
	    numpy numba pytest
	@touch $@

$(FORMATS)/ready: $(READY)
	$(call make_layer,$(FORMATS))
	$(FORMATS)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.txt \
	    -e ".[onnx,openvino,litert]" tensorflow-serving-api
	@touch $@

$(RAY)/ready: $(READY)
	$(call make_layer,$(RAY))
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.txt \
	    -e ".[ray]"
	@touch $@

$(AUDIT)/ready: $(READY)
	$(BIN)/python -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.10"
	@touch $@

.venv-oldest/ready: constraints-oldest.txt setup.py
	$(call make_environment,.venv-oldest,$(OLDEST_PYTHON))
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -e .[dev]
	@touch $@

clean:  ## remove the environments, the runs and the site
	rm -rf .venv .venv-oldest .venv-newest $(BROWSER) $(CRF) $(FORMATS) $(RAY) $(AUDIT) $(RUNS) \
	    build/docs build/docs_sources
