"""Tiny archives in the formats that the data sets' authors publish, for the tests of preparing.

Every image is a smooth gradient of its own, which JPEG hardly changes; a label has vertical stripes
of the classes that the test asks for.
"""

import contextlib
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import scipy.sparse
import tensorflow as tf

from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.prepare.writer import check_label
from deeplab_tf.labels import voc_colors

SIZE = (24, 32)  # pixels, height and width


def gradient(seed, size=SIZE):
    """An image (H, W, 3) uint8 RGB that differs for each seed."""
    corners = np.random.default_rng(seed).uniform(0, 255, (2, 2, 3)).astype(np.float32)
    return cv2.resize(corners, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def stripes(values, size=SIZE):
    """A label map (H, W) uint8 of vertical stripes of equal width, one for each value."""
    columns = np.arange(size[1]) * len(values) // size[1]
    return np.tile(np.array(values, np.uint8)[columns], (size[0], 1))


def jpeg(image):
    """The bytes of an RGB image as JPEG."""
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def png(image):
    """The bytes of a grey or RGB image as PNG."""
    return cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1].tobytes()


def palette_png(label):
    """The bytes of a label map as palette PNG in VOC's colors."""
    return encode_label(label, voc_colors(256))


def write_files(folder, files):
    """Write {relative path: bytes or text} into a folder."""
    for name, contents in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.encode() if isinstance(contents, str) else contents)


def pack(path, files):
    """Write {member name: bytes or text} as an archive of the kind that its ending says."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_files(scratch, files)
        if path.suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED))
            add = archive.write
        else:
            kind = "w" if path.suffix == ".tar" else "w:gz"
            archive = stack.enter_context(tarfile.open(path, kind))
            add = archive.add
        for name in files:
            add(scratch / name, name)
    return path


def voc_files(names, root="VOCdevkit/VOC2012"):
    """The files of VOC's layout for {split: {name: label map}}.

    Returns:
      {path: contents}, and the images {name: JPEG bytes}.
    """
    examples = {name: label for split in names.values() for name, label in split.items()}
    images = {name: jpeg(gradient(seed)) for seed, name in enumerate(sorted(examples))}
    files = {f"{root}/JPEGImages/{name}.jpg": image for name, image in images.items()}
    for name, label in examples.items():
        files[f"{root}/SegmentationClass/{name}.png"] = palette_png(label)
    lists = {
        split: "".join(f"{name}\n" for name in split_names) for split, split_names in names.items()
    }
    for split, text in lists.items():
        files[f"{root}/ImageSets/Segmentation/{split}.txt"] = text
    files[f"{root}/ImageSets/Segmentation/trainval.txt"] = "".join(lists.values())
    return files, images


def write_voc12(folder, names):
    """Write VOC 2012's archive into a folder.

    Args:
      folder: where to.
      names: {split: {name: label map}}.

    Returns:
      The images, {name: JPEG bytes}.
    """
    files, images = voc_files(names)
    pack(Path(folder) / "VOCtrainval_11-May-2012.tar", files)
    return images


def sbd_mat(label):
    """The bytes of one of SBD's class files: struct GTcls, as its authors' MATLAB wrote it."""
    boundaries = np.empty((20, 1), object)
    for index in range(20):
        is_class = (label == index + 1).astype(np.uint8)
        edge = is_class - cv2.erode(is_class, np.ones((3, 3), np.uint8))
        boundaries[index, 0] = scipy.sparse.csc_matrix(edge.astype(bool))
    present = np.setdiff1d(label, [0]).astype(np.uint8)[:, None]
    truth = {"Boundaries": boundaries, "Segmentation": label, "CategoriesPresent": present}
    file = io.BytesIO()
    scipy.io.savemat(file, {"GTcls": truth}, do_compression=True)
    return file.getvalue()


def write_sbd(folder, labels, train, images=()):
    """Write SBD's archive into a folder.

    Args:
      folder: where to.
      labels: {name: label map}.
      train: the names in its train.txt; the others are in val.txt.
      images: {name: JPEG bytes} of its img.
    """
    root = "benchmark_RELEASE/dataset"
    files = {f"{root}/cls/{name}.mat": sbd_mat(label) for name, label in labels.items()}
    files |= {f"{root}/img/{name}.jpg": image for name, image in dict(images).items()}
    files[f"{root}/train.txt"] = "".join(f"{name}\n" for name in train)
    files[f"{root}/val.txt"] = "".join(f"{name}\n" for name in labels if name not in train)
    pack(Path(folder) / "benchmark.tgz", files)


def read_all(builder, folders=None):
    """Read and check all examples as `prepare` does, without writing them.

    Args:
      builder: `Builder`.
      folders: {key: Path} of the contents of its archives.

    Returns:
      {split: {name: label map}}, without the examples that the builder leaves out.
    """
    found = {}
    for split, examples in builder.splits(folders).items():
        found[split] = {}
        for example in examples:
            label = builder.read_label(example)
            if label is not None:
                image = builder.read_image(example)
                check_label(example, image, label, builder.label_set.num_classes)
                found[split][example.name] = label
    return found


def read_back(folder, split):
    """What TensorFlow itself reads in a split of a prepared data set.

    Returns:
      A list of {feature: bytes}.
    """
    paths = sorted(map(str, Path(folder).glob(f"*-{split}.tfrecord-*")))
    records = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(paths)]
    return [
        {key: value.bytes_list.value[0] for key, value in record.features.feature.items()}
        for record in records
    ]


def label_of(record):
    """The label map (H, W) of a record of `read_back`, which must be an 8-bit grey PNG."""
    contents = np.frombuffer(record["label"], np.uint8)
    assert bytes(contents[24:26]) == bytes([8, 0])  # PNG header: bit depth, grey
    return cv2.imdecode(contents, cv2.IMREAD_UNCHANGED)
