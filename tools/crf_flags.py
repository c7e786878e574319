"""The flags of the fully connected CRF, shared by the tools that run it."""

from absl import flags

from crf import NORMALIZATIONS, CRFParams
from deeplab_tf.errors import InputError

FLAGS = flags.FLAGS

_DEFAULTS = CRFParams()

flags.DEFINE_bool("crf", False, "Refine the network's result with the fully connected CRF.")
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


def crf_params():
    """`CRFParams` of the flags; None without --crf.

    Raises:
      InputError: where a parameter is out of its range.
    """
    if not FLAGS.crf:
        return None
    try:
        return CRFParams(
            w1=FLAGS.crf_w1,
            sigma_alpha=FLAGS.crf_sigma_alpha,
            sigma_beta=FLAGS.crf_sigma_beta,
            w2=FLAGS.crf_w2,
            sigma_gamma=FLAGS.crf_sigma_gamma,
            iterations=FLAGS.crf_iterations,
            normalization=FLAGS.crf_normalization,
        )
    except ValueError as error:
        raise InputError(f"--crf_*: {error}") from None
