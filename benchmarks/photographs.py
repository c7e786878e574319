"""Images of 500x375 pixels, the usual size in PASCAL VOC, for the benchmarks."""

import cv2

from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set, read_split

WIDTH, HEIGHT = 500, 375


def find_examples(data_dir, folder, count):
    """Find images to resize; returns the list of examples and the number of classes.

    Args:
      data_dir: data set in VOC layout, whose first training images are used; None: synthetic ones.
      folder: where the synthetic images are written.
      count: number of images.
    """
    if not data_dir:
        data_dir = folder / "synthetic"
        write_synthetic(data_dir, num_train=count, num_val=1, size=(HEIGHT, WIDTH))
    return read_split(data_dir, "train")[:count], read_label_set(data_dir).num_classes


def write_jpeg(path, example, num_classes):
    """Write an example's resized image; returns its resized label, (375, 500) uint8."""
    image, label = load_pair(example, num_classes)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return cv2.resize(label, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
