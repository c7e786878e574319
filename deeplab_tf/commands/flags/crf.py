"""The flags of the fully connected CRF, shared by the commands that run it."""

import shlex
from dataclasses import fields, replace

from crf import NORMALIZATIONS, CRFParams
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.say import say
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.opened import refuse_crf_of
from deeplab_tf.evaluation.search_report import params_flags
from deeplab_tf.export import load_description
from deeplab_tf.models import suited_crf
from deeplab_tf.models.files import export_format

# {parameter of `CRFParams`: its flag}.
_SINGLE = {
    field.name: f"crf_{field.name}"
    for field in fields(CRFParams)
    if field.name != "compatibility"  # a table, which only --crf_params can give
}

# All flags that give parameters; --crf is the switch.
PARAMETER_FLAGS = ("crf_params", *_SINGLE.values())

MEMORY_FLAG = "crf_max_memory"

CRF_FLAGS = ("crf", *PARAMETER_FLAGS, MEMORY_FLAG)


def define_crf_flags(values, with_memory=False):
    """Define --crf, --crf_params and a flag for each parameter; or also --crf_max_memory."""
    define, defaults = heading(values, "CRF"), CRFParams()
    define.bool("crf", False, "Refine the network's output with the fully connected CRF.")
    define.string(
        "crf_params",
        None,
        "JSON file with all parameters, such as the best_crf.json that train --crf_train writes; "
        "replaces the other --crf_* flags.",
    )
    define.float("crf_w1", defaults.w1, "Weight of the bilateral (appearance) kernel.")
    define.float(
        "crf_sigma_alpha",
        defaults.sigma_alpha,
        "Standard deviation of the bilateral kernel in pixels.",
    )
    define.float(
        "crf_sigma_beta",
        defaults.sigma_beta,
        "Standard deviation of the bilateral kernel in intensity levels, 0 to 255.",
    )
    define.float("crf_w2", defaults.w2, "Weight of the spatial (smoothness) kernel.")
    define.float(
        "crf_sigma_gamma",
        defaults.sigma_gamma,
        "Standard deviation of the spatial kernel in pixels.",
    )
    define.integer("crf_iterations", defaults.iterations, "Number of mean field iterations.")
    define.enum(
        "crf_normalization",
        defaults.normalization,
        NORMALIZATIONS,
        "How the kernels are normalized by their row sums.",
    )
    if with_memory:
        define.float(
            MEMORY_FLAG,
            None,
            "Gigabytes that the CRF may take for an image; larger images are refined in "
            "overlapping strips, which is an approximation. Default: whole images.",
            lower_bound=1e-4,
        )


def crf_memory(flags):
    """The `max_memory` of `crf.refine` in bytes; None without --crf_max_memory.

    Raises:
      InputError: if the flag is given without --crf.
    """
    if not flags.crf:
        _refuse_without_crf(flags, (MEMORY_FLAG,))
    gigabytes = flags[MEMORY_FLAG].value
    return None if gigabytes is None else gigabytes * 1e9


def crf_params(flags, num_classes):
    """`CRFParams` of the flags; None without --crf.

    What is not given has the value that came along with --model, see `card_params`.

    Args:
      flags: the parsed flags.
      num_classes: number of classes of the model.

    Raises:
      InputError: as `given_params`, and if a parameter is given without --crf.
    """
    if not flags.crf:
        _refuse_without_crf(flags, PARAMETER_FLAGS)
        return None
    return given_params(flags, num_classes, card_params(flags))


def _refuse_without_crf(flags, names):
    """Raise `InputError` for flags that are given without --crf."""
    if export_format(flags.model) and any(flags[name].present for name in names):
        params_along(flags.model)  # where --crf is refused, it is no advice
    refuse_given(flags, names, "has no effect without --crf; add --crf")


def card_params(flags):
    """The `CRFParams` that came along with --model, which are printed; otherwise the defaults.

    Those of a packed network are on its card, those of a released one in the table of
    `deeplab_tf.pretrained.released`, those of an exported one in its description.

    Args:
      flags: the parsed flags of a command with --model.

    Raises:
      InputError: if the exported network applies the CRF itself.
    """
    params = params_along(flags.model)
    if params is None or flags.crf_params is not None:
        return CRFParams()
    words = [word for name, word in params_flags(params).items() if not flags[name].present]
    learned = " and its compatibility of the classes" if params.compatibility else ""
    say(flags, f"from {flags.model}: {shlex.join(words)}{learned}")
    return params


def params_along(model):
    """The `CRFParams` that came along with a packed, released or exported network, or None.

    Args:
      model: path or name of the network.

    Raises:
      InputError: if the exported network applies the CRF itself.
    """
    if not export_format(model):
        return suited_crf(model)
    description = load_description(model)
    refuse_crf_of(model, description.has_crf)
    return description.crf_params


def given_params(flags, num_classes, defaults=None):
    """`CRFParams` of the flags, whether or not --crf is given.

    Args:
      flags: the parsed flags.
      num_classes: number of classes of the model.
      defaults: `CRFParams` that single flags replace; None: those of the flags.

    Raises:
      InputError: if a parameter is out of range, or the file of --crf_params cannot be read,
        contradicts another flag, or has a compatibility for other classes.
    """
    if flags.crf_params is None:
        try:
            given = {n: flags[flag].value for n, flag in _SINGLE.items() if flags[flag].present}
            return replace(defaults or CRFParams(), **given)
        except ValueError as error:
            raise InputError(f"--crf_*: {error}") from None
    try:
        params = CRFParams.load(flags.crf_params)
    except ValueError as error:
        raise InputError(f"--crf_params: {error}") from None
    for name, flag in _SINGLE.items():
        given, stored = flags[flag].value, getattr(params, name)
        if flags[flag].present and given != stored:
            raise InputError(
                f"--{flag}={given}, but {flags.crf_params} has {stored}; leave out one of "
                f"--{flag} and --crf_params"
            )
    classes = num_classes if params.compatibility is None else len(params.compatibility)
    if classes != num_classes:
        raise InputError(
            f"--crf_params={flags.crf_params}: its compatibility is for {classes} classes but "
            f"the model has {num_classes}; give the file that was trained with the model"
        )
    return params
