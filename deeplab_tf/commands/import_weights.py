"""Turn the DeepLab authors' released weights, a `.caffemodel` file, into a model of ours.

    python tools/import_weights.py --caffemodel=train2_iter_20000.caffemodel \\
        --backbone=resnet101 --head=aspp_l --out=released/best.keras
    python tools/evaluate.py --model=released --data_dir=VOC --pad_to=513 --scales=1,0.75,0.5 --crf

Needs no Caffe. Prints from which layer of the file each of ours was filled, and what of the file
was not used. With --drop_classes the result is to be trained on for other classes
(`train.py --init_from`).
"""

from pathlib import Path

from absl import flags

from deeplab_tf.commands.app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from deeplab_tf.data.datasets import LABEL_SETS
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.heads import head_names
from deeplab_tf.models.released.caffe import BACKBONES, import_caffemodel
from deeplab_tf.training.checkpoints import save_model

FLAGS = flags.FLAGS

flags.DEFINE_string("caffemodel", None, "The authors' file.", required=True)
flags.DEFINE_enum("backbone", None, BACKBONES, "The file's network.", required=True)
flags.DEFINE_enum("head", None, head_names(), "The file's head.", required=True)
flags.DEFINE_string("out", None, "The .keras file to write.", required=True)
flags.DEFINE_bool("overwrite", False, "Replace --out, and labels.json beside it.")
flags.DEFINE_enum(
    "labels",
    None,
    sorted(LABEL_SETS),
    "Names and colours of the classes, written to labels.json beside --out; without it those of "
    "the data set that has as many classes.",
)
flags.DEFINE_integer("num_classes", None, "How many classes the file must have.", 1, 255)
flags.DEFINE_bool("drop_classes", False, "Leave out its class layers; --num_classes of ours.")
flags.DEFINE_enum(
    "pool_size",
    None,
    ["2", "3"],
    "Take VGG-16 weights made with poolings that ours cannot reproduce, to train them on.",
)


def check_out(path):
    """Raise `InputError` where --out is no place for a model."""
    if path.suffix != ".keras":
        raise InputError(f"--out={path}; give the name of a .keras file")
    if path.exists() and not FLAGS.overwrite:
        raise InputError(f"{path}: exists; allow to replace it with --overwrite")


def find_label_set(num_classes):
    """The classes of --labels, or of the one known data set with as many; else numbered ones.

    Raises:
      InputError: where --labels has another number of classes.
    """
    if FLAGS.labels is None:
        fitting = {one for one in LABEL_SETS.values() if one.num_classes == num_classes}
        return fitting.pop() if len(fitting) == 1 else LabelSet.generic(num_classes)
    label_set = LABEL_SETS[FLAGS.labels]
    if label_set.num_classes != num_classes:
        raise InputError(
            f"--labels={FLAGS.labels} has {label_set.num_classes} classes, the model has "
            f"{num_classes}; leave it out"
        )
    return label_set


def save_label_set(label_set, path):
    """Write the classes, unless those of another model lie there.

    Raises:
      InputError: where they do.
    """
    if path.exists() and LabelSet.load(path) != label_set and not FLAGS.overwrite:
        raise InputError(
            f"{path}: holds other classes, of another model; give --out in another folder"
        )
    label_set.save(path)


def print_layers(imported):
    """Print what was filled from what, and what was left over on either side."""
    width = max(map(len, [*imported.used, *imported.missing]))
    for name, sources in imported.used.items():
        print(f"{name:{width}}  {' + '.join(sources)}")
    for name in imported.missing:
        print(f"{name:{width}}  -")
    print(f"filled {len(imported.used)} layers")
    print(f"not filled: {', '.join(imported.missing) or 'none'}")
    print(f"in the file, not used: {', '.join(imported.unused) or 'none'}")


def check_filled(missing):
    """Raise `InputError` where a layer would stay random that was not asked to."""
    names = [name for name in missing if not (FLAGS.drop_classes and name.startswith("fc8"))]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise InputError(
            f"{FLAGS.caffemodel}: has nothing for {', '.join(names[:3])}{more}; give the backbone "
            "and head that the file was made for, or fetch it again"
        )


def main():
    """Import as the flags say."""
    out = Path(FLAGS.out)
    check_out(out)
    pool_size = FLAGS.pool_size and int(FLAGS.pool_size)
    imported = import_caffemodel(
        FLAGS.caffemodel,
        FLAGS.backbone,
        FLAGS.head,
        FLAGS.num_classes,
        pool_size,
        FLAGS.drop_classes,
    )
    print_layers(imported)
    check_filled(imported.missing)
    label_set = find_label_set(imported.model.output_shape[-1])
    save_label_set(label_set, out.parent / "labels.json")
    save_model(imported.model, out)
    names = ", ".join(label_set.names[:3])
    print(f"model: {out}, {label_set.num_classes} classes: {names}, ...")


if __name__ == "__main__":
    run(main)
