"""What the fuzzing campaign reads its inputs with: each of our readers of files from strangers.

`READERS` has, for each kind of input, a function of two folders: `given`, which holds the files of
the input under fixed names, and `target`, the only place that may be written to. It returns what
was read, or raises the reader's own error.
"""

import functools
import json
import os
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from absl import flags
from fuzz_served import read_served
from fuzz_server import ScriptedServer
from tiny_model import random_model
from tiny_packed import build_tiny

from crf import CRFParams
from deeplab_tf import download
from deeplab_tf.commands import train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.runs import Run
from deeplab_tf.data import depth, image_files, image_header, lists, records, voc
from deeplab_tf.data.prepare import coco_voc, nyudv2, pascal_context, person_part, voc12_aug
from deeplab_tf.data.prepare.matlab import load_variable, matrix
from deeplab_tf.data.prepare.unpack import extracted
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.probability_files import load_probabilities
from deeplab_tf.export.description import Description
from deeplab_tf.head_labels import read_labels
from deeplab_tf.labels import LabelEncoding, voc_colors
from deeplab_tf.models import packed
from deeplab_tf.models.files import load_keras
from deeplab_tf.models.released.caffemodel import read_caffemodel
from deeplab_tf.models.released.keras_port import read_keras_port
from deeplab_tf.models.released.state_dict import read_state_dict
from deeplab_tf.models.released.tflite import read_tflite
from deeplab_tf.models.released.variables import read_variables
from deeplab_tf.training.checkpoints import Checkpoints

NUM_CLASSES = 21
COLORS = LabelEncoding(tuple(range(NUM_CLASSES)), voc_colors(NUM_CLASSES).tolist())


def read_image(name, given, target):
    """The image and its header, whose sizes must agree."""
    path = given / name
    image = image_files.load_image(path)
    assert image.dtype == np.uint8, image.dtype
    assert image.ndim == 3 and image.shape[2] == 3, image.shape
    found = image_header.read_header(path.read_bytes())
    assert (found.height, found.width) == image.shape[:2], (found, image.shape)
    image_header.without_turn(path.read_bytes())
    return image, found


def read_channels(name, given, target):
    """An image of as many channels as its header says."""
    try:
        found = image_header.read_header((given / name).read_bytes())
    except InputError as error:
        raise InputError(f"{given / name}: {error}") from None  # as the callers do
    several = {"gray": 1, "gray+alpha": 2, "rgb": 3, "palette": 3}
    is_other = found.color.endswith("channels")
    channels = int(found.color.split()[0]) if is_other else several.get(found.color, 4)
    return image_files.load_image(given / name, channels)


def read_label(name, given, target):
    """A label map of class indices or, where it is RGB, of colors."""
    try:
        label = image_files.load_label(given / name, NUM_CLASSES)
    except InputError as error:
        if "no colors are given" not in str(error):
            raise
        label = image_files.load_label(given / name, NUM_CLASSES, COLORS)
    assert label.dtype == np.uint8 and label.ndim == 2, (label.dtype, label.shape)
    assert not ((label >= NUM_CLASSES) & (label != 255)).any()
    return label


def read_depth(name, given, target):
    """A depth map."""
    try:
        found = depth.decode_depth((given / name).read_bytes())
    except InputError as error:
        raise InputError(f"{given / name}: {error}") from None
    assert np.isfinite(found).all() and (found >= 0).all()
    return found


def read_voc(given, target):
    """A list of examples, and their files."""
    examples = voc.read_split(given / "data", "train", need_labels=False)
    for example in examples:
        assert image_is_inside(given / "data", example.image), example
    return [(example.name, image_files.load_image(example.image)) for example in examples]


def image_is_inside(folder, path):
    """Whether a path leads into a folder, after links."""
    return (folder / path).resolve().is_relative_to(folder.resolve())


def read_flags(given, target):
    """The flags of a training run from a flagfile that includes another one."""
    values, before = flags.FlagValues(), Path.cwd()
    train.define_flags(values)
    os.chdir(given)  # flagfiles name others by their paths from here
    try:
        parse_flags(values, ["--flagfile=main.flags", "--data_dir=D", "--model_dir=M"])
    finally:
        os.chdir(before)
    return values.flags_into_string()


def read_crf(given, target):
    """CRF parameters."""
    return CRFParams.load(given / "crf.json")


def read_description(given, target):
    """What an exported file says of its network."""
    try:
        found = Description.from_json((given / "description.json").read_text("utf-8"))
    except UnicodeDecodeError:
        raise InputError("the description is not text") from None  # the formats hold it as text
    return found.label_set, found.crf_params, found.stride


def read_sbd(given, target):
    """A label map of SBD."""
    return voc12_aug.load_sbd_label(given / "label.mat")


def read_context(given, target):
    """A label map of PASCAL-Context with its list of classes."""
    lookup = pascal_context.class_lookup(given / "labels.txt")
    found = matrix(load_variable(given / "label.mat", "LabelMap"), given / "label.mat")
    return pascal_context.convert(found, lookup, given / "label.mat")


def read_part(given, target):
    """The parts of persons."""
    parts = person_part.read_parts(given / "parts.mat")
    return person_part.draw(parts, (24, 32), given / "parts.mat")


def read_nyu(given, target):
    """The frames of NYU Depth v2, which are HDF5."""
    options = {"nyu_dir": str(given), "nyu_crop": False}
    builder = nyudv2.Nyudv2("nyudv2", options)
    return [
        (
            frame.name,
            builder.read_image(frame),
            builder.read_label(frame),
            builder.read_depth(frame),
        )
        for frames in builder.splits({}).values()
        for frame in frames
    ]


def read_coco(given, target):
    """COCO's annotations, and the label maps of its images."""
    source = coco_voc.load_source(given / "instances.json")
    found = []
    for image_id in source.annotations.imgs:
        regions = coco_voc.read_regions(source, image_id)
        coco_voc.count_object_pixels(regions)
        found.append(coco_voc.draw(regions, coco_voc.image_shape(source, image_id)))
    return found


def read_records(given, target):
    """A prepared data set: its metadata, records, images and labels."""
    examples = records.read_prepared(given, "tiny", "train")
    classes = records.read_prepared_labels(given, "tiny")
    pairs = [image_files.load_pair(example, classes.num_classes) for example in examples]
    return classes, pairs


@functools.cache
def small_training():
    """A network and its optimizer."""
    model = random_model(2)
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    return model, optimizer


def read_checkpoints(given, target):
    """The checkpoints of a training run."""
    model, optimizer = small_training()
    step = Checkpoints(given / "checkpoints", model, optimizer).restore()
    return step, model.get_weights() if step else None


def read_packed(given, target):
    """A packed network of one layer."""
    with mock.patch.dict(packed.BUILDERS, tiny=build_tiny):
        return packed.unpack(given / "net.npz")


def unpack(name, given, target):
    """The contents of an archive, all of them below the target."""
    folder = extracted(given / name, target / "contents")
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in files]


def fetch(given, target):
    """A download from a server that answers as the input says."""
    try:
        script = json.loads((given / "answers.json").read_text("utf-8"))
        start, answers = min(max(int(script["start"]), 0), 1000), list(script["answers"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        start, answers = 0, []  # a change of the input left no script
    if start:
        (target / "file.part").write_bytes(bytes(start))
    patched = mock.patch.object(download, "TIMEOUT", 0.5)
    with patched, ScriptedServer(answers) as url:
        return download.download(url, target / "file.part").read_bytes()


def _plain(read, name):
    return lambda given, target: read(given / name)


def _with(read, name):
    return functools.partial(read, name)


READERS = {
    **{f"image {kind}": _with(read_image, f"image.{kind}") for kind in ("jpg", "png", "tif")},
    **{f"image {kind}": _with(read_image, f"image.{kind}") for kind in ("bmp", "webp", "npy")},
    **{f"channels {kind}": _with(read_channels, f"image.{kind}") for kind in ("png", "tif")},
    "served": read_served,
    **{f"label {kind}": _with(read_label, f"label.{kind}") for kind in ("png", "tif")},
    **{f"label {kind}": _with(read_label, f"label.{kind}") for kind in ("bmp", "webp")},
    **{f"depth {kind}": _with(read_depth, f"depth.{kind}") for kind in ("png", "npy")},
    "camera.txt": _plain(depth.read_camera, "camera.txt"),
    "list": read_voc,
    "entries": _plain(lists.read_entries, "train.txt"),
    "classes.txt": _plain(voc.read_classes, "classes.txt"),
    "flagfile": read_flags,
    "labels.json": _plain(read_labels, "labels.json"),
    "run.json": lambda given, target: Run.load(given),
    "crf json": read_crf,
    "description": read_description,
    "mat sbd": read_sbd,
    "mat context": read_context,
    "mat parts": read_part,
    "mat nyu": read_nyu,
    "coco json": read_coco,
    "caffemodel": _plain(read_caffemodel, "net.caffemodel"),
    "checkpoint": _plain(read_variables, "model.ckpt"),
    "frozen graph": _plain(read_variables, "graph.pb"),
    "network tar": _plain(read_variables, "model.tar"),
    "training": read_checkpoints,
    "keras": _plain(load_keras, "model.keras"),
    "h5": _plain(load_keras, "model.h5"),
    "port h5": _plain(read_keras_port, "port.h5"),
    "packed npz": read_packed,
    "pth": _plain(read_state_dict, "net.pth"),
    "tflite": _plain(read_tflite, "net.tflite"),
    "tfrecord": read_records,
    "tar": _with(unpack, "data.tar"),
    "zip": _with(unpack, "data.zip"),
    "probabilities": _plain(load_probabilities, "scores.npz"),
    "http": fetch,
}
# A process that was forked from one that has loaded TensorFlow cannot compute with it.
TENSORFLOW = ("checkpoint", "network tar", "training", "keras", "h5", "packed npz", "tfrecord")
TENSORFLOW += ("served",)
# Their result depends on the speed of the machine.
TIMED = ("http",)


def is_own_error(reader, error):
    """Whether an exception is how a reader refuses an input."""
    if reader == "crf json":  # the CRF knows nothing of InputError
        return type(error) is ValueError and str(error).startswith("CRFParams: ")
    return isinstance(error, InputError)
