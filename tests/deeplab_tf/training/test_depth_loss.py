import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.training.depth_loss import DepthLoss, DepthObjective, scale_invariant_losses

E = np.float32(np.e)


def loss(depth, log_depth, scale_share=0.5):
    log_depth = np.float32(log_depth)[None, ..., None]
    return float(scale_invariant_losses(np.float32(depth)[None], log_depth, scale_share)[0])


def test_by_hand():
    # The errors of the logarithm are 1 and 3: mean square 5, mean 2.
    assert loss([[1, 1]], [[1, 3]], 0) == pytest.approx(5)
    assert loss([[1, 1]], [[1, 3]]) == pytest.approx(5 - 0.5 * 4)
    assert loss([[1, 1]], [[1, 3]], 1) == pytest.approx(1)
    # The true logarithms are 1 and 2.
    assert loss([[E, E**2]], [[2, 5]]) == pytest.approx(5 - 0.5 * 4)


@pytest.mark.parametrize("unknown", [0, -1, np.nan, np.inf, -np.inf])
def test_unknown_depth_counts_in_no_sum(unknown):
    assert loss([[1, unknown, 1]], [[1, 9, 3]]) == pytest.approx(3)
    assert loss([[unknown]], [[9]]) == 0


@pytest.mark.parametrize("unknown", [0, np.nan, np.inf])
def test_gradients_are_finite_and_0_where_the_depth_is_unknown(unknown):
    log_depth = tf.Variable(np.float32([[[[1], [9], [3]]], [[[1], [2], [3]]]]))
    depth = np.float32([[[1, unknown, 1]], [[unknown] * 3]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(scale_invariant_losses(depth, log_depth))
    gradient = tape.gradient(value, log_depth).numpy()
    # d/dp_i = (2 / n) d_i - (2 lambda / n^2) sum d, with d = (1, 3) and n = 2.
    np.testing.assert_allclose(gradient[0, 0, :, 0], [1 - 1, 0, 3 - 1], rtol=1e-6)
    assert not gradient[1].any()


def test_a_factor_for_the_whole_image_costs_nothing_at_lambda_1():
    rng = np.random.default_rng(0)
    depth, log_depth = rng.uniform(1, 9, (4, 5)), rng.normal(size=(4, 5))
    assert loss(7 * depth, log_depth, 1) == pytest.approx(loss(depth, log_depth, 1), rel=1e-4)
    assert loss(7 * depth, log_depth, 0.5) != pytest.approx(loss(depth, log_depth), rel=1e-1)


def test_equation_3_of_the_paper():
    # lambda 1: (1 / 2n^2) sum_ij ((p_i - p_j) - (t_i - t_j))^2, over all pairs of pixels.
    rng = np.random.default_rng(1)
    truth, predicted = rng.normal(size=12), rng.normal(size=12)
    pairs = (predicted[:, None] - predicted - truth[:, None] + truth) ** 2
    found = loss(np.exp(truth)[None], predicted[None], 1)
    assert found == pytest.approx(pairs.mean() / 2, rel=1e-5)


def test_the_objective_is_the_mean_over_images_with_depth():
    depth = np.zeros((3, 17, 17), np.float32)
    depth[:2, ::8, ::8] = 1  # the pixels under the cells
    depth[2, 1, 1] = 1  # a pixel between them
    log_depth = np.stack([np.full((3, 3, 1), value, np.float32) for value in (2, 4, 8)])
    objective = DepthObjective(8)
    assert objective.counts(depth).numpy().tolist() == [2]
    assert objective.sums(depth, log_depth).numpy() == pytest.approx([0.5 * 4 + 0.5 * 16])
    # Parts of a batch add up.
    parts = [objective.sums(depth[i : i + 1], log_depth[i : i + 1]).numpy()[0] for i in range(3)]
    assert sum(parts) == pytest.approx(10)


def test_the_loss_for_compile_trains_and_survives_saving():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(1, 1, strides=8)(images))
    again = keras.losses.deserialize(keras.losses.serialize(DepthLoss(8, scale_share=0)))
    assert (again.output_stride, again.scale_share) == (8, 0)
    model.compile(keras.optimizers.SGD(0.25), again)
    depth = np.full((2, 9, 9), E**2, np.float32)
    depth[0, 0, 0] = np.nan
    # The bias, 0, is 2 too small, and half a step of Newton's method makes that 1.
    losses = [model.train_on_batch(np.zeros((2, 9, 9, 3)), depth) for _ in range(2)]
    assert float(losses[0]) == pytest.approx(4)
    assert float(model.layers[-1].bias[0]) == pytest.approx(2 * (1 - 0.5**2))


def test_what_does_not_fit_is_refused():
    depth = np.ones((1, 5, 5), np.float32)
    with pytest.raises(InputError, match="2 channels for a depth map; build the network with pred"):
        scale_invariant_losses(depth, tf.zeros((1, 5, 5, 2)))
    with pytest.raises(InputError, match=r"depth of shape \(1, 5, 5\) does not fit .*output stri"):
        scale_invariant_losses(depth, tf.zeros((1, 3, 3, 1)))
