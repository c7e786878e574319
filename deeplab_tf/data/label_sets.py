"""The classes and colors of the published data sets.

Each is a `LabelSet`; the table in datasets.py assigns them to the data sets.
"""

from deeplab_tf.labels import LabelSet

BLACK = (0, 0, 0)


def _colored(colors):
    # A label set from {name: color}, with black for void as in the street scenes' own colors.
    return LabelSet(tuple(colors), tuple(colors.values()), void_color=BLACK)


# PASCAL VOC 2012: background and 20 kinds of objects.
VOC = LabelSet.in_voc_colors(
    (
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    )
)

# PASCAL-Context: background and the 59 most frequent of its 459 classes, in the order of the
# authors' 59_labels.txt, with the names of their full list, labels.txt.
_PASCAL_CONTEXT_NAMES = """
background aeroplane bicycle bird boat bottle bus car cat chair cow table dog horse
motorbike person pottedplant sheep sofa train tvmonitor bag bed bench book building cabinet
ceiling cloth computer cup door fence floor flower food grass ground keyboard light mountain
mouse curtain platform sign plate road rock shelves sidewalk sky snow bedclothes track tree
truck wall water window wood
"""
PASCAL_CONTEXT = LabelSet.in_voc_colors(_PASCAL_CONTEXT_NAMES.split())

# PASCAL-Person-Part: the parts of PASCAL-Part, merged as in the DeepLab papers.
PERSON_PART = LabelSet.in_voc_colors(
    ("background", "head", "torso", "upper_arms", "lower_arms", "upper_legs", "lower_legs")
)

# Cityscapes: the 19 classes that are evaluated, in the order of their train ids and in the
# official colors.
CITYSCAPES = _colored(
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "terrain": (152, 251, 152),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck": (0, 0, 70),
        "bus": (0, 60, 100),
        "train": (0, 80, 100),
        "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    }
)

# The label id of each of these classes. Cityscapes' files and its test server use label ids, 0..33.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

# CamVid: the 11 classes that are usually evaluated, in the order and colors of SegNet.
CAMVID = _colored(
    {
        "sky": (128, 128, 128),
        "building": (128, 0, 0),
        "pole": (192, 192, 128),
        "road": (128, 64, 128),
        "pavement": (60, 40, 222),
        "tree": (128, 128, 0),
        "sign": (192, 128, 128),
        "fence": (64, 64, 128),
        "car": (64, 0, 128),
        "pedestrian": (64, 64, 0),
        "bicyclist": (0, 128, 192),
    }
)

# MSRC-21: the classes that TextonBoost and the fully connected CRF are scored on, in the order and
# colors of its authors, without horse and mountain.
MSRC21 = _colored(
    {
        "building": (128, 0, 0),
        "grass": (0, 128, 0),
        "tree": (128, 128, 0),
        "cow": (0, 0, 128),
        "sheep": (0, 128, 128),
        "sky": (128, 128, 128),
        "aeroplane": (192, 0, 0),
        "water": (64, 128, 0),
        "face": (192, 128, 0),
        "car": (64, 0, 128),
        "bicycle": (192, 0, 128),
        "flower": (64, 128, 128),
        "sign": (192, 128, 128),
        "bird": (0, 64, 0),
        "book": (128, 64, 0),
        "chair": (0, 192, 0),
        "road": (128, 64, 128),
        "cat": (0, 192, 128),
        "dog": (128, 192, 128),
        "body": (64, 64, 0),
        "boat": (192, 64, 0),
    }
)

# NYU Depth v2: the 40 classes of Gupta et al., in the order of their classMapping40.mat. Their
# "refridgerator" is spelled as in English.
NYUDV2 = LabelSet.in_voc_colors(
    (
        "wall",
        "floor",
        "cabinet",
        "bed",
        "chair",
        "sofa",
        "table",
        "door",
        "window",
        "bookshelf",
        "picture",
        "counter",
        "blinds",
        "desk",
        "shelves",
        "curtain",
        "dresser",
        "pillow",
        "mirror",
        "floor mat",
        "clothes",
        "ceiling",
        "books",
        "refrigerator",
        "television",
        "paper",
        "towel",
        "shower curtain",
        "box",
        "whiteboard",
        "person",
        "night stand",
        "toilet",
        "sink",
        "lamp",
        "bathtub",
        "bag",
        "other structure",
        "other furniture",
        "other prop",
    )
)

# SIFT Flow: the 33 semantic classes and the 3 geometric ones, both in the order of its label files.
_SIFTFLOW_NAMES = """
awning balcony bird boat bridge building bus car cow crosswalk desert door fence field grass moon
mountain person plant pole river road rock sand sea sidewalk sign sky staircase streetlight sun tree
window
"""
SIFTFLOW = LabelSet.in_voc_colors(_SIFTFLOW_NAMES.split())
SIFTFLOW_GEOMETRIC = LabelSet.in_voc_colors(("sky", "horizontal", "vertical"))
