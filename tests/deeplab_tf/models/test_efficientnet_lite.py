"""EfficientNet-Lite against its publication, and on photographs."""

import keras
import numpy as np
import pytest
from PIL import Image

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models import efficientnet_lite
from deeplab_tf.models.backbones import build_backbone, find_backbone
from deeplab_tf.models.efficientnet_lite import EfficientNetLite0
from deeplab_tf.models.weights import read_weights

FILE = "efficientnet_lite0_keras.weights.h5"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Trainable ones, classifier included, in the authors' efficientnet_lite_builder_test.py.
        ("EfficientNetLite0", 4_652_008),
        ("EfficientNetLite1", 5_416_680),
        ("EfficientNetLite2", 6_092_072),
        ("EfficientNetLite3", 8_197_096),
        ("EfficientNetLite4", 13_006_568),
    ],
)
def test_parameters(name, parameters):
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        network = getattr(efficientnet_lite, name)()
    sizes = [np.prod(variable.shape) for variable in network.trainable_variables]
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    assert sum(sizes) == parameters


def test_stem_and_top_do_not_grow():
    with keras.StatelessScope(initialize_variables=False):
        network = efficientnet_lite.EfficientNetLite4(include_top=False)
    keras.backend.clear_session()
    assert network.get_layer("stem_conv").filters == 32
    assert network.get_layer("top_conv").filters == 1280
    depthwise = [x for x in network.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
    # 1.8 times 2, 2, 3, 3 and 4 blocks, rounded up; the first and the last stage keep one.
    assert len(depthwise) == 1 + 4 + 4 + 6 + 6 + 8 + 1
    assert {layer.kernel_size[0] for layer in depthwise} == {3, 5}
    kinds = {type(layer).__name__ for layer in network.layers}
    assert "GlobalAveragePooling2D" not in kinds  # no squeeze-and-excite
    limits = {x.max_value for x in network.layers if isinstance(x, keras.layers.ReLU)}
    assert limits == {6.0}


@pytest.mark.slow
def test_images_are_normalized_without_a_file_too():
    network = EfficientNetLite0(include_top=False)
    normalized = keras.Model(network.input, network.get_layer("normalization").output)
    image = np.float32([0, 127, 255]).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(normalized(image).numpy().ravel(), [-127 / 128, 0, 1], atol=1e-6)
    dense = build_backbone("efficientnetlite0", 16, network.get_weights())
    (layer,) = (x for x in dense.layers if isinstance(x, keras.layers.Normalization))
    np.testing.assert_allclose(
        keras.Model(dense.input, layer.output)(image).numpy().ravel(), [-127 / 128, 0, 1], atol=1e-6
    )


def test_weights_that_cannot_be_downloaded():
    with pytest.raises(InputError) as error:
        build_deeplab("efficientnetlite3", "large_fov", 2)
    assert "\n" not in str(error.value)
    assert "weights of efficientnetlite3 cannot be downloaded" in str(error.value)
    assert "--weights=FILE" in str(error.value)


# Photographs of PASCAL VOC 2012, and the ILSVRC classes that are right for them.
PHOTOGRAPHS = {
    "2008_000700": {972},  # a climber on a cliff
    "2008_000939": {511},  # convertible
    "2008_003228": {841},  # sweatshirt
    "2008_005643": set(range(151, 269)),  # dogs
    "2008_006462": set(range(281, 286)),  # cats
    "2010_001199": {532},  # dining table
    "2010_002065": {404},  # airliner
    "2010_003057": {654, 779, 874},  # minibus, school bus and trolleybus, as there is no other bus
    "2010_005275": set(range(281, 286)),
    "2010_005511": {130},  # flamingo
    "2011_000025": {654, 779, 874},
}


def test_photographs_are_named_rightly(weights, voc_pairs):
    network = EfficientNetLite0(weights=weights / FILE)
    files = [voc_pairs / "JPEGImages" / f"{name}.jpg" for name in PHOTOGRAPHS]
    images = [np.float32(Image.open(file).resize((224, 224), Image.BICUBIC)) for file in files]
    found = network.predict(np.stack(images), verbose=0).argmax(axis=-1)
    named = zip(PHOTOGRAPHS.items(), found, strict=True)
    wrong = {name: index for (name, right), index in named if index not in right}
    assert not wrong


@pytest.mark.slow
def test_the_file_gives_the_backbone_its_weights(weights):
    """By the path of `--weights=FILE`."""
    path = weights / FILE
    network = build_deeplab("efficientnetlite0", "large_fov", 4, weights=path)
    classifier = EfficientNetLite0(weights=path)
    last = keras.Model(classifier.input, classifier.get_layer("top_activation").output)
    image = np.random.default_rng(0).uniform(0, 255, (1, 65, 65, 3)).astype("float32")
    expected = np.asarray(last(image))
    dense = keras.Model(network.input, network.get_layer("top_activation").output)
    found = np.asarray(dense(image))[:, ::4, ::4]  # output stride 8 in place of 32
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    found = read_weights("efficientnetlite0", path)
    assert found.classifier is None
    assert [array.shape for array in found.class_layer] == [(1280, 1000), (1000,)]
    assert find_backbone("efficientnetlite0").preprocessing is None
