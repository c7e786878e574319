"""The flags that describe the network to train."""

from functools import partial

from deeplab_tf import build_deeplab, build_fcn
from deeplab_tf.commands.flags.data import define_input_flag, image_channels
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.heads import define_heads_flag, read_heads
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.commands.flags.scales import read_scales
from deeplab_tf.models.heads import score_stride
from deeplab_tf.models.late_fusion import build_late_fusion
from deeplab_tf.models.score_heads import with_heads
from deeplab_tf.training.freezing import freeze_bn, set_bn_momentum

# The flags that have an effect on one of the networks only.
_OF_FCN = ("fcn_stride", "fcn_fixed_upsampling", "fcn_scaled_skips", "fcn_released_padding")
_OF_DEEPLAB = (
    "head",
    "output_stride",
    "scales",
    "fc_channels",
    "pool_size",
    "average_pool5",
    "preprocessing",
    "multi_scale_features",
    "separable_convolutions",
    "half_pixel_upsampling",
)

NETWORK = "Network"  # the heading of the flags that describe the layers


def define_architecture_flags(values):
    """Define the flags that `network_arguments` reads."""
    define = heading(values, NETWORK)
    define.enum(
        "network",
        "deeplab",
        ["deeplab", "fcn"],
        "deeplab: --backbone with --head. fcn: FCN-32s, 16s or 8s, see --fcn_stride.",
    )
    define.string(
        "backbone",
        "resnet101",
        "A network of keras.applications, or efficientnetlite0 to efficientnetlite4; papers: "
        "vgg16, resnet101; of v3+: xception41, xception65, xception71, resnet101_beta, "
        "mobilenetv2, mobilenetv2_half (mobilenetv2_half_rounded has ImageNet weights); of FCN: "
        "vgg16, alexnet, googlenet; bvlc_alexnet, which normalizes before it pools; of "
        "torchvision: resnet50_torch, resnet101_torch, mobilenetv3large_torch.",
    )
    define.string(
        "head",
        "aspp_l",
        "large_fov, aspp_s or aspp_l; for vgg16 also 7x7, 4x4 and 4x4_fov (all from the papers); "
        "for other backbones also plain. DeepLab v3: aspp_v3; v3+: v3plus (with the decoder), "
        "v3_mobile and v3plus_mobile; their ports for PyTorch: aspp_v3_torch, v3plus_torch.",
    )
    define.bool(
        "separable_convolutions",
        None,
        "aspp_v3, v3plus and v3plus_mobile: depthwise separable 3x3 convolutions. Default: in "
        "v3plus_mobile, and with xception41, xception65 and xception71, as published.",
    )
    define.bool(
        "half_pixel_upsampling",
        False,
        "Interpolate the scores to every pixel inside the network, and the decoder's map, with the "
        "edges of the maps aligned instead of their corner cells, as ports for PyTorch do.",
    )
    define.integer(
        "fc_channels",
        None,
        "Number of filters of fc6 and fc7. Default: for VGG-16 as published for the head; the "
        "branches of other backbones have no fc6 and fc7, but lead straight to the classes.",
    )
    define.integer(
        "pool_size",
        2,
        "VGG-16: size of the max pooling windows; 2 for ImageNet weights, 3 for the DeepLab "
        "authors' weights.",
    )
    define.bool(
        "average_pool5",
        False,
        "VGG-16: add a 3x3 average pooling after the last max pooling, as in DeepLab v1.",
    )
    define.enum(
        "preprocessing",
        None,
        ["deeplab"],
        "deeplab: subtract the mean color that the DeepLab authors use; import-weights needs it. "
        "Default: what the backbone's ImageNet weights were trained with.",
    )
    define.bool(
        "multi_scale_features",
        False,
        "VGG-16: also compute scores from the image and the first four poolings (MSc of DeepLab "
        "v1). Published with --init_from and --train_layers='^(msf_|fc8)'.",
    )
    define.integer(
        "fcn_stride", 8, "FCN: pixels between two positions of its finest scores; 32, 16 or 8."
    )
    define.bool(
        "fcn_fixed_upsampling",
        False,
        "FCN: keep all upsampling bilinear, as in the authors' released networks, instead of "
        "learning all but the last, as in the paper.",
    )
    define.bool(
        "fcn_scaled_skips",
        False,
        "FCN: multiply the maps of the skips by 0.01 and 0.0001 before they are scored, to train "
        "FCN-16s or FCN-8s at once, without the FCN of the next larger stride.",
    )
    define.bool(
        "fcn_released_padding",
        False,
        "FCN on VGG or AlexNet: surround images by 100 zeros and subtract the authors' mean color, "
        "as their released networks do; takes more time.",
    )
    define.integer(
        "channels",
        3,
        "Channels of the images: 3 for RGB; more for TIFF and .npy files with further channels, "
        "such as depth, after red, green and blue.",
        lower_bound=3,
    )
    define_input_flag(values, NETWORK)
    define_heads_flag(values, NETWORK)
    define.integer(
        "output_stride",
        8,
        "Pixels between two positions of the backbone's last map, and of the scores; heads with a "
        "decoder score every fourth pixel. Papers: 8; of v3 and v3+: 16.",
        lower_bound=1,
    )
    define.list(
        "scales",
        ["1"],
        "Run the network on the image at several scales and take the maximum of the scores; paper "
        "(ResNet-101): 1,0.75,0.5. The scores of each scale also have their own loss.",
    )


def output_stride(flags):
    """Pixels between two positions of the scores that are trained."""
    if flags.network == "fcn":
        return 1
    return score_stride(flags.head, flags.output_stride, flags.half_pixel_upsampling)


def describe_network(flags, num_classes):
    """What the flags build, as a dict for people who read run.json."""
    fcn = flags.network == "fcn"
    what = {"stride": flags.fcn_stride} if fcn else {"head": flags.head}
    more = {} if fcn else {"output_stride": flags.output_stride, "scales": read_scales(flags)}
    return {
        "network": flags.network,
        "backbone": flags.backbone,
        **what,
        "num_classes": num_classes,
        **more,
        **({} if flags.input == "rgb" else {"input": flags.input}),
        **({"heads": read_heads(flags)} if flags.heads else {}),
    }


def is_late_fusion(flags):
    """Whether the network of the flags is two networks, for color and for HHA."""
    return flags.input == "rgb_hha"


def network_arguments(flags, num_classes):
    """What builds the network of the flags: the arguments of `build_deeplab` or `build_fcn`.

    Args:
      flags: the parsed flags.
      num_classes: number of classes.

    Returns:
      dict of all but `weights`, which JSON can hold; for late fusion, what builds each of the two
      networks.

    Raises:
      InputError: if a flag has no effect on this network.
    """
    shared = {
        "backbone": flags.backbone,
        "num_classes": num_classes,
        "input_shape": (None, None, 3 if is_late_fusion(flags) else image_channels(flags)),
    }
    if flags.network == "fcn":
        refuse_given(flags, _OF_DEEPLAB, "has no effect on --network=fcn; leave it out")
        return {
            **shared,
            "stride": flags.fcn_stride,
            "fixed_upsampling": flags.fcn_fixed_upsampling,
            "scaled_skips": flags.fcn_scaled_skips,
            "released_padding": flags.fcn_released_padding,
        }
    refuse_given(flags, _OF_FCN, "has no effect without --network=fcn; add it or leave it out")
    return {
        **shared,
        "head": flags.head,
        "output_stride": flags.output_stride,
        "scales": read_scales(flags),
        "fc_channels": flags.fc_channels,
        "pool_size": flags.pool_size,
        "use_multi_scale_features": flags.multi_scale_features,
        "average_pool5": flags.average_pool5,
        "preprocessing": flags.preprocessing,
        "separable_convolutions": flags.separable_convolutions,
        "half_pixel_upsampling": flags.half_pixel_upsampling,
    }


def build_network(flags, num_classes, read_weights=True):
    """Build the network of the flags, with its batch normalization set.

    Args:
      flags: the parsed flags.
      num_classes: number of classes.
      read_weights: whether to read the weights of --weights; False if a checkpoint will replace
        them.
    """
    random = flags.weights == "none" or flags.init_from or not read_weights
    build = build_fcn if flags.network == "fcn" else build_deeplab
    if is_late_fusion(flags):
        build = partial(build_late_fusion, build)
    arguments = network_arguments(flags, num_classes)
    arguments["weights"] = None if random else flags.weights
    model = build(**arguments, predict_depth=learns_depth(flags))
    if flags.heads:
        model = with_heads(model, read_heads(flags))
    if flags.bn_momentum is not None:
        set_bn_momentum(model, flags.bn_momentum)
    if flags.freeze_bn:
        freeze_bn(model)
    return model
