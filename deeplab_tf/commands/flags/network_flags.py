"""The flags that say which network is trained, and what it starts from."""

from absl import flags

from deeplab_tf import build_deeplab, build_fcn
from deeplab_tf.commands.flags.scale_lists import read_scales
from deeplab_tf.errors import InputError
from deeplab_tf.models import start_from
from deeplab_tf.training.freezing import freeze_bn, set_bn_momentum, train_only

FLAGS = flags.FLAGS

# What an FCN does not have.
OF_DEEPLAB = (
    "head",
    "output_stride",
    "scales",
    "fc_channels",
    "pool_size",
    "average_pool5",
    "preprocessing",
    "multi_scale_features",
)

flags.DEFINE_enum(
    "network",
    "deeplab",
    ["deeplab", "fcn"],
    "deeplab: --backbone and --head; fcn: FCN-32s, 16s or 8s on VGG, see --fcn_stride.",
)
flags.DEFINE_string("backbone", "resnet101", "keras.applications family; paper: vgg16, resnet101.")
flags.DEFINE_string(
    "head",
    "aspp_l",
    "large_fov, aspp_s or aspp_l; for vgg16 also 7x7, 4x4 and 4x4_fov (all in the papers); for "
    "other backbones also plain.",
)
flags.DEFINE_integer(
    "fc_channels", None, "VGG-16: filters of fc6 and fc7. Default: as published for the head."
)
flags.DEFINE_integer(
    "pool_size", 2, "VGG-16: side of the poolings; the ImageNet weights: 2, the authors' files: 3."
)
flags.DEFINE_bool(
    "average_pool5",
    False,
    "VGG-16: a 3x3 average behind the last pooling, as the authors' files of DeepLab v1 have it.",
)
flags.DEFINE_enum(
    "preprocessing",
    None,
    ["deeplab"],
    "deeplab: the mean color of the DeepLab authors, whose weights tools/import_weights.py reads. "
    "Default: what the backbone's ImageNet weights were trained with.",
)
flags.DEFINE_bool(
    "multi_scale_features",
    False,
    "VGG-16: score the image and the first four poolings too (DeepLab v1's MSc); with "
    "--init_from and --train_layers='^(msf_|fc8)' as published.",
)
flags.DEFINE_integer("fcn_stride", 8, "Pixels per cell of an FCN's finest scores: 32, 16 or 8.")
flags.DEFINE_integer("output_stride", 8, "Pixels between two score cells; paper: 8.", lower_bound=1)
flags.DEFINE_list(
    "scales",
    ["1"],
    "Input scales of one network, whose scores are fused by their maximum; paper (ResNet-101): "
    "1,0.75,0.5. Each scale's own scores are trained too.",
)
flags.DEFINE_string(
    "weights", "imagenet", "imagenet, none, or a weights file; of the backbone or of all of it."
)
flags.DEFINE_string(
    "init_from",
    None,
    "A trained .keras file, or the folder of a training, whose layers of the same name and shape "
    "are taken; --weights is then none.",
)
flags.DEFINE_string(
    "train_layers", None, "Train only the layers whose name this expression is found in."
)
flags.DEFINE_float(
    "bn_momentum",
    None,
    "Share of the old batch statistics each step keeps, 0 to 1; 0.9 suits training from "
    "scratch. Default: as the backbone has it.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_bool(
    "freeze_bn", False, "Keep all of batch normalisation as loaded; paper (ResNet-101): yes."
)


def scales():
    """The scales of --scales as a tuple of floats; `InputError` where they are none."""
    return read_scales(FLAGS.scales)


def output_stride():
    """Pixels between two cells of the scores that are trained."""
    return 1 if FLAGS.network == "fcn" else FLAGS.output_stride


def build_network(num_classes):
    """Build the network of the flags, with its batch normalisation set."""
    weights = None if FLAGS.weights == "none" or FLAGS.init_from else FLAGS.weights
    build = _build_fcn if FLAGS.network == "fcn" else _build_deeplab
    model = build(num_classes, weights)
    if FLAGS.bn_momentum is not None:
        set_bn_momentum(model, FLAGS.bn_momentum)
    if FLAGS.freeze_bn:
        freeze_bn(model)
    return model


def start(model):
    """Take the weights of --init_from, saying what was taken, and freeze by --train_layers."""
    if FLAGS.init_from:
        print(f"start from {FLAGS.init_from}: {start_from(model, FLAGS.init_from).summary()}")
    if FLAGS.train_layers is not None:
        train_only(model, FLAGS.train_layers)


def _build_deeplab(num_classes, weights):
    return build_deeplab(
        FLAGS.backbone,
        FLAGS.head,
        num_classes=num_classes,
        output_stride=FLAGS.output_stride,
        weights=weights,
        scales=scales(),
        fc_channels=FLAGS.fc_channels,
        pool_size=FLAGS.pool_size,
        use_multi_scale_features=FLAGS.multi_scale_features,
        average_pool5=FLAGS.average_pool5,
        preprocessing=FLAGS.preprocessing,
    )


def _build_fcn(num_classes, weights):
    given = [flag for flag in OF_DEEPLAB if FLAGS[flag].present]
    if given:
        raise InputError(f"--{given[0]} has no effect on --network=fcn; leave it out")
    return build_fcn(FLAGS.backbone, FLAGS.fcn_stride, num_classes, weights)
