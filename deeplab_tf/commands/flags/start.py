"""The flags of the weights that a network starts from, and of the layers that are trained."""

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.network import is_late_fusion
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.errors import InputError
from deeplab_tf.models import start_from
from deeplab_tf.models.class_transfer import transfer_classes
from deeplab_tf.models.late_fusion import HHA_PREFIX
from deeplab_tf.training.freezing import train_only


def define_start_flags(values):
    """Define the flags of the network's initial weights."""
    define = heading(values, "Initial weights")
    define.string(
        "weights",
        "imagenet",
        "imagenet, none, or a weights file of the backbone or of the whole network.",
    )
    define.bool(
        "shared_classes",
        False,
        "Start the scores of the classes that ImageNet has, too, from the ImageNet classifier in "
        "--weights, as MIL-FCN does. For --network=fcn and --head=plain.",
    )
    define.string(
        "init_from",
        None,
        "A trained .keras or packed .npz file, the --model_dir of a run, or a name that "
        "`deeplab-tf models` lists, also of those to start from, such as xception65_imagenet: copy "
        "the weights of the layers with the same name and shape. "
        "--weights is then ignored.",
    )
    define.string(
        "init_hha_from",
        None,
        "The same for the second network of --input=rgb_hha: a network trained with --input=hha. "
        "Default: that of --init_from.",
    )
    define.bool(
        "drop_classes",
        False,
        "Copy the weights of --init_from without the layers that score the classes, which start at "
        "random although they may fit.",
    )
    define.string(
        "train_layers", None, "Regular expression: train only the layers whose names match it."
    )
    define.float(
        "bn_momentum",
        None,
        "Batch normalization: share of the old statistics that each step keeps, 0 to 1; 0.9 suits "
        "training from scratch. Default: as the backbone has it.",
        lower_bound=0,
        upper_bound=1,
    )
    define.bool(
        "freeze_bn",
        False,
        "Batch normalization: do not train statistics, scales and offsets, nor the biases of "
        "convolutions right before it, which are further offsets; paper (ResNet-101): yes.",
    )


def _copy_weights(flags, model):
    hha_from = flags.init_hha_from
    if flags.init_from:
        started = start_from(model, flags.init_from, drop_classes=flags.drop_classes)
        print(f"start from {flags.init_from}: {started.summary()}")
        if any(name.startswith(HHA_PREFIX) for name in started.absent):
            # A network for color alone: HHA starts from it, too, as it does from ImageNet weights.
            hha_from = hha_from or flags.init_from
    if hha_from:
        started = start_from(model, hha_from, HHA_PREFIX, flags.drop_classes)
        print(f"start from {hha_from}, for HHA: {started.summary()}")


def check_start_flags(flags):
    """Raise `InputError` for flags that contradict each other or have no effect."""
    if not is_late_fusion(flags):
        reason = "has no effect without --input=rgb_hha; leave it out"
        refuse_given(flags, ["init_hha_from"], reason)
    if not flags.init_from and not flags.init_hha_from:
        refuse_given(flags, ["drop_classes"], "has no effect without --init_from; leave it out")
    if not flags.shared_classes:
        return
    if flags.heads:
        raise InputError("--shared_classes is for one label space; leave it or --heads out")
    if learns_depth(flags):
        raise InputError("--shared_classes is for classes; leave it or --objective=depth out")
    if is_late_fusion(flags):
        raise InputError("--shared_classes is for one network, not --input=rgb_hha; leave it out")
    if flags.init_from or flags.weights == "none":
        given = "--init_from" if flags.init_from else "--weights=none"
        raise InputError(
            f"--shared_classes needs the ImageNet classifier, not {given}; give "
            "--noshared_classes, or leave the other out"
        )


def start(flags, model, names, copy=True):
    """Copy the weights that --weights is not enough for, print which, and freeze layers.

    Args:
      flags: the parsed flags.
      model: the network.
      names: of its classes.
      copy: whether to copy; False if a checkpoint will replace the weights.

    Raises:
      InputError: if a network cannot be read, does not fit, or has no place in this one.
    """
    if copy:
        _copy_weights(flags, model)
        if flags.shared_classes:
            print(transfer_classes(model, flags.backbone, flags.weights, names).summary())
    if flags.train_layers is not None:
        train_only(model, flags.train_layers)
