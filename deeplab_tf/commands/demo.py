"""Try a network and the CRF on photographs, on a page in the browser.

    deeplab-tf demo              # the networks that come with the package
    deeplab-tf demo --model=M    # one of your own, too

prints the address of the page, which only this machine can reach, and serves it until Ctrl-C. Drop
or take a photograph there, and move the sliders: labels before and after the CRF, the score map and
the belief map of a class. Labels, overlay and a flagfile of the parameters can be downloaded. Needs
the extra [demo]: pip install "deeplab-tf[demo]".
"""

import importlib
import os
import tempfile
from functools import partial
from pathlib import Path

from absl.flags import FlagValues

from deeplab_tf.commands.flags.crf import (
    card_params,
    define_crf_flags,
    given_params,
)
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.model import (
    define_model_flags,
    define_size_flags,
    open_model,
    segment_settings,
)
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.recall import SETTING_FLAGS, not_remembered, recall_for_model
from deeplab_tf.demo.labeling import Network
from deeplab_tf.errors import InputError
from deeplab_tf.pretrained import pretrained_names

HOST, PORT = "127.0.0.1", 7860
MAX_SIDE = 500


def define_flags(values):
    """Define the flags of the page."""
    define_model_flags(values)
    if pretrained_names():
        values.set_default("model", pretrained_names()[0])
    define_size_flags(values)
    define_crf_flags(values)
    heading(values, "Model").integer(
        "max_side",
        MAX_SIDE,
        "Reduce photographs whose longer side has more pixels to this length, for the network and "
        "the CRF.",
        lower_bound=1,
    )
    define = heading(values, "Page")
    define.string(
        "host",
        HOST,
        "Address to listen at. Only this machine can reach the default; 0.0.0.0 lets everybody in "
        "who can reach this machine, without a password.",
    )
    define.integer("port", PORT, "Port to listen at; 0: any that is free.", 0, 65535)


def recall(flags):
    """The flags that the run of --model remembers, see `recall_for_model`."""
    return recall_for_model(flags)


def main(flags):
    """Serve the page."""
    with tempfile.TemporaryDirectory(prefix="deeplab-tf-demo-") as folder:
        folder = Path(folder).resolve()
        # Gradio reads both when it is imported.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder)}
        serve = import_server().serve
        own = open_network(flags)
        others = [name for name in pretrained_names() if name != flags.model]
        openers = {own.name: lambda: own, **{name: partial(open_shipped, name) for name in others}}
        serve(openers, flags.host, flags.port, folder, announce)


def import_server():
    """The module `deeplab_tf.demo.server`; `InputError` without the packages that it needs."""
    try:
        return importlib.import_module("deeplab_tf.demo.server")
    except ImportError as error:
        raise InputError(
            f"the page needs the Python package {error.name or 'gradio'}, which is not installed: "
            'pip install "deeplab-tf[demo]"'
        ) from None


def announce(address):
    """Print where the page is."""
    print(f"the page is at {address} (Ctrl-C ends it)", flush=True)


def open_network(flags):
    """Open the network of --model as `Network`.

    Args:
      flags: the parsed flags of this command.

    Raises:
      InputError: if it cannot be opened, or is not for photographs of three channels.
    """
    model, label_set = open_model(flags)
    if model.input_shape[-1] != 3:
        raise InputError(
            f"--model={flags.model}: for images of {model.input_shape[-1]} channels; the page "
            "takes photographs, which have 3"
        )
    params = given_params(flags, label_set.num_classes, card_params(flags))
    learned = flags.crf_params is not None and params.compatibility is not None
    return Network(
        name=flags.model,
        model=model,
        label_set=label_set,
        params=params,
        settings=segment_settings(flags),
        max_side=flags.max_side,
        arguments=(
            f"--model={flags.model}",
            *not_remembered(flags, SETTING_FLAGS),
            f"--max_side={flags.max_side}",
        ),
        lacking=f"the compatibility of the classes in {flags.crf_params}" if learned else "",
    )


def open_shipped(name):
    """Open a network that comes with the package, with the settings on its card."""
    flags = FlagValues()
    define_flags(flags)
    parse_flags(flags, [f"--model={name}"])
    parse_flags(flags, [*recall(flags), f"--model={name}"])
    return open_network(flags)
