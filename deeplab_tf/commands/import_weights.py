"""Convert the DeepLab and FCN authors' released weights, and ports of them, to a Keras model.

    deeplab-tf import-weights --caffemodel=train2_iter_20000.caffemodel \\
        --backbone=resnet101 --head=aspp_l --out=released/best.keras
    deeplab-tf evaluate --model=released --data_dir=VOC --pad_to=513 --scales=1,0.75,0.5 --crf

    deeplab-tf import-weights --checkpoint=deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz \\
        --out=mobile/best.keras
    deeplab-tf evaluate --model=mobile --data_dir=VOC --pad_to=513 --crf

    deeplab-tf import-weights --checkpoint=deeplabv2_resnet101_msc-vocaug-20000.pth \\
        --out=port/best.keras
    deeplab-tf import-weights --checkpoint=deeplabv3_resnet101_coco-586e9e4e.pth --labels=voc12 \\
        --out=torchvision/best.keras
    deeplab-tf import-weights --network=fcn --caffemodel=fcn8s-heavy-pascal.caffemodel \\
        --out=fcn8s/best.keras
    deeplab-tf import-weights --network=fcn --caffemodel=bvlc_googlenet.caffemodel \\
        --drop_classes --num_classes=21 --out=start/best.keras

Neither Caffe nor PyTorch is needed, and nothing in a file is run. The command prints from which
layer of the file each layer was filled, and which layers of the file were not used. With
--drop_classes the result is a starting point for training on other classes (`deeplab-tf train
--init_from`).
"""

from pathlib import Path

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.outputs import print_next, print_written
from deeplab_tf.data.datasets import LABEL_SETS as OF_DATASETS
from deeplab_tf.data.label_sets import ADE20K, CITYSCAPES
from deeplab_tf.errors import InputError
from deeplab_tf.files import check_new_file
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.heads import head_names
from deeplab_tf.models.released import caffe, caffe_fcn, pytorch, tensorflow
from deeplab_tf.training.checkpoints import save_model

LABEL_SETS = {**OF_DATASETS, "ade20k": ADE20K}
_READERS = caffe, tensorflow, pytorch, caffe_fcn


def define_flags(values):
    """Define the flags of a conversion."""
    define = heading(values, "Released file")
    define.enum(
        "network",
        "deeplab",
        ["deeplab", "fcn"],
        "fcn: --caffemodel is that of an FCN (VGG, AlexNet), or with --drop_classes that of an "
        "ImageNet classifier (VGG, CaffeNet, AlexNet, GoogLeNet).",
    )
    define.string("caffemodel", None, "The authors' file for Caffe (v1 and v2, FCN).")
    define.string(
        "checkpoint",
        None,
        "The authors' file for TensorFlow (v3 and v3+): a checkpoint, its folder, a frozen graph "
        "(.pb), a .tar.gz of them as released, or a quantized .tflite. Or a port's: the .h5 of "
        "bonlime/keras-deeplab-v3-plus (v3, v3+), the .pth of torchvision (v3), of "
        "VainF/DeepLabV3Plus-Pytorch on ResNet (v3, v3+) or of kazuto1011/deeplab-pytorch (v2).",
    )
    define.enum(
        "backbone",
        None,
        [*dict.fromkeys(name for reader in _READERS for name in reader.BACKBONES)],
        "Backbone of the file's network; found in the file with --checkpoint or --network=fcn.",
    )
    define.enum(
        "head",
        None,
        head_names(),
        "Head of the file's network; --checkpoint finds it itself, except in ImageNet classifiers.",
    )
    define.bool(
        "fcn_released_padding",
        None,
        "fcn: surround images by 100 zeros and subtract the authors' mean color, which their "
        "scores need. Default: yes for VGG and AlexNet with their classes.",
    )
    define.integer(
        "output_stride",
        None,
        "checkpoint: pixels between two positions of the backbone's last map. Default: as trained: "
        "16 in v3 and v3+, which were also scored at 8; 8 in v2 and torchvision's ResNets.",
        8,
        32,
    )
    define.bool(
        "half_pixel_upsampling",
        None,
        "checkpoint, .pth: interpolate maps with their edges aligned, and the scores to every "
        "pixel, as ports for PyTorch do. Default: yes for v3 and v3+, no for v2.",
    )
    define.enum(
        "tflite_resize",
        "interpreter",
        tensorflow.TFLITE_RESIZES,
        "Quantized .tflite: interpreter gives the labels of TensorFlow Lite's interpreter. trained "
        "gives those of the network before quantization, if the scales of the file differ where "
        "the interpreter resizes.",
    )
    define.enum(
        "pool_size",
        None,
        ["2", "3"],
        "Size of the pooling windows for VGG-16 weights that were trained with poolings that "
        "cannot be reproduced exactly; the result is only a starting point for training.",
    )
    define = heading(values, "Classes")
    define.integer("num_classes", None, "Number of classes that the file must have.", 1, 255)
    define.bool(
        "drop_classes",
        False,
        "Leave out the file's last layer; the new one has --num_classes classes and is untrained. "
        "Also for the ImageNet ResNet-101 that the authors started from.",
    )
    define.enum(
        "labels",
        None,
        sorted(LABEL_SETS),
        "Names and colors of the classes, written to labels.json next to --out. Default: those of "
        "the data set with as many classes.",
    )
    define = heading(values, "Output")
    define.string("out", None, "The .keras file to write.", required=True)
    define.bool("overwrite", False, "Replace --out, and labels.json next to it.")


def main(flags):
    """Convert as the flags say."""
    out = Path(flags.out)
    if out.suffix != ".keras":
        raise InputError(f"--out={out}; give the name of a .keras file")
    check_new_file(out, flags.overwrite)
    imported = read_network(flags)
    print_layers(imported)
    check_filled(flags, imported.missing)
    label_set = find_label_set(flags, imported.model.output_shape[-1])
    save_label_set(flags, label_set, out.parent / "labels.json")
    save_model(imported.model, out)
    names = ", ".join(label_set.names[:3])
    print(f"model: {out}, {label_set.num_classes} classes: {names}, ...")
    print_written(out, out.parent / "labels.json")
    if flags.drop_classes:
        folders = "--data_dir=DATA_DIR", f"--model_dir={out.parent / 'run'}"
        print_next("train", *network_flags(flags, imported, out), *folders)
        return
    print_next("evaluate", f"--model={out}", *evaluation_flags(flags, imported, label_set))


def evaluation_flags(flags, imported, label_set):
    """The flags of `deeplab-tf evaluate` with which the imported network was tested."""
    prepared = [name for name, known in OF_DATASETS.items() if known == label_set]
    # Labels that several data sets share, or none, are those of any folder in VOC layout.
    default = prepared[0] if len(prepared) == 1 else "voc"
    dataset = flags.labels if flags.labels in OF_DATASETS else default
    words = [f"--dataset={dataset}", "--data_dir=DATA_DIR"]
    if flags.network == "fcn":
        return words
    if label_set != CITYSCAPES and not imported.half_pixel_upsampling:  # tested on whole images
        words.append("--pad_to=513")
    if (imported.backbone or flags.backbone) == "resnet101":
        words.append("--scales=1,0.75,0.5")
    return [*words, "--crf"]


def network_flags(flags, imported, out):
    """The flags of `deeplab-tf train` that build the imported network and start from it."""
    if flags.checkpoint:
        network = [f"--backbone={imported.backbone}", f"--head={imported.head}"]
        if (separable := imported.separable_convolutions) is not None:
            network.append(f"--{'' if separable else 'no'}separable_convolutions")
        if imported.preprocessing:
            network.append(f"--preprocessing={imported.preprocessing}")
        network += ["--half_pixel_upsampling"] * imported.half_pixel_upsampling
        return [*network, f"--output_stride={imported.output_stride}", f"--init_from={out}"]
    if flags.network == "fcn":
        network = ["--network=fcn", f"--backbone={imported.backbone}", "--fcn_stride=32"]
        return [*network, f"--init_from={out}"]
    network = [f"--backbone={flags.backbone}", f"--head={flags.head}"]
    network += ["--preprocessing=deeplab", f"--init_from={out}"]
    return network + [f"--pool_size={flags.pool_size or 3}"] * (flags.backbone == "vgg16")


def is_pytorch(flags):
    """Whether --checkpoint is a file of PyTorch."""
    return flags.checkpoint.endswith(pytorch.SUFFIXES)


def read_network(flags):
    """The network of --caffemodel or --checkpoint, `Imported`."""
    if bool(flags.caffemodel) == bool(flags.checkpoint):
        raise InputError("give one of --caffemodel=FILE and --checkpoint=FILE")
    if flags.network == "fcn":
        return _read_fcn(flags)
    only = ["fcn_released_padding"]
    refuse_given(flags, only, "has no effect without --network=fcn; add it or leave it out")
    if flags.checkpoint:
        refuse_given(flags, ["pool_size"], "has no effect on --checkpoint; leave it out")
        network = (flags.checkpoint, flags.backbone, flags.head, flags.num_classes)
        if is_pytorch(flags):
            refuse_given(flags, ["tflite_resize"], "has no effect on a .pth file; leave it out")
            more = flags.output_stride, flags.drop_classes, flags.half_pixel_upsampling
            return pytorch.import_pytorch(*network, *more)
        only = ["half_pixel_upsampling"]
        refuse_given(flags, only, "has an effect on .pth files only; leave it out")
        more = flags.output_stride or 16, flags.drop_classes, flags.tflite_resize
        return tensorflow.import_tensorflow(*network, *more)
    only = ["output_stride", "tflite_resize", "half_pixel_upsampling"]
    refuse_given(flags, only, "has no effect on --caffemodel; leave it out")
    for name in ("backbone", "head"):
        if flags[name].value is None:
            raise InputError(f"--caffemodel needs --{name}, that of the file's network")
    return caffe.import_caffemodel(
        flags.caffemodel,
        flags.backbone,
        flags.head,
        flags.num_classes,
        flags.pool_size and int(flags.pool_size),
        flags.drop_classes,
    )


def _read_fcn(flags):
    """The FCN of --caffemodel, `Imported`."""
    if flags.checkpoint:
        raise InputError("--network=fcn needs --caffemodel; the FCN authors released no checkpoint")
    only = ["head", "pool_size", "output_stride", "tflite_resize", "half_pixel_upsampling"]
    refuse_given(flags, only, "has no effect on --network=fcn; leave it out")
    return caffe_fcn.import_caffe_fcn(
        flags.caffemodel,
        flags.num_classes,
        flags.drop_classes,
        flags.backbone,
        flags.fcn_released_padding,
    )


def print_layers(imported):
    """Print from which layer each layer was filled, and the layers left over on both sides."""
    width = max(map(len, [*imported.used, *imported.missing]))
    for name, sources in imported.used.items():
        print(f"{name:{width}}  {' + '.join(sources)}")
    for name in imported.missing:
        print(f"{name:{width}}  -")
    print(f"filled {len(imported.used)} layers")
    print(f"not filled: {', '.join(imported.missing) or 'none'}")
    print(f"in the file, not used: {', '.join(imported.unused) or 'none'}")
    for note in imported.notes:
        print(f"note: {note}")


def check_filled(flags, missing):
    """Raise `InputError` if a layer would stay random, other than those of --drop_classes."""
    head = tensorflow.HEAD_LAYERS if flags.checkpoint else ("fc8", "score_")
    names = [name for name in missing if not (flags.drop_classes and name.startswith(head))]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise InputError(
            f"{flags.caffemodel or flags.checkpoint}: has no weights for {', '.join(names[:3])}"
            f"{more}; give the backbone and head that the file was made for, or download it again"
        )


def find_label_set(flags, num_classes):
    """The classes of --labels, else of the only data set with this number, else numbered ones.

    Raises:
      InputError: if --labels has another number of classes.
    """
    if flags.labels is None:
        fitting = {one for one in LABEL_SETS.values() if one.num_classes == num_classes}
        return fitting.pop() if len(fitting) == 1 else LabelSet.generic(num_classes)
    label_set = LABEL_SETS[flags.labels]
    if label_set.num_classes != num_classes:
        raise InputError(
            f"--labels={flags.labels} has {label_set.num_classes} classes, the model has "
            f"{num_classes}; leave it out"
        )
    return label_set


def save_label_set(flags, label_set, path):
    """Write the classes; `InputError` if `path` holds those of another model."""
    if path.exists() and LabelSet.load(path) != label_set and not flags.overwrite:
        raise InputError(
            f"{path}: belongs to a model with other classes; give --out in another folder"
        )
    label_set.save(path)
