"""The CRF after the authors' quantized MobileNetV2: which parameters make borders better.

Those of the released networks must do so on every second image, and on the others.
"""

import numpy as np
import pytest
from PIL import Image

from crf import CRFParams, refine
from deeplab_tf.evaluation.boundary import BoundaryScores
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.models import import_tensorflow
from deeplab_tf.pretrained.released import RELEASED

# Weaker than the defaults.
GRID = [
    CRFParams(w1=w1, sigma_alpha=alpha, sigma_beta=4, w2=1, iterations=5)
    for w1 in (1, 2)
    for alpha in (20, 40)
]
NONE, DEFAULT = "no CRF", "default"


@pytest.mark.slow
def test_boundary_iou_before_and_after_the_crf(weights, voc_pairs):
    network = import_tensorflow(weights / "deeplabv3_mnv2_pascal_quant.tflite").model
    settings = {NONE: None, DEFAULT: CRFParams()} | {_name(params): params for params in GRID}
    halves = [{name: BoundaryScores(21) for name in settings} for _ in range(2)]
    whole = {name: BoundaryScores(21) for name in settings}
    for number, path in enumerate(sorted((voc_pairs / "JPEGImages").glob("*.jpg"))):
        image = np.asarray(Image.open(path).convert("RGB"))
        truth = np.asarray(Image.open(voc_pairs / "SegmentationClass" / f"{path.stem}.png"))
        before = predict_probabilities(network, image, pad_to=513)
        for name, params in settings.items():
            after = refine(before, image, params) if params else before
            for scores in (halves[number % 2], whole):
                scores[name].add(truth, after.argmax(-1).astype(np.uint8))
    print("boundary IoU, mean of the classes, of all images and of the halves")
    for name, scores in whole.items():
        print(f"{name:22} {scores.miou:.4f}", *(f"{half[name].miou:.4f}" for half in halves))
    released = _name(RELEASED["voc12_mobilenetv2"].crf)
    assert all(half[released].miou > half[NONE].miou for half in halves)
    assert max(whole, key=lambda name: whole[name].miou) == released
    # The common classes get better with both.
    for name in (released, DEFAULT):
        gains = whole[name].per_class_iou - whole[NONE].per_class_iou
        assert gains[0] > 0.01 and gains[15] > 0.01  # background, person


def _name(params):
    return f"w1={params.w1:g} sigma_alpha={params.sigma_alpha:g}"
