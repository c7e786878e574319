"""The flags of training the CRF together with the network."""

from dataclasses import replace

from deeplab_tf.commands.flags.crf import PARAMETER_FLAGS, given_params
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.errors import InputError
from deeplab_tf.models import with_crf


def define_joint_crf_flags(values):
    """Define --crf_train and the flags that go with it."""
    define = heading(values, "Training the CRF")
    define.bool(
        "crf_train",
        False,
        "Train the CRF together with the network: w1, w2 and the label compatibility, starting "
        "from --crf_params or the --crf_* flags.",
    )
    define.bool("crf_only", False, "With --crf_train: do not train the network.")
    define.integer(
        "crf_train_iterations",
        5,
        "Mean field iterations in training; --crf_iterations is for validation and for the saved "
        "parameters.",
        lower_bound=1,
    )
    define.float(
        "crf_rate",
        1.0,
        "Learning rate of the CRF's variables, as a multiple of --learning_rate.",
        lower_bound=0,
    )


def check_joint_crf_flags(flags):
    """Raise `InputError` for flags that contradict each other or have no effect."""
    if flags.crf_train:
        if learns_depth(flags):
            raise InputError("--objective=depth does not train a CRF; leave one out")
        if flags.heads:
            raise InputError("--crf_train trains the CRF of one label space; leave out --heads")
        if flags.xla:
            raise InputError("--xla cannot compile the CRF of --crf_train; leave one out")
        return
    reason = "has no effect without --crf_train; add it"
    for flag in ("crf", "crf_only"):
        if flags[flag].value:
            raise InputError(f"--{flag} {reason}")
    refuse_given(flags, ("crf_train_iterations", "crf_rate", *PARAMETER_FLAGS), reason)


def with_trained_crf(flags, network, num_classes):
    """The network of the flags followed by a trainable CRF."""
    if flags.crf_only:
        network.trainable = False
    params = replace(given_params(flags, num_classes), iterations=flags.crf_train_iterations)
    return with_crf(network, params, trainable=True)
