"""The names of ImageNet's classes, and the classes of other data sets that consist of them."""

import pytest

from deeplab_tf.data.label_sets import MSRC21, VOC
from deeplab_tf.models.imagenet_classes import imagenet_indices, imagenet_names


def names_of(name):
    return [imagenet_names()[index] for index in imagenet_indices(name)]


@pytest.mark.parametrize(
    "index, name",
    [
        *((0, "tench"), (134, "crane"), (151, "Chihuahua"), (207, "golden retriever")),
        *((268, "Mexican hairless"), (281, "tabby"), (517, "crane"), (817, "sports car")),
        *((920, "traffic light"), (985, "daisy"), (999, "toilet tissue")),
    ],
)
def test_known_names(index, name):
    assert len(imagenet_names()) == 1000
    assert imagenet_names()[index] == name


def test_shared_classes_by_name():
    assert names_of("cat") == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    assert names_of("cow") == ["ox"]
    assert names_of("horse") == ["sorrel"]
    assert names_of("aeroplane") == ["airliner", "warplane"]
    assert names_of("motorbike") == ["moped", "motor scooter"]
    assert names_of("bus") == ["minibus", "school bus", "trolleybus"]
    assert names_of("flower") == ["daisy", "yellow lady's slipper"]
    assert names_of("water") == ["lakeside", "seashore"]
    assert names_of("person") == ["ballplayer", "groom", "scuba diver"]
    assert len(names_of("dog")) == 118 and {"pug", "collie", "dalmatian"} <= set(names_of("dog"))
    assert len(names_of("bird")) == 59 and {"cock", "toucan", "king penguin"} <= set(
        names_of("bird")
    )
    assert {"sports car", "jeep", "cab"} <= set(names_of("car"))
    assert {"canoe", "yawl", "liner"} <= set(names_of("boat"))
    assert {"church", "castle", "palace"} <= set(names_of("building"))


def test_no_class_of_imagenet_is_shared_twice():
    for label_set in (VOC, MSRC21):
        indices = [index for name in label_set.names for index in imagenet_indices(name)]
        assert len(indices) == len(set(indices))
    assert [name for name in VOC.names if not imagenet_indices(name)] == ["background"]
    absent = [name for name in MSRC21.names if not imagenet_indices(name)]
    assert absent == ["grass", "tree", "sky", "face", "road"]


def test_names_are_found_as_they_are_written():
    assert imagenet_indices("Golden_retriever") == (207,)
    assert imagenet_indices("TV") == imagenet_indices("tvmonitor")
    assert imagenet_indices("motorcycle") == imagenet_indices("motorbike")
    assert imagenet_indices("crane") == ()  # a bird and a machine
    assert imagenet_indices("background") == imagenet_indices("nothing such") == ()
