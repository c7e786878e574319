"""The flags of the fully connected CRF, shared by the tools that run it."""

from absl import flags

from crf import NORMALIZATIONS, CRFParams
from deeplab_tf.errors import InputError

FLAGS = flags.FLAGS

_DEFAULTS = CRFParams()

flags.DEFINE_bool("crf", False, "Refine the network's result with the fully connected CRF.")
flags.DEFINE_string(
    "crf_params",
    None,
    "JSON file with all parameters, as best_crf.json of train.py --crf_train; it replaces the "
    "other --crf_* values.",
)
flags.DEFINE_float("crf_w1", _DEFAULTS.w1, "Weight of the appearance kernel.")
flags.DEFINE_float("crf_sigma_alpha", _DEFAULTS.sigma_alpha, "Its range in pixels.")
flags.DEFINE_float("crf_sigma_beta", _DEFAULTS.sigma_beta, "Its range in 8-bit intensities.")
flags.DEFINE_float("crf_w2", _DEFAULTS.w2, "Weight of the smoothness kernel.")
flags.DEFINE_float("crf_sigma_gamma", _DEFAULTS.sigma_gamma, "Its range in pixels.")
flags.DEFINE_integer("crf_iterations", _DEFAULTS.iterations, "Mean field iterations.")
flags.DEFINE_enum(
    "crf_normalization",
    _DEFAULTS.normalization,
    NORMALIZATIONS,
    "How a kernel is divided by its row sums.",
)

# The flags that give single parameters, by the names `CRFParams` has for them.
_SINGLE = {
    name: f"crf_{name}"
    for name in (
        "w1",
        "sigma_alpha",
        "sigma_beta",
        "w2",
        "sigma_gamma",
        "iterations",
        "normalization",
    )
}

# All flags that give parameters; --crf is the switch.
PARAMETER_FLAGS = ("crf_params", *_SINGLE.values())


def crf_params(num_classes):
    """`CRFParams` of the flags; None without --crf.

    Args:
      num_classes: of the model.

    Raises:
      InputError: as `given_params`, and where a parameter is given without --crf.
    """
    if not FLAGS.crf:
        refuse_given(PARAMETER_FLAGS, "has no effect without --crf; add --crf")
        return None
    return given_params(num_classes)


def refuse_given(names, reason):
    """Refuse flags that would be without effect.

    Args:
      names: of the flags.
      reason: what is wrong with one that is given, and what to do.

    Raises:
      InputError: where one of them is given, on the command line or in a flagfile.
    """
    for name in names:
        if FLAGS[name].present:
            raise InputError(f"--{name} {reason}")


def given_params(num_classes):
    """`CRFParams` of the flags, whether or not --crf is among them.

    Args:
      num_classes: of the model.

    Raises:
      InputError: where a parameter is out of its range, the file of --crf_params cannot be
        read or contradicts another flag, or its compatibility is for other classes.
    """
    if FLAGS.crf_params is None:
        try:
            return CRFParams(**{name: FLAGS[flag].value for name, flag in _SINGLE.items()})
        except ValueError as error:
            raise InputError(f"--crf_*: {error}") from None
    try:
        params = CRFParams.load(FLAGS.crf_params)
    except ValueError as error:
        raise InputError(f"--crf_params: {error}") from None
    _check_single_flags(params)
    classes = num_classes if params.compatibility is None else len(params.compatibility)
    if classes != num_classes:
        raise InputError(
            f"--crf_params={FLAGS.crf_params}: its compatibility is for {classes} classes but "
            f"the model has {num_classes}; give the file that was trained with the model"
        )
    return params


def _check_single_flags(params):
    for name, flag in _SINGLE.items():
        given, stored = FLAGS[flag].value, getattr(params, name)
        if FLAGS[flag].present and given != stored:
            raise InputError(
                f"--{flag}={given}, but {FLAGS.crf_params} has {stored}; leave out one of "
                f"--{flag} and --crf_params"
            )
