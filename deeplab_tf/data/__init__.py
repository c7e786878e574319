"""Data sets: reading, writing, augmenting and batching labeled images."""

from deeplab_tf.data.class_weights import balanced_weights
from deeplab_tf.data.datasets import DATASETS, open_dataset
from deeplab_tf.data.depth import Camera, decode_depth, depth_levels, encode_depth
from deeplab_tf.data.depth_targets import DepthTarget, depth_targets
from deeplab_tf.data.examples import Example, RecordExample
from deeplab_tf.data.hha import hha_image
from deeplab_tf.data.image_files import load_image, load_label, load_pair
from deeplab_tf.data.inputs import DepthExample, add_depth, input_image
from deeplab_tf.data.label_png import decode_label, encode_label
from deeplab_tf.data.label_spaces import HeadsExample, open_heads
from deeplab_tf.data.pipeline import input_error_from, training_batches
from deeplab_tf.data.synthetic import ensure_synthetic, write_synthetic
from deeplab_tf.data.voc import read_encoding, read_label_set, read_split
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.labels import MEAN_RGB, VOID, LabelEncoding, LabelSet, voc_colors

__all__ = [
    "DATASETS",
    "MEAN_RGB",
    "VOID",
    "Camera",
    "DepthExample",
    "DepthTarget",
    "Example",
    "HeadLabels",
    "HeadsExample",
    "LabelEncoding",
    "LabelSet",
    "RecordExample",
    "add_depth",
    "balanced_weights",
    "decode_depth",
    "decode_label",
    "depth_levels",
    "depth_targets",
    "encode_depth",
    "encode_label",
    "ensure_synthetic",
    "hha_image",
    "input_error_from",
    "input_image",
    "load_image",
    "load_label",
    "load_pair",
    "open_dataset",
    "open_heads",
    "read_encoding",
    "read_label_set",
    "read_split",
    "training_batches",
    "voc_colors",
    "write_synthetic",
]
