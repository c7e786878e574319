"""Installs `crf`, `deeplab_tf` and the command `deeplab-tf`.

The ranges of install_requires and of the extra [report] passed `make test-oldest` and
`make test-newest`; the lower bounds of the other extras are versions that were tried, on Python
3.11. requirements.txt pins the versions that `make` installs.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
INIT = (ROOT / "deeplab_tf" / "__init__.py").read_text(encoding="utf-8")
REPORT = ["jinja2>=3.1"]
PHOTOGRAPHS = ["scikit-image>=0.25", "scikit-learn>=1.6"]

setup(
    name="deeplab-tf",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE)[1],
    description="DeepLab v1, v2, v3 and v3+ semantic segmentation for TensorFlow 2 and Keras 3",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=[
        *find_packages(include=["crf", "crf.*", "deeplab_tf", "deeplab_tf.*"]),
        "deeplab_tf.configs",
        "deeplab_tf_tools",
    ],
    # The launcher must not be inside deeplab_tf, whose import loads TensorFlow.
    package_dir={"deeplab_tf.configs": "configs", "deeplab_tf_tools": "tools"},
    package_data={
        "crf": ["py.typed"],
        "deeplab_tf": ["py.typed"],
        "deeplab_tf.demo": ["*.html", "*.jinja", "*.css", "*.js"],
        "deeplab_tf.evaluation.html_report": ["*.jinja", "*.css", "*.js"],
        "deeplab_tf.configs": ["*.flags"],
        "deeplab_tf.models": ["*.txt"],
        "deeplab_tf.pretrained": ["*.npz", "*.md", "SHA256SUMS"],
    },
    entry_points={"console_scripts": ["deeplab-tf = deeplab_tf_tools.launch:main"]},
    python_requires=">=3.10,<3.14",
    # Keep in step with constraints-oldest.txt.
    install_requires=[
        "absl-py>=2.1",
        "keras>=3.11",
        "matplotlib>=3.9",
        "numba>=0.61",
        "numpy>=1.26",
        "opencv-python-headless>=4.11",
        "pillow>=11",
        "pycocotools>=2.0.8",
        "tensorboard>=2.18",
        "tensorflow>=2.18",
        "tensorflow-datasets>=4.9.7",
        "tqdm>=4.66",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.18"],
        # The page of `deeplab-tf demo`, whose guard knows the routes of Gradio 6.
        "demo": ["gradio>=6.31,<7", *REPORT, *PHOTOGRAPHS],
        # The site of `make docs`.
        "docs": ["mkdocs-material>=9.7.7", "mkdocstrings-python>=2.0.9"],
        "photographs": PHOTOGRAPHS,  # those of `make demo`
        "report": REPORT,  # evaluate --report_out, predict --contact_sheet_out
        # Formats of exported networks: what converts to them, and what runs them.
        "onnx": ["onnx>=1.23.2", "onnxruntime>=1.23.2", "tf2onnx>=1.17"],
        "openvino": ["nncf>=3.4", "openvino>=2026.4.1"],
        "litert": ["ai-edge-litert>=2.3"],
        # predict, evaluate and search-crf with --runner=ray; pyarrow reads S3 and Google's store.
        "ray": ["pyarrow>=26", "ray>=2.60"],
        "dev": [
            *REPORT,
            "hypothesis",
            "import-linter",
            "pytest",
            "pytest-xdist",
            "ruff",
            "scipy>=1.13",
        ],
    },
)
