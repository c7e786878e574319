"""Builds networks with the weights of the DeepLab authors' released `.caffemodel` files.

Layers are matched by name. The authors' names, from their public prototxt files:

- VGG-16: conv1_1 .. conv5_3; fc6, fc7 and fc8_DATASET; with several branches fc6_1 .. fc6_4 and
  so on, in ascending order of rates. The multi-scale features of DeepLab v1 are data_conv, data_fc
  and data_ms, pool1_conv .. pool4_ms: there each branch has its own scores, which are summed;
  here one fc8 takes all features, which is the same sum.
- ResNet-101: conv1, bn_conv1, scale_conv1; res2a_branch1, bn2a_branch1, scale2a_branch1, then
  2a_branch2a, 2b, 2c; blocks 3a, 3b1 .. 3b3, 4a, 4b1 .. 4b22, 5a .. 5c; fc1_DATASET_c0 .. c3. The
  network of three scales repeats every layer with _res05 and _res075 in its name and with the
  same weights.
"""

import math
import re

import keras
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.heads import find_head
from deeplab_tf.models.released.caffemodel import Pooling, read_caffemodel
from deeplab_tf.models.released.imported import Imported, fill_layer, find_num_classes

BACKBONES = ("vgg16", "resnet101")
_REMEDY = "give the backbone and head that the file was trained with"
_SCALES = re.compile(r"_res0(5|75)")
_VGG_CONVOLUTION = re.compile(r"block(\d)_conv(\d)")
_RESNET_LAYER = re.compile(r"conv(\d)_block(\d+)_(\d)_(conv|bn)")
_RESNET_BRANCHES = ("branch1", "branch2a", "branch2b", "branch2c")  # ours: 0 to 3
_CLASSIFIERS = {"vgg16": "fc8", "resnet101": "fc1_"}  # prefixes of the class layers' names
_TAPS = {"image": "data", **{f"pool{n}": f"pool{n}" for n in (1, 2, 3, 4)}}  # ours: theirs
_STRIDE_2, _STRIDE_1 = Pooling(3, 2, 1, average=False), Pooling(3, 1, 1, average=False)
_POOLINGS = {  # name in the file -> pooling of our network
    "vgg16": {
        **{"pool1": _STRIDE_2, "pool2": _STRIDE_2, "pool3": _STRIDE_2},
        **{"pool4": _STRIDE_1, "pool5": _STRIDE_1, "pool5a": _STRIDE_1._replace(average=True)},
    },
    "resnet101": {"pool1": _STRIDE_2},  # padded: 513 pixels give 65 cells, without padding 64
}
_POOLING_REMEDIES = {
    "vgg16": "to import the weights anyway, for fine-tuning, give pool_size (2 or 3)",
    "resnet101": "to start training from its weights, without the class layers, give "
    "drop_classes and num_classes",
}


def import_caffemodel(path, backbone, head, num_classes=None, pool_size=None, drop_classes=False):
    """Build a DeepLab network with the weights of a released one.

    It takes the same images as all networks of this package, and gives the authors' scores for
    heights and widths of 8 k + 1 pixels, to which inference pads: the authors' mean color is
    subtracted, and DeepLab v1's average pooling and multi-scale features are built if the file
    has them.

    Args:
      path: `.caffemodel` file.
      backbone: "vgg16" or "resnet101".
      head: see `head_names`; its dilation rates must be those of the file.
      num_classes: classes that the file must have, without void; None: any number.
      pool_size: window size of VGG-16's poolings, 2 or 3. None: 3, and files with other poolings
        are refused. Set it to import such a file anyway, for fine-tuning: its scores will
        differ from the authors'.
      drop_classes: whether to leave out the file's class layers, for fine-tuning on `num_classes`
        other classes. It also takes the ImageNet ResNet-101 that the authors started from, which
        has no dilation, and no padding at pool1.

    Returns:
      `Imported`.

    Raises:
      InputError: if the file cannot be read, has another backbone, head or number of classes,
        or has different weights for different scales.

    Example:
      >>> import_caffemodel("train2_iter_20000.caffemodel", "resnet101", "aspp_l").model
    """
    if backbone not in BACKBONES:
        raise InputError(f"the authors released no {backbone!r}; available: {', '.join(BACKBONES)}")
    if pool_size is not None and backbone != "vgg16":
        raise InputError(f"pool_size is an option of vgg16, got backbone {backbone!r}; omit it")
    if drop_classes and num_classes is None:
        raise InputError("drop_classes needs num_classes, the number of new classes")
    branches = find_head(head, backbone)
    layers = _by_name(path, read_caffemodel(path))
    if drop_classes:
        layers = {name: _without_rate(layer) for name, layer in layers.items()}
    if not (drop_classes if backbone == "resnet101" else pool_size):
        _check_poolings(path, backbone, layers)
    classifiers = () if drop_classes else _classifiers(path, backbone, layers, branches)
    if not drop_classes:
        counts = [(layers[name].blobs[0].shape or (1,))[0] for name in classifiers]
        num_classes = find_num_classes(path, counts, num_classes)
    options = _vgg16_options(layers, branches, pool_size or 3) if backbone == "vgg16" else {}
    model = build_deeplab(
        backbone, head, num_classes, weights=None, preprocessing="deeplab", **options
    )
    return _fill(path, model, layers, _plan(model, branches, classifiers))


def _by_name(path, layers):
    """{name: layer}, without the copies of a layer for other scales."""
    found = {}
    for layer in layers:
        name = _SCALES.sub("", layer.name)
        if name not in found or not found[name].blobs:
            found[name] = layer
            continue
        first = found[name].blobs
        same = len(layer.blobs) == len(first) and all(map(np.array_equal, layer.blobs, first))
        if layer.blobs and not same:
            raise InputError(
                f"{path}: layers {found[name].name!r} and {layer.name!r} have different weights;"
                " only networks whose scales share their weights can be imported"
            )
    return found


def _without_rate(layer):
    """A convolution of the backbone without its rate, so that it fits every rate."""
    return layer._replace(rate=None) if layer.name.startswith(("conv", "res")) else layer


def _check_poolings(path, backbone, layers):
    """Raise InputError if poolings differ from our networks'; some files do not describe them."""
    for name, ours in _POOLINGS[backbone].items():
        theirs = layers[name].pooling if name in layers else None
        if theirs not in (None, ours):
            raise InputError(
                f"{path}: {name} is {_described(theirs)} in the file but {_described(ours)} in "
                f"the authors' networks, so scores would differ; {_POOLING_REMEDIES[backbone]}"
            )


def _described(pooling):
    kind = "an average" if pooling.average else "a maximum"
    return f"{kind} of {pooling.size}x{pooling.size}, stride {pooling.stride}, pad {pooling.pad}"


def _classifiers(path, backbone, layers, head):
    """Names of the class layers, one for each branch, in the order of the rates."""
    start = _CLASSIFIERS[backbone]
    names = [name for name, layer in layers.items() if name.startswith(start) and layer.blobs]
    if len(names) != len(head.rates):
        raise InputError(
            f"{path}: {len(names)} class layers ({', '.join(names) or 'none'}) for a head with "
            f"{len(head.rates)} branches; {_REMEDY}"
        )
    return tuple(sorted(names, key=lambda name: int(re.search(r"(\d*)$", name)[1] or 0)))


def _vgg16_options(layers, head, pool_size):
    """The options of `build_deeplab` that a VGG-16 file needs, found from its layers."""
    options = {"pool_size": pool_size}
    # With several branches, each fc8 would take the features, which would count their scores
    # several times.
    if "data_ms" in layers and len(head.rates) == 1:
        options["use_multi_scale_features"] = True
    if "pool5a" in layers:
        options["average_pool5"] = True
    fc6 = layers.get("fc6" if len(head.rates) == 1 else "fc6_1")
    if fc6 and fc6.blobs and fc6.blobs[0].ndim == 4:
        options["fc_channels"] = fc6.blobs[0].shape[0]
    return options


def _plan(model, head, classifiers):
    """{layer of the model that has weights: names of the file's layers for it}."""
    names = [layer.name for layer in model.layers if layer.weights]
    taps = _TAPS if "msf_image_conv1" in names else {}
    plan = {}
    for tap, theirs in taps.items():
        plan[f"msf_{tap}_conv1"] = (f"{theirs}_conv",)
        plan[f"msf_{tap}_conv2"] = (f"{theirs}_fc",)
    for index, rate in enumerate(head.rates):
        suffix, end = head.suffix(rate), f"_{index + 1}" if len(head.rates) > 1 else ""
        plan[f"fc6{suffix}"], plan[f"fc7{suffix}"] = (f"fc6{end}",), (f"fc7{end}",)
        plan[f"fc8{suffix}"] = (
            (classifiers[index], *(f"{tap}_ms" for tap in taps.values())) if classifiers else ()
        )
    return {name: plan.get(name) or _backbone_sources(name) for name in names}


def _backbone_sources(name):
    """Names of the authors' layers for a layer of the backbone; () for none."""
    if match := _VGG_CONVOLUTION.fullmatch(name):
        return (f"conv{match[1]}_{match[2]}",)
    if name in ("conv1_conv", "conv1_bn"):
        return ("conv1",) if name == "conv1_conv" else ("bn_conv1", "scale_conv1")
    if not (match := _RESNET_LAYER.fullmatch(name)):
        return ()
    stage, block = int(match[1]), int(match[2])
    # Blocks are named a, b, c in stages 2 and 5, but a, b1, b2, ... in the longer stages.
    letters = "abc"[block - 1] if stage in (2, 5) else "a" if block == 1 else f"b{block - 1}"
    place = f"{stage}{letters}_{_RESNET_BRANCHES[int(match[3])]}"
    return (f"res{place}",) if match[4] == "conv" else (f"bn{place}", f"scale{place}")


def _fill(path, model, layers, plan):
    """Set the weights of every layer that the file has; the result as `Imported`."""
    used, missing = {}, []
    for name, sources in plan.items():
        if not sources or not all(source in layers and layers[source].blobs for source in sources):
            missing.append(name)
            continue
        layer = model.get_layer(name)
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        convert = _batch_norm if is_norm else _convolution
        weights = convert(path, layer, [layers[source] for source in sources])
        fill_layer(layer, weights, f"{path}: {' + '.join(sources)} has arrays", _REMEDY)
        used[name] = sources
    taken = {source for sources in used.values() for source in sources}
    unused = tuple(name for name in layers if layers[name].blobs and name not in taken)
    return Imported(model, used, unused, tuple(missing))


def _convolution(path, layer, sources):
    """Kernel and bias of one convolution; several sources, whose results add up, become one."""
    for source in sources:
        _check_convolution(path, layer, source)
    # Caffe: (outputs, inputs, rows, columns).
    kernel = np.concatenate([s.blobs[0].transpose(2, 3, 1, 0) for s in sources], axis=2)
    biases = [source.blobs[1].reshape(-1) for source in sources if len(source.blobs) == 2]
    return [kernel, sum(biases, np.zeros(layer.filters, np.float32))]


def _check_convolution(path, layer, source):
    kernel, *biases = (blob.shape for blob in source.blobs)
    window = (layer.filters, *layer.kernel_size)
    sizes = [math.prod(bias) for bias in biases]
    if len(kernel) != 4 or kernel[:1] + kernel[2:] != window or sizes not in ([], [window[0]]):
        raise InputError(
            f"{path}: layer {source.name!r} has arrays {[kernel, *biases]}, {layer.name!r} needs "
            f"{window[0]} filters of {window[1]}x{window[2]}; {_REMEDY}"
        )
    rate = layer.dilation_rate[0]
    if source.rate not in (None, rate) and max(layer.kernel_size) > 1:
        raise InputError(
            f"{path}: layer {source.name!r} has dilation rate {source.rate}, {layer.name!r} has "
            f"{rate}; {_REMEDY}"
        )


def _batch_norm(path, layer, sources):
    """gamma, beta, mean and variance from a BatchNorm and the Scale layer that follows it.

    A BatchNorm stores the sums of means and of variances, and a factor to divide them by. gamma
    is corrected for the different epsilons that Caffe and Keras add to the variance.
    """
    norm, scale = sources
    if len(norm.blobs) != 3 or norm.blobs[2].size != 1 or len(scale.blobs) != 2:
        raise InputError(
            f"{path}: {norm.name!r} and {scale.name!r} have {len(norm.blobs)} and "
            f"{len(scale.blobs)} arrays, expected 3 (mean, variance, factor) and 2 (scale, shift)"
        )
    mean, variance, factor = (blob.reshape(-1).astype(np.float64) for blob in norm.blobs)
    factor = 1 / factor[0] if factor[0] else 0.0
    mean, variance = mean * factor, variance * factor
    gamma, beta = (blob.reshape(-1) for blob in scale.blobs)
    if gamma.shape == variance.shape:
        gamma = gamma * np.sqrt((variance + layer.epsilon) / (variance + norm.epsilon))
    return [gamma, beta, mean, variance]
