"""The 1,000 classes of ILSVRC 2012, and those among them that other data sets have, too.

ImageNet's classes are finer: where a data set has dogs, ImageNet has 118 breeds.
"""

import functools
from collections import Counter
from pathlib import Path

_NAMES = Path(__file__).with_name("imagenet_classes.txt")

_PERSONS = (981, 982, 983)  # ballplayer, groom, scuba diver
# {class of VOC 2012 or MSRC-21: indices in ImageNet}; imagenet_classes.txt has their names.
_SHARED = {
    "aeroplane": (404, 895),
    "bicycle": (444, 671),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "boat": (472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "body": _PERSONS,
    "book": (453, 454, 917, 921),  # MSRC-21's books stand in shelves
    "bottle": (440, 720, 737, 898, 901, 907),
    "building": (425, 449, 483, 497, 538, 624, 663, 668, 698, 727, 743, 832),
    "bus": (654, 779, 874),
    "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": tuple(range(281, 286)),
    "chair": (423, 559, 765),
    "cow": (345,),  # ox
    "diningtable": (532,),
    "dog": tuple(range(151, 269)),
    "flower": (985, 986),
    "horse": (339,),  # sorrel
    "motorbike": (665, 670),
    "person": _PERSONS,
    "pottedplant": (738,),  # pot, which is a flowerpot
    "sheep": (348, 349),  # ram, bighorn
    "sign": (919,),
    "sofa": (831,),
    "train": (466, 547, 705, 820, 829),
    "tvmonitor": (664, 782, 851),
    "water": (975, 978),  # lakeside, seashore
}
# Other names for them, in other data sets.
_SYNONYMS = {
    "airplane": "aeroplane",
    "bike": "bicycle",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "pedestrian": "person",
    "potted plant": "pottedplant",
    "traffic sign": "sign",
    "tv": "tvmonitor",
    "tv monitor": "tvmonitor",
}


@functools.cache
def imagenet_names():
    """The names of ImageNet's classes, a tuple of 1,000, in the order of every classifier."""
    lines = _NAMES.read_text(encoding="utf-8").splitlines()
    return tuple(line.partition(" ")[2] for line in lines)


def imagenet_indices(name):
    """The classes of ImageNet that a class of another data set consists of.

    Args:
      name: of a class of VOC 2012 or MSRC-21, a usual other word for one, or a name in
        ImageNet; capitals and underscores do not matter.

    Returns:
      Tuple of indices 0..999; empty if ImageNet has no such class, or several of that name.

    Example:
      >>> imagenet_indices("cat")
      (281, 282, 283, 284, 285)
      >>> imagenet_indices("Golden_retriever")
      (207,)
    """
    plain = _plain(name)
    shared = _SHARED.get(_SYNONYMS.get(plain, plain))
    return shared or _indices_by_name().get(plain, ())


@functools.cache
def _indices_by_name():
    names = [_plain(name) for name in imagenet_names()]
    counts = Counter(names)  # a crane is a bird and a machine
    return {name: (index,) for index, name in enumerate(names) if counts[name] == 1}


def _plain(name):
    return name.replace("_", " ").strip().casefold()
