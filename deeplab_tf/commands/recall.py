"""What a command takes from the `run.json` of a training run, and what it refuses because of it.

`train --model_dir=M` continues with the flags of the run in M; a command with `--model=M` takes the
data set and the settings for testing. The card of a packed network has only the latter, and an
exported network, whose graph holds its settings, only the size of photographs. Flags on the command
line replace what is remembered.
"""

import shlex
from pathlib import Path

from absl.flags import FlagValues

from deeplab_tf.commands.flags.network import NETWORK
from deeplab_tf.commands.flags.say import say
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.runs import PATH_FLAGS, RUN_FILE, Run, absolute, testing_answers
from deeplab_tf.data.datasets import PREPARED
from deeplab_tf.errors import InputError
from deeplab_tf.export import load_description
from deeplab_tf.models import find_model, is_packed, is_pretrained, is_released, load_card
from deeplab_tf.models.files import export_format
from deeplab_tf.pretrained.released import RELEASED

# Other values of these flags, or of those that describe the network's layers, would train another
# network, or train on other images.
FIXED = (
    "dataset",
    "train_split",
    "weights",
    "init_from",
    "init_hha_from",
    "optimizer",
    "objective",
    "crf_train",
)

# What the next command with the same --model has to be given, too: the images, and how the network
# is applied to them.
DATA_FLAGS = ("dataset", "data_dir", "split")
SETTING_FLAGS = ("input", "output_stride", "scales", "flip", "tile", "pad_to", "precision")


def has_checkpoint(model_dir):
    """Whether training in this folder would continue from a checkpoint."""
    folder = Path(model_dir) / "checkpoints"
    return (folder / "checkpoint").is_file() and any(folder.glob("step-*.index"))


def recall_training(flags, define_flags):
    """What a training run takes from the run in its folder.

    Args:
      flags: the flags of the command line.
      define_flags: function that defines the flags of a training run.

    Returns:
      The flags to put before those of the command line, a list of str; empty for a new run.

    Raises:
      InputError: if a given flag contradicts the run, or its data set is gone.
    """
    folder = flags.model_dir
    run, goes_on = Run.load(folder), has_checkpoint(folder)
    # A command with all its flags starts a run without a checkpoint again: after an error, for
    # example, with a smaller network.
    if run is None or (flags.data_dir is not None and not goes_on):
        if flags.data_dir is None:
            raise InputError(f"--data_dir is required: {folder} has no {RUN_FILE} that names it")
        return []
    remembered = FlagValues()
    define_flags(remembered)
    try:
        parse_flags(remembered, [*run.flags, f"--model_dir={folder}"])
    except InputError as error:
        raise InputError(
            f"{Path(folder) / RUN_FILE}: {error}; delete the file, and give the flags again"
        ) from None
    if goes_on:
        _refuse_changes(flags, remembered, folder)
    if flags.data_dir is None:
        _check_exists(run, folder)
    taken = [word for word in run.flags if not flags[_name(flags, word)].present]
    _say(flags, Path(folder) / RUN_FILE, taken)
    return run.flags


def _refuse_changes(flags, remembered, folder):
    layers = [flag.name for flag in flags.flags_by_module_dict()[NETWORK]]
    for name in (*layers, *FIXED):
        if not flags[name].present or _setting(flags[name]) == _setting(remembered[name]):
            continue
        had = remembered[name].serialize() or f"no --{name}"
        raise InputError(
            f"{flags[name].serialize()}: the run in {folder} has {had}; leave the flag out "
            "to continue this run, or give another --model_dir to start a new one"
        )


def _setting(flag):
    """A value of a flag in a form in which equal settings are equal."""
    if flag.name == "scales":
        try:
            return [float(text) for text in flag.value]
        except ValueError:
            return flag.value  # refused where it is used
    if flag.name in PATH_FLAGS and flag.value is not None and Path(flag.value).exists():
        return str(Path(flag.value).resolve())
    return flag.value


def check_same_data(flags, splits, label_set):
    """Refuse to continue a run on another data set.

    The folder may be another one, because data sets get moved.

    Args:
      flags: the parsed flags of a training run.
      splits: dict from the name of each list to its examples.
      label_set: `LabelSet` of the data set.

    Raises:
      InputError: if the classes, or in another folder the number of images, are not the run's.
    """
    run = Run.load(flags.model_dir)
    if run is None or not has_checkpoint(flags.model_dir):
        return
    moved = absolute(flags.data_dir) != run.data_dir
    found, had = label_set.num_classes, run.label_set.num_classes
    what = "classes"
    if found == had and moved:
        found, had = len(splits[flags.train_split]), run.splits["train"]["images"]
        what = f"images in {flags.train_split}"
    if found == had and moved:
        found, had = ", ".join(label_set.names), ", ".join(run.label_set.names)
        what = "as classes"
    if found != had:
        raise InputError(
            f"--data_dir={flags.data_dir} has {found} {what}, but the run in {flags.model_dir} "
            f"was started with {had}; give the data set of the run, or another --model_dir"
        )


def recall_for_model(flags, needs_data=True):
    """What a command with --model takes from the run that the model belongs to.

    Args:
      flags: the flags of the command line.
      needs_data: whether the data set must be known, if there are flags for one.

    Returns:
      The flags to put before those of the command line, a list of str.

    Raises:
      InputError: if there is no such model, or its data set is needed and not known, or gone.
    """
    answers = _known(flags.model)
    exported = export_format(flags.model)
    lacks_data = needs_data and "data_dir" in flags and flags.data_dir is None
    if exported or is_packed(flags.model) or is_pretrained(flags.model):
        if lacks_data:
            kind = "an exported" if exported else "a packed"
            if is_released(flags.model):
                kind = "a released"
            raise InputError(
                f"--data_dir is required: {flags.model} is {kind} network, which comes without "
                "images"
            )
        if "tile" in flags and flags["tile"].present:  # tiles are for scoring all pixels
            answers.pop("max_side", None)
        return _take(flags, answers, flags.model)
    folder = find_model(flags.model).parent
    run = Run.load(folder)
    if "dataset" in flags and run is not None and not _is_on_data(flags, run):
        of_network = ("scales", "pad_to", "input")
        answers = {name: answers[name] for name in of_network if name in answers}
    if lacks_data:
        if run is None:
            raise InputError(f"--data_dir is required: {folder} has no {RUN_FILE} that names it")
        if "data_dir" not in answers:
            raise InputError(f"--data_dir is required with --dataset={flags.dataset}; see --help")
        _check_exists(run, folder)
    return _take(flags, answers, folder / RUN_FILE)


def recall_network(flags):
    """What a command that builds the network of --model again takes from its run.

    Args:
      flags: the flags of the command line, with those of `define_architecture_flags`.

    Returns:
      The flags of the layers to put before those of the command line, a list of str.

    Raises:
      InputError: if there is no such model.
    """
    folder = find_model(flags.model).parent
    run = None if is_packed(flags.model) else Run.load(folder)
    layers = {flag.name for flag in flags.flags_by_module_dict()[NETWORK]}
    words = [
        word
        for word in (run.flags if run else [])
        if _name(flags, word) in layers and not flags[_name(flags, word)].present
    ]
    _say(flags, folder / RUN_FILE, words)
    return words


def known_setting(model, name, parse):
    """What comes with a model about a flag, such as --camera, read by `parse`; None if nothing."""
    text = _known(model).get(name)
    return parse(text) if text else None


def _known(model):
    """What the run or the card of a model knows, {name of a flag: text}."""
    if export_format(model):
        found = load_description(model)
        depth = {name: found.input.get(name) for name in ("input", "camera")}
        return testing_answers({"max_side": found.max_side, **depth})
    if is_released(model):
        return testing_answers(RELEASED[str(model)].testing)
    if is_packed(model):
        return testing_answers(load_card(model).testing)
    run = Run.load(find_model(model).parent)
    return {} if run is None else run.answers()


def _take(flags, answers, source):
    """The answers to flags that were not given, as on the command line; they are printed."""
    if "input" in answers and "input" not in flags:
        raise InputError(
            f"{flags.model}: a network of --input={answers['input']}, for depth, which this "
            "command cannot read; use evaluate or predict"
        )
    answers = {name: text for name, text in answers.items() if name != "camera"}
    words = [
        f"--{name}={text}"
        for name, text in answers.items()
        if name in flags and not flags[name].present
    ]
    _say(flags, source, words)
    return words


def _is_on_data(flags, run):
    """Whether the data set of the flags is, or by default becomes, that of the run."""
    if flags["dataset"].present:
        return flags.dataset == run.dataset
    # A folder in VOC layout may be given to a network that was trained on prepared data.
    place = flags.data_dir
    return place is None or run.dataset not in PREPARED or Path(place, run.dataset).is_dir()


def not_remembered(flags, names):
    """Which given flags the next command with the same --model has to repeat.

    Args:
      flags: the parsed flags of a command with --model.
      names: names of the flags that the next command has, too.

    Returns:
      A list of str, as on the command line.
    """
    known, words = _known(flags.model), []
    for name in names:
        if name not in flags:
            continue
        flag = flags[name]
        text = flag.serialize().partition("=")[2]
        same = absolute(text) if name == "data_dir" else text
        if flag.present and same != known.get(name):
            words.append(flag.serialize())
    return words


def _check_exists(run, folder):
    if not Path(run.data_dir).is_dir():
        raise InputError(
            f"{run.data_dir}: no such folder, but the run in {folder} was trained on the data set "
            "there; give its new place by --data_dir"
        )


def _name(flags, word):
    """The name of the flag of a word such as --steps=3 or --nomirror."""
    name = word.removeprefix("--").partition("=")[0]
    return name if name in flags else name.removeprefix("no")


def _say(flags, source, words):
    """Print what is taken."""
    if words:
        say(flags, f"from {source}: {shlex.join(words)}")
