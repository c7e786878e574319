"""The names of the commands, for the launcher, which reads this file before TensorFlow is loaded.

It therefore imports nothing.
"""

COMMANDS = {
    "train": "Train a network; if restarted, it continues from its last checkpoint.",
    "evaluate": "Score a trained network on a data set, before and after the CRF.",
    "predict": "Label every pixel of images with a trained network.",
    "demo": "Try a network and the CRF on photographs, on a page in the browser.",
    "export": "Export a trained network to TensorFlow Serving, ONNX Runtime, OpenVINO or LiteRT.",
    "prepare-data": "Prepare a data set from its authors' archives or from your own folders.",
    "check-data": "Look for problems in a data set that would ruin training.",
    "search-crf": "Search for the CRF parameters with the best mean IoU.",
    "explain-crf": "Draw what the CRF and each of its parameters do to a network's output.",
    "figures": "Draw figures that explain atrous convolution, fields of view, the CRF, trimaps.",
    "pack": "Pack a trained network into a small file to hand out, with a card.",
    "models": "List the trained networks, or print the card of one.",
    "import-weights": "Convert released weights: the authors', and Keras and PyTorch ports.",
    "ablation": "Measure what each part of DeepLab contributes.",
    "mil-table": "Measure what image labels alone teach a network, and its limits.",
    "configs": "List the published systems, or print one of their flagfiles.",
}


def overview():
    """The list of all commands with a sentence each, as text for the terminal."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {sentence}" for name, sentence in COMMANDS.items()]
    return "\n".join(
        [
            "usage: deeplab-tf COMMAND [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            "Flags of a command: deeplab-tf COMMAND --help. Version: deeplab-tf --version.",
        ]
    )


def unknown_command(name):
    """The error message for a command that does not exist."""
    return f"unknown command {name!r}; available: {', '.join(COMMANDS)}"
