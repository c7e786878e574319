"""The published networks learn: two street-scene crops by heart, from random weights."""

import pytest
import tensorflow as tf

import deeplab_tf
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.training.losses import SegmentationLoss
from deeplab_tf.training.optimizer import LayerwiseAdam

MOST_STEPS = 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "learning_rate"),
    [("vgg16", "large_fov", 1e-4), ("resnet101", "aspp_l", 1e-3)],
)
def test_two_crops_by_heart(camvid, backbone, head, learning_rate):
    examples, label_set = open_dataset("voc", camvid, "train")
    batch = next(
        iter(
            training_batches(
                examples,
                num_classes=label_set.num_classes,
                batch_size=2,
                crop_size=321,
                scale_range=(1.0, 1.0),
            )
        )
    )
    model = deeplab_tf.build_deeplab(backbone, head, label_set.num_classes, weights=None)
    optimizer, loss_function = LayerwiseAdam(learning_rate), SegmentationLoss()
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            scores = model(batch["image"], training=True)
            loss = loss_function(batch["label"], scores)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    first = loss = float(step())
    for _ in range(MOST_STEPS):
        loss = float(step())
        if loss < first / 10:
            return
    pytest.fail(f"loss {first:.3f} at first and {loss:.3f} after {MOST_STEPS} steps")
