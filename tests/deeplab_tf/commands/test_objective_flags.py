"""The flags of the loss, and the objective that they make."""

import functools

import pytest
from absl import flags
from planted import blocks, write_example

from deeplab_tf.commands.flags.joint_crf import define_joint_crf_flags
from deeplab_tf.commands.flags.objective import (
    class_weights,
    define_objective_flags,
    make_objective,
)
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, LabelEncoding
from deeplab_tf.training.losses import (
    MultiScaleObjective,
    ProbabilityObjective,
    ScoreMapObjective,
)
from deeplab_tf.training.partial_labels import PartialLabelsObjective
from deeplab_tf.training.weak_supervision import EMAdaptObjective, MILObjective, OnProbabilities


@pytest.fixture
def examples(tmp_path):
    """A label of which class 0 fills three quarters and class 1 one."""
    return [functools.partial(write_example, tmp_path)("a", blocks(0, 0, 0, 1))]


def parsed(*arguments):
    values = flags.FlagValues()
    define_objective_flags(values)
    define_joint_crf_flags(values)
    parse_flags(values, arguments)
    return values


def objective(examples, *arguments, scales=(1.0,), encoding=None):
    given = parsed(*arguments)
    return make_objective(given, 8, scales, class_weights(given, examples, 2, encoding))


def test_weak_labels_with_and_without_the_crf(examples):
    assert objective(examples, "--objective=mil") == MILObjective(8)
    partial = ["--objective=partial", "--class_weights=1,2"]
    assert objective(examples, *partial) == PartialLabelsObjective(8, (1.0, 2.0))
    # The CRF has every pixel, so the stride is 1.
    assert objective(examples, "--crf_train") == ProbabilityObjective()
    assert objective(examples, "--crf_train", "--objective=mil") == OnProbabilities(MILObjective(1))
    adapt = ["--objective=em_adapt", "--foreground_portion=0.1", "--background_portion=0.3"]
    found = objective(examples, "--crf_train", *adapt)
    assert found == OnProbabilities(EMAdaptObjective(1, foreground=0.1, background=0.3))
    found = objective(examples, "--crf_train", *partial)
    assert found == OnProbabilities(PartialLabelsObjective(1, (1.0, 2.0)))
    with pytest.raises(InputError, match="has no effect without --objective=em_adapt; leave it"):
        objective(examples, "--crf_train", "--foreground_portion=0.1")


def test_no_weights_by_default(examples):
    assert objective(examples) == ScoreMapObjective(8)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ("0.5,2", (0.5, 2.0)),
        ("0, 1e-1", (0.0, 0.1)),
        ("inverse_frequency", (2 / 3, 2.0)),
        ("median_frequency", (2 / 3, 2.0)),
    ],
)
def test_weights_of_an_objective(examples, weights, found):
    flag = f"--class_weights={weights}"
    one = objective(examples, flag)
    assert isinstance(one, ScoreMapObjective)
    assert one.class_weights == pytest.approx(found)
    several = objective(examples, flag, scales=(1.0, 0.5))
    assert several == MultiScaleObjective((1.0, 0.5), 8, class_weights=one.class_weights)


def test_weights_of_labels_with_other_values(examples):
    # The values 0 and 1 are the classes 1 and 0.
    given = objective(examples, "--class_weights=inverse_frequency", encoding=LabelEncoding((1, 0)))
    assert given.class_weights == pytest.approx((2.0, 2 / 3))
    ignored = LabelEncoding((VOID, 0))
    given = objective(examples, "--class_weights=inverse_frequency", encoding=ignored)
    assert given.class_weights == (1.0, 1.0)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("1,2,3", "--class_weights: 3 class weights for 2 classes; give one for each"),
        ("1,", "--class_weights=1,: give inverse_frequency or median_frequency, or a number for"),
        ("balanced", "--class_weights=balanced: give inverse_frequency or median_frequency, or a"),
        ("1,-1", r"--class_weights: class weights \(1.0, -1.0\); give numbers >= 0"),
        ("1,inf", r"--class_weights: class weights \(1.0, inf\); give numbers >= 0"),
    ],
)
def test_weights_that_cannot_be_used(examples, weights, message):
    with pytest.raises(InputError, match=message) as error:
        objective(examples, f"--class_weights={weights}")
    assert "\n" not in str(error.value)
