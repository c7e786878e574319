"""Data sets: reading, writing, augmenting and batching labelled images."""

from deeplab_tf.data.augment import (
    MEAN_RGB,
    random_crop,
    random_jitter,
    random_mirror,
    random_scale,
)
from deeplab_tf.data.datasets import DATASETS, open_dataset
from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.data.pipeline import check_examples, input_error_from, training_batches
from deeplab_tf.data.png import decode_label, encode_label
from deeplab_tf.data.synthetic import ensure_synthetic, write_synthetic
from deeplab_tf.data.voc import (
    load_image,
    load_label,
    load_pair,
    read_colors,
    read_label_set,
    read_split,
)
from deeplab_tf.labels import VOC, VOID, LabelSet, voc_colors

__all__ = [
    "DATASETS",
    "MEAN_RGB",
    "VOC",
    "VOID",
    "Example",
    "LabelSet",
    "RecordExample",
    "check_examples",
    "decode_label",
    "encode_label",
    "ensure_synthetic",
    "input_error_from",
    "load_image",
    "load_label",
    "load_pair",
    "open_dataset",
    "random_crop",
    "random_jitter",
    "random_mirror",
    "random_scale",
    "read_colors",
    "read_label_set",
    "read_split",
    "training_batches",
    "voc_colors",
    "write_synthetic",
]
