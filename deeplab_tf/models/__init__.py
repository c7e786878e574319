"""Networks as Keras models: build, load and rewrite them, and start them from other networks."""

from deeplab_tf.models.atrous import to_atrous
from deeplab_tf.models.backbones import backbone_names, padding_color
from deeplab_tf.models.class_transfer import transfer_classes
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.fcn import build_fcn
from deeplab_tf.models.files import is_pretrained, is_released, is_start
from deeplab_tf.models.heads import head_names
from deeplab_tf.models.late_fusion import build_late_fusion, fuse_late
from deeplab_tf.models.locate import find_model, is_packed
from deeplab_tf.models.output_stride import with_output_stride
from deeplab_tf.models.packed import ModelCard, load_card, pack
from deeplab_tf.models.released.caffe import import_caffemodel
from deeplab_tf.models.released.caffe_fcn import import_caffe_fcn
from deeplab_tf.models.released.pytorch import import_pytorch
from deeplab_tf.models.released.tensorflow import import_tensorflow
from deeplab_tf.models.score_heads import one_head, score_heads, with_heads
from deeplab_tf.models.trained import load_model, load_pretrained, start_from, suited_crf
from deeplab_tf.models.with_crf import network_and_crf, with_crf

__all__ = [
    "ModelCard",
    "backbone_names",
    "build_deeplab",
    "build_fcn",
    "build_late_fusion",
    "find_model",
    "fuse_late",
    "head_names",
    "import_caffe_fcn",
    "import_caffemodel",
    "import_pytorch",
    "import_tensorflow",
    "is_packed",
    "is_pretrained",
    "is_released",
    "is_start",
    "load_card",
    "load_model",
    "load_pretrained",
    "network_and_crf",
    "one_head",
    "pack",
    "padding_color",
    "score_heads",
    "start_from",
    "suited_crf",
    "to_atrous",
    "transfer_classes",
    "with_crf",
    "with_heads",
    "with_output_stride",
]
