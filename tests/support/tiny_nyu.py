"""A tiny NYU Depth v2 in its authors' layout: HDF5 as MATLAB writes it, and Gupta's two files."""

from pathlib import Path

import h5py
import numpy as np
import scipy.io

NAMES = ("book", "bottle", "floor", "wall", "lamp")  # the authors' classes, 894 in the original
CLASS_MAP = (23, 40, 2, 1, 35)  # of each, Gupta's class 1..40


def write_nyu(folder, images, depths, labels, splits=None, gupta=None):
    """Write nyu_depth_v2_labeled.mat, classMapping40.mat, and splits.mat or nyusplits.mat.

    Args:
      folder: where to.
      images: (N, H, W, 3) uint8; depths: (N, H, W) float32; labels: (N, H, W), values 0..5.
      splits: {variable of splits.mat: numbers from 1}.
      gupta: {variable of nyusplits.mat: numbers from 5001}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    packed = {"compression": "gzip", "compression_opts": 1}
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        # MATLAB stores arrays by columns: all axes are in reverse order.
        file.create_dataset("images", data=np.transpose(images, (0, 3, 2, 1)), **packed)
        file.create_dataset("depths", data=np.transpose(np.float32(depths), (0, 2, 1)), **packed)
        file.create_dataset("labels", data=np.transpose(np.uint16(labels), (0, 2, 1)), **packed)
        references = np.empty((1, len(NAMES)), h5py.ref_dtype)
        for index, name in enumerate(NAMES):
            codes = np.array([[ord(letter)] for letter in name], np.uint16)
            references[0, index] = file.create_dataset(f"#refs#/{index}", data=codes).ref
        file.create_dataset("names", data=references, dtype=h5py.ref_dtype)
    scipy.io.savemat(folder / "classMapping40.mat", {"mapClass": np.uint8([CLASS_MAP])})
    for name, variables in (("splits.mat", splits), ("nyusplits.mat", gupta)):
        if variables:
            columns = {key: np.float64(numbers)[:, None] for key, numbers in variables.items()}
            scipy.io.savemat(folder / name, columns)
