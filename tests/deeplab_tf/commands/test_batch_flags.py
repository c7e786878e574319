"""The flags of the training images, and the batches that they make."""

import keras
import numpy as np
from absl.flags import FlagValues

from deeplab_tf.commands import train
from deeplab_tf.commands.flags.batches import batches_from
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.data import open_dataset
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models.backbones import ImagePreprocessing


def test_crops_are_padded_with_the_color_of_the_network(tmp_path):
    folder, flags = tmp_path / "data", FlagValues()
    write_synthetic(folder, num_train=1, num_val=1, size=(128, 128))
    train.define_flags(flags)
    words = "--batch_size=1", "--crop_size=130", "--scale_low=1", "--scale_high=1"
    parse_flags(flags, [f"--data_dir={folder}", "--model_dir=M", *words])
    examples, label_set = open_dataset("voc", folder, "train")
    for mode, color in (("tf", (127.5,) * 3), ("caffe", MEAN_RGB)):
        images = keras.Input((None, None, 3))
        model = keras.Model(images, ImagePreprocessing(mode)(images))
        make = batches_from(flags, examples, label_set.num_classes, None, (0, 1), model)
        batch = next(iter(make(0)))
        np.testing.assert_array_equal(batch["label"][0, -1], 255)
        np.testing.assert_array_equal(batch["image"][0, -1], np.tile(np.float32(color), (130, 1)))
