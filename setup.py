"""Installs `crf` and `deeplab_tf`; requirements.txt has the versions that were tested."""

from setuptools import find_packages, setup

setup(
    name="deeplab-tf",
    version="0.1.0",
    description="DeepLab v1 and v2 semantic segmentation for TensorFlow 2 and Keras 3",
    packages=find_packages(include=["crf", "crf.*", "deeplab_tf", "deeplab_tf.*"]),
    python_requires=">=3.10,<3.13",
    install_requires=[
        "absl-py",
        "keras>=3.10",
        "numba",
        "numpy",
        "opencv-python-headless>=4.11",
        "pycocotools",
        "scipy",
        "tensorboard",
        "tensorflow>=2.18",
        "tensorflow-datasets",
        "tqdm",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.18"],
        "dev": ["hypothesis", "pytest", "ruff"],
    },
)
