"""Class scores that start from an ImageNet classifier."""

import keras
import numpy as np
import pytest
from PIL import Image

from deeplab_tf import build_deeplab, build_fcn
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.errors import InputError
from deeplab_tf.models import class_transfer
from deeplab_tf.models.class_transfer import transfer_classes
from deeplab_tf.models.efficientnet_lite import EfficientNetLite0
from deeplab_tf.models.imagenet_classes import imagenet_indices
from deeplab_tf.models.weights import BackboneWeights

NAMES = ("background", "cat", "horse", "sky")
CAT, HORSE = [281, 282, 283, 284, 285], [339]
REST = [index for index in range(1000) if index not in CAT + HORSE]


def network(num_classes=4, features=3, size=1, layers=1):
    images = keras.Input((None, None, features))
    scores = [
        keras.layers.Conv2D(num_classes, size, padding="same", name=f"fc8_rate{i}")(images)
        for i in range(layers)
    ]
    return keras.Model(images, keras.layers.Add()(scores) if layers > 1 else scores[0])


@pytest.fixture
def classifier(monkeypatch):
    """A random class layer of 3 features, in place of that of a file."""
    rng = np.random.default_rng(0)
    found = [rng.normal(size=(3, 1000)), rng.normal(size=1000)]
    monkeypatch.setattr(
        class_transfer, "read_weights", lambda *_, **options: BackboneWeights(class_layer=found)
    )
    return found


def test_scores_by_hand(classifier):
    kernel, bias = classifier
    model = network()
    transfer = transfer_classes(model, "mobilenet", "file.h5", NAMES)
    assert transfer == ({"cat": 5, "horse": 1}, ["background", "sky"])
    assert transfer.summary() == (
        "from classes of ImageNet (how many): cat (5), horse (1); from all others: background, sky"
    )
    features = np.array([1.0, -2.0, 0.5])
    found = np.asarray(model(features.reshape(1, 1, 1, 3)))[0, 0, 0]
    scores = features @ kernel + bias
    others = scores[REST].mean() + np.log(994 / 2)
    want = [others, scores[CAT].mean() + np.log(5), scores[339], others]
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_scores_are_below_the_log_sum_and_reach_it_for_equal_scores(classifier):
    kernel, bias = classifier
    model = network()
    features = np.random.default_rng(1).normal(size=(1, 4, 5, 3))

    def compare():
        transfer_classes(model, "mobilenet", "file.h5", NAMES)
        scores = features @ kernel + bias
        sums = [np.log(np.exp(scores[..., own]).sum(axis=-1)) for own in (CAT, HORSE)]
        return np.asarray(model(features))[..., 1:3], np.stack(sums, axis=-1)

    found, sums = compare()
    assert (found <= sums + 1e-5).all() and (found[..., 0] < sums[..., 0] - 0.1).all()
    kernel[:, CAT], bias[CAT] = kernel[:, [281]], bias[281]
    found, sums = compare()
    np.testing.assert_allclose(found, sums, rtol=1e-4, atol=1e-4)


def test_classifiers_as_convolutions_have_the_same_scores(classifier):
    """MobileNet's last layer is a 1x1 convolution."""
    dense, convolution = network(), network()
    transfer_classes(dense, "mobilenet", "file.h5", NAMES)
    classifier[0] = classifier[0][None, None]
    transfer_classes(convolution, "mobilenet", "file.h5", NAMES)
    for a, b in zip(dense.get_weights(), convolution.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options, names, said",
    [
        ({"size": 3}, NAMES, r"'fc8_rate0' has a kernel of shape \(3, 3, 3, 4\), the classifier 3"),
        ({"features": 5}, NAMES, "the classifier 3 features for 4 classes; only an FCN, head pl"),
        ({"layers": 2}, NAMES, "2 layers score the classes, a classifier has one; use an FCN"),
        ({}, ("a", "b", "c", "d"), "ImageNet has none of the classes a, b, c, d"),
    ],
)
def test_what_does_not_fit_is_refused(classifier, options, names, said):
    model = network(**options)
    before = model.get_weights()
    with pytest.raises(InputError, match=said):
        transfer_classes(model, "mobilenet", "file.h5", names)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_without_classifier_is_refused(monkeypatch):
    nothing = BackboneWeights(backbone=[])
    monkeypatch.setattr(class_transfer, "read_weights", lambda *_, **options: nothing)
    with pytest.raises(InputError, match=r"weights notop.h5: no ImageNet classifier in this file"):
        transfer_classes(network(), "vgg16", "notop.h5", NAMES)


# The objects of some photographs of voc_pairs.
SHOWN = {"2010_005275": "cat", "2010_000145": "boat", "2011_000025": "bus"}


@pytest.mark.slow
def test_the_network_says_of_photographs_what_the_classifier_says(weights, voc_pairs):
    """At the classifier's stride, the mean over all cells; both FCN and DeepLab."""
    path = weights / "efficientnet_lite0_keras.weights.h5"
    files = [voc_pairs / "JPEGImages" / f"{name}.jpg" for name in SHOWN]
    images = np.stack([np.float32(Image.open(file).resize((225, 225))) for file in files])
    classifier = EfficientNetLite0(weights=path)
    classifier.get_layer("predictions").activation = keras.activations.linear
    scores = np.asarray(classifier(images))
    own = [list(imagenet_indices(name)) for name in VOC.names[1:]]
    want = np.stack([scores[:, i].mean(axis=1) + np.log(len(i)) for i in own], axis=1)
    assert [VOC.names[1 + i] for i in want.argmax(axis=1)] == list(SHOWN.values())
    model = build_deeplab("efficientnetlite0", "plain", 21, 32, path)
    transfer_classes(model, "efficientnetlite0", path, VOC.names)
    found = np.asarray(model(images)).mean(axis=(1, 2))[:, 1:]
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-3)
    fcn = build_fcn("efficientnetlite0", 32, 21, path)
    transfer_classes(fcn, "efficientnetlite0", path, VOC.names)
    np.testing.assert_array_equal(fcn.get_layer("score_top").kernel, model.get_layer("fc8").kernel)
