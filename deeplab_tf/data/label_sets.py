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

# ADE20K: the 150 classes of its scene parsing benchmark, each with the first of its names, in the
# order and colors of its authors, of which two are the same. Label 0 is everything else; it is
# ignored in training and testing, but the DeepLab authors' networks have a score for it.
_ADE20K = """
other 000000, wall 787878, building b47878, sky 06e6e6, floor 503232, tree 04c803, ceiling 787850,
road 8c8c8c, bed cc05ff, windowpane e6e6e6, grass 04fa07, cabinet e005ff, sidewalk ebff07, person
96053d, earth 787846, door 08ff33, table ff0652, mountain 8fff8c, plant ccff04, curtain ff3307,
chair cc4603, car 0066c8, water 3de6fa, painting ff0633, sofa 0b66ff, shelf ff0747, house ff09e0,
sea 0907e6, mirror dcdcdc, rug ff095c, field 7009ff, armchair 08ffd6, seat 07ffe0, fence ffb806,
desk 0aff47, rock ff290a, wardrobe 07ffff, lamp e0ff08, bathtub 6608ff, railing ff3d06, cushion
ffc207, base ff7a08, box 00ff14, column ff0829, signboard ff0599, chest of drawers 0633ff, counter
eb0cff, sand a09614, sink 00a3ff, skyscraper 8c8c8c, fireplace fa0a0f, refrigerator 14ff00,
grandstand 1fff00, path ff1f00, stairs ffe000, runway 99ff00, case 0000ff, pool table ff4700,
pillow 00ebff, screen door 00adff, stairway 1f00ff, river 0bc8c8, bridge ff5200, bookcase 00fff5,
blind 003dff, coffee table 00ff70, toilet 00ff85, flower ff0000, book ffa300, hill ff6600, bench
c2ff00, countertop 008fff, stove 33ff00, palm 0052ff, kitchen island 00ff29, computer 00ffad,
swivel chair 0a00ff, boat adff00, bar 00ff99, arcade machine ff5c00, hovel ff00ff, bus ff00f5,
towel ff0066, light ffad00, truck ff0014, tower ffb8b8, chandelier 001fff, awning 00ff3d,
streetlight 0047ff, booth ff00cc, television 00ffc2, airplane 00ff52, dirt track 000aff, apparel
0070ff, pole 3300ff, land 00c2ff, bannister 007aff, escalator 00ffa3, ottoman ff9900, bottle
00ff0a, buffet ff7000, poster 8fff00, stage 5200ff, van a3ff00, ship ffeb00, fountain 08b8aa,
conveyer belt 8500ff, canopy 00ff5c, washer b800ff, plaything ff001f, swimming pool 00b8ff, stool
00d6ff, barrel ff0070, basket 5cff00, waterfall 00e0ff, tent 70e0ff, bag 46b8a0, minibike a300ff,
cradle 9900ff, oven 47ff00, ball ff00a3, food ffcc00, step ff008f, tank 00ffeb, trade name 85ff00,
microwave ff00eb, pot f500ff, animal ff007a, bicycle fff500, lake 0abed4, dishwasher d6ff00,
screen 00ccff, blanket 1400ff, sculpture ffff00, hood 0099ff, sconce 0029ff, vase 00ffcc, traffic
light 2900ff, tray 29ff00, ashcan ad00ff, fan 00f5ff, pier 4700ff, crt screen 7a00ff, plate
00ffb8, monitor 005cff, bulletin board b8ff00, shower 0085ff, radiator ffd600, glass 19c2c2, clock
66ff00, flag 5c00ff
"""


def _from_table(text):
    """A label set of a text such as "sky 06e6e6, floor 503232"."""
    rows = [row.rpartition(" ") for row in " ".join(text.split()).split(", ")]
    return LabelSet([name for name, _, _ in rows], [tuple(bytes.fromhex(rgb)) for *_, rgb in rows])


ADE20K = _from_table(_ADE20K)
