import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import plots
from deeplab_tf.evaluation.figures import fields
from deeplab_tf.models.heads import HEADS

SIDE = 641


def conv(size, rate=1, kernel="ones"):
    return keras.layers.Conv2D(
        1, size, padding="same", dilation_rate=rate, kernel_initializer=kernel
    )


def network(*layers):
    images = x = keras.Input((None, None, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def test_the_papers_fields():
    published = [fields.published_field(*k) for k in ((7, 4), (4, 4), (4, 8), (3, 12))]
    assert published == [224, 128, 224, 224]


def test_the_gradient_of_a_dilated_convolution():
    (gradient,) = fields.measure_field(network(conv(3), conv(3, rate=4)), 17)
    line = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(gradient, 3 * np.outer(line, line))  # 3 color channels
    field = fields.Field("", gradient)
    assert field.box == (3, 13, 3, 13) and field.size == (11, 11) and not field.is_cut


def test_strides_multiply_the_field():
    pool = keras.layers.AveragePooling2D(2)
    (gradient,) = fields.measure_field(network(conv(3), pool, conv(3)), 16)
    # 8 x 8 cells; cell 3 needs cells 2 to 4, pixels 4 to 9 before the first convolution.
    assert fields.Field("", gradient).box == (3, 10, 3, 10)


def test_a_field_at_the_border_is_cut():
    gradient = np.zeros((5, 5))
    gradient[1:3, 2:5] = 1
    field = fields.Field("name", gradient, 224)
    assert field.size == (2, 3) and field.is_cut
    table = fields.field_table([field]).splitlines()
    assert table[1].split() == ["name", "224", "at", "least", "3x2"]


def test_a_network_that_sees_nothing_is_refused():
    with pytest.raises(InputError, match="no pixel of an image of noise changes its scores"):
        fields.measure_field(network(conv(3, kernel="zeros")), 9)


def test_the_figure_has_a_box_for_each_size():
    gradient = np.pad(np.ones((16, 24)), ((8, 16), (8, 8)))
    with plots.style():
        figure = fields.draw_fields([fields.Field("a", gradient, 8), fields.Field("b", gradient)])
        plots.encode(figure, "png", 50)
    boxes = [
        [(box.get_xy(), box.get_width(), box.get_height()) for box in axes.patches]
        for axes in figure.axes[:2]
    ]
    whole = ((8, 8), 24, 16)
    assert boxes == [[whole, ((16, 12), 8, 8)], [whole]]
    shares = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shares, np.pad(np.ones((2, 3)), ((1, 2), (1, 1))))


def reach_of_vgg16(kernel_size, rate, cell):
    """First and last pixel that count for a cell of VGG-16's scores at output stride 8."""
    first = last = cell

    def through_convolution(size, rate, times=1):
        nonlocal first, last
        before = (size - 1) * rate // 2
        first, last = first - times * before, last + times * ((size - 1) * rate - before)

    def through_pooling(stride):
        nonlocal first, last
        first, last = stride * first, stride * last + 1

    through_convolution(kernel_size, rate)
    through_pooling(1)
    through_convolution(3, 2, times=3)
    through_pooling(1)
    through_convolution(3, 1, times=3)
    through_pooling(2)
    through_convolution(3, 1, times=3)
    for _ in range(2):
        through_pooling(2)
        through_convolution(3, 1, times=2)
    return first, last


def test_the_arithmetic_itself():
    first, last = reach_of_vgg16(3, 12, cell=40)
    assert (first, last) == (134, 529)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["4x4", "7x7", "4x4_fov", "large_fov", "aspp_l"])
def test_the_gradient_of_vgg16_reaches_as_far_as_arithmetic_says(head):
    found = fields.head_fields(head, SIDE)
    shape = HEADS[head]
    assert len(found) == len(shape.rates)
    middle = (SIDE - 1) // 8 // 2
    for field, rate in zip(found, shape.rates, strict=True):
        reach = reach_of_vgg16(shape.kernel_size, rate, middle)
        assert field.box == 2 * reach and not field.is_cut
        assert field.name.endswith(f"rate {rate}")
