import functools

import cv2
import numpy as np
import pytest
from planted import png, write_example

from deeplab_tf.data.checks import check_tile_sizes
from deeplab_tf.errors import InputError


@pytest.fixture
def make(tmp_path):
    """A function from a name and the size (height, width) of the image to an example."""
    write = functools.partial(write_example, tmp_path)

    def make(name, *size, write_image=png):
        return write(name, np.zeros((9, 9), np.uint8), write_image(np.zeros((*size, 3), np.uint8)))

    return make


def jpeg(array):
    return cv2.imencode(".jpg", array)[1].tobytes()


def test_sizes_that_the_grid_of_the_first_image_covers(make):
    # 20x32 pixels are 2x3 tiles of 12, which reach over up to 24x36 pixels, and any smaller image.
    first = make("a", 20, 32)
    fitting = [make("b", 24, 36), make("c", 3, 5), make("d", 20, 36, write_image=jpeg)]
    check_tile_sizes([first, *fitting], (12, 12), 2, progress=False)
    for size in ((25, 32), (20, 37)):
        odd = make("e", *size, write_image=jpeg)
        with pytest.raises(InputError) as error:
            check_tile_sizes([first, *fitting, odd, make("f", 99, 99)], (12, 12), 2)
        text = f"{odd.image}: size {size[1]}x{size[0]}: "
        assert str(error.value).startswith(text) and "\n" not in str(error.value)


def test_images_that_cannot_be_read_are_named_once(make):
    examples = [make("a", 20, 32), make("b", 20, 32, write_image=lambda _: b"GIF89a")]
    with pytest.raises(InputError) as error:
        check_tile_sizes(examples, (12, 12), 2)
    assert str(error.value) == f"{examples[1].image}: not a JPEG, PNG, TIFF, BMP, WebP or .npy file"
    with pytest.raises(InputError) as error:
        check_tile_sizes([examples[0]._replace(image="absent.jpg")], (12, 12), 2)
    assert str(error.value) == "absent.jpg: No such file or directory; check the path"


def test_tiles_that_cannot_be(make):
    with pytest.raises(InputError, match="an overlap of at least 0 that is less than a tile"):
        check_tile_sizes([make("a", 20, 32)], (12, 12), 12)
