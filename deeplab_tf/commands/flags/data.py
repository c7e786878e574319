"""The flags that name a data set."""

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.flags.heads import read_heads
from deeplab_tf.data.datasets import DATASETS, label_encoding, open_dataset
from deeplab_tf.data.inputs import CHANNELS, add_depth
from deeplab_tf.data.label_spaces import find_spaces, open_heads
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet


def define_data_flags(values, remembered_by=None, with_input=False):
    """Define --dataset and --data_dir, and --input.

    Args:
      values: `absl.flags.FlagValues` that the flags are added to.
      remembered_by: the flag that names a training run, if the data set may be left out because its
        run.json names it, such as "--model"; None: --data_dir is required.
      with_input: whether to define --input.
    """
    define = heading(values, "Data set")
    remembered = f" The training of {remembered_by} remembers it." if remembered_by else ""
    define.enum(
        "dataset",
        "voc",
        list(DATASETS),
        "voc: any folder in VOC layout. synthetic, synthetic_depth, synthetic_rooms, "
        "synthetic_heads: drawn into --data_dir on first use. The others: prepared in --data_dir "
        f"by prepare-data.{remembered}",
    )
    folder_help = f"Folder of the data set.{remembered}"
    define.string("data_dir", None, folder_help, required=remembered_by is None)
    if with_input:
        define_input_flag(values, remembered_by=remembered_by)


def define_input_flag(values, title="Data set", remembered_by=None):
    """Define --input.

    Args:
      values: `absl.flags.FlagValues` that the flag is added to.
      title: heading of the flag.
      remembered_by: as for `define_data_flags`.
    """
    remembered = f" The training of {remembered_by} remembers it." if remembered_by else ""
    heading(values, title).enum(
        "input",
        "rgb",
        list(CHANNELS),
        "What the network sees of data with depth. rgb: color. rgbd: color and the logarithm of "
        "the depth in one network (early fusion). hha: horizontal disparity, height above ground "
        "and angle with gravity. rgb_hha: color and HHA in two networks, whose scores are averaged "
        f"(late fusion).{remembered}",
    )


def image_channels(flags):
    """Number of channels of the images of --input, or for color those of --channels.

    Raises:
      InputError: if both flags are given, or if --jitter would change what is not a color.
    """
    if flags.input == "rgb":
        return flags.channels
    if flags.input == "hha" and "jitter" in flags and flags.jitter:
        refuse_given(flags, ["jitter"], "changes colors, but --input=hha has none; leave it out")
    refuse_given(flags, ["channels"], f"has no effect with --input={flags.input}; leave it out")
    return CHANNELS[flags.input]


def check_input(flags, channels):
    """Raise `InputError` unless --input gives images of as many channels as the model takes."""
    if "input" in flags and flags.input != "rgb" and CHANNELS[flags.input] != channels:
        raise InputError(
            f"--input={flags.input} gives images of {CHANNELS[flags.input]} channels, but "
            f"the model {flags.model} takes {channels}; give the --input that it was trained with"
        )


def open_split(flags, split, need_labels=True, heads=None):
    """Open a list of the data set.

    Args:
      flags: the parsed flags.
      split: name of the list of examples.
      need_labels: whether every example must have a label.
      heads: {name of a score head: number of its classes}; None or {}: those of --heads, if the
        command has it.

    Returns:
      (list of `Example`, `RecordExample` or `DepthExample`, `LabelSet`, `LabelEncoding` or None);
      with --head_name in the label space of this head; with heads (list of `HeadsExample`,
      `HeadLabels`, None).

    Raises:
      InputError: if the data set is missing, its lists are wrong, or it lacks the depth of --input
        or the labels of a head.
    """
    place = flags.dataset, flags.data_dir
    if heads := heads or read_heads(flags):
        examples, labels = open_heads(*place, split, heads, need_labels)
        first = _with_depth(flags, [example.parts[0] for example in examples])
        pairs = zip(examples, first, strict=True)
        return [each._replace(parts=(part, *each.parts[1:])) for each, part in pairs], labels, None
    space = ""
    if "head_name" in flags and flags.head_name:
        (space,) = find_spaces(*place, [flags.head_name])
    examples, label_set = open_dataset(*place, split, need_labels, space)
    return _with_depth(flags, examples), label_set, label_encoding(*place, space)


def _with_depth(flags, examples):
    if "input" not in flags:
        return examples
    return add_depth(examples, flags.input, flags.dataset, flags.data_dir)


def skip_first(flags, examples):
    """Leave out the first examples, as many as --skip says.

    Args:
      flags: the parsed flags.
      examples: list of those of --split.

    Returns:
      List of the others.

    Raises:
      InputError: if there are none.
    """
    if flags.skip >= len(examples):
        raise InputError(
            f"--skip={flags.skip}: {flags.split} has only {len(examples)} images; give a smaller "
            "number"
        )
    return examples[flags.skip :]


def check_same_classes(flags, num_classes, label_set):
    """Raise `InputError` unless the data set has as many classes as the model."""
    if label_set.num_classes != num_classes:
        raise InputError(
            f"model {flags.model} has {num_classes} classes but the data set {flags.data_dir}"
            f" has {label_set.num_classes}; give the data set that the model was trained for"
        )


def warn_of_names(flags, trained, label_set):
    """Print a warning if the data set's classes have other names than the model's.

    Args:
      flags: the parsed flags.
      trained: `LabelSet` of the model.
      label_set: `LabelSet` of the data set, with as many classes.
    """
    if trained.names == LabelSet.generic(trained.num_classes).names:
        return  # the model has no class names
    for index, (ours, theirs) in enumerate(zip(trained.names, label_set.names, strict=True)):
        if ours != theirs:
            print(
                f"warning: class {index} is {ours!r} in the model {flags.model} but {theirs!r} in "
                f"the data set {flags.data_dir}; the scores are only meaningful if both mean the "
                "same class"
            )
            return
