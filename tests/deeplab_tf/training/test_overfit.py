"""The published networks learn: two street-scene crops by heart, from random weights."""

import pytest
import tensorflow as tf

import deeplab_tf
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.training.losses import SegmentationLoss
from deeplab_tf.training.optimizer import LayerwiseAdam

MOST_STEPS = 200


def fcn8s(num_classes):
    return deeplab_tf.build_fcn("vgg16", 8, num_classes, weights=None)


def deeplab(backbone, head):
    return lambda num_classes: deeplab_tf.build_deeplab(backbone, head, num_classes, weights=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "output_stride", "learning_rate"),
    [
        pytest.param(deeplab("vgg16", "large_fov"), 8, 1e-4, id="vgg16-large_fov"),
        pytest.param(deeplab("resnet101", "aspp_l"), 8, 1e-3, id="resnet101-aspp_l"),
        pytest.param(fcn8s, 1, 1e-4, id="fcn8s"),
    ],
)
def test_two_crops_by_heart(camvid, build, output_stride, learning_rate):
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
    model = build(label_set.num_classes)
    optimizer, loss_function = LayerwiseAdam(learning_rate), SegmentationLoss(output_stride)
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
    for number in range(1, MOST_STEPS + 1):
        loss = float(step())
        if loss < first / 10:
            print(f"{model.name}: loss {first:.3f} to {loss:.3f} in {number} steps")
            return
    pytest.fail(f"loss {first:.3f} at first and {loss:.3f} after {MOST_STEPS} steps")
