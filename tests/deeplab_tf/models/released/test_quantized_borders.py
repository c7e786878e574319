"""The CRF after the authors' quantized MobileNetV2: borders of real objects get no worse."""

import numpy as np
import pytest
from PIL import Image

from crf import CRFParams, refine
from deeplab_tf.evaluation.boundary import BoundaryScores
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.models import import_tensorflow

# Weaker than the defaults, which erase most of a boat and a horse that the network half finds;
# each is the only one of its class in these images.
MILD = CRFParams(w1=2, sigma_alpha=20, sigma_beta=4, w2=1, iterations=5)


@pytest.mark.slow
def test_boundary_iou_before_and_after_the_crf(weights, voc_pairs):
    network = import_tensorflow(weights / "deeplabv3_mnv2_pascal_quant.tflite").model
    params = {"no CRF": None, "mild CRF": MILD, "default CRF": CRFParams()}
    scores = {name: BoundaryScores(21) for name in params}
    for path in sorted((voc_pairs / "JPEGImages").glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB"))
        truth = np.asarray(Image.open(voc_pairs / "SegmentationClass" / f"{path.stem}.png"))
        before = predict_probabilities(network, image, pad_to=513)
        for name, chosen in params.items():
            after = refine(before, image, chosen) if chosen else before
            scores[name].add(truth, after.argmax(-1).astype(np.uint8))
    mean = {name: float(score.miou) for name, score in scores.items()}
    print(f"boundary IoU, mean of the classes: {mean}")
    assert mean["mild CRF"] >= mean["no CRF"]
    # The common classes get better with both.
    labels = scores["no CRF"].per_class_iou
    for name in ("mild CRF", "default CRF"):
        gains = scores[name].per_class_iou - labels
        assert gains[0] > 0.01 and gains[15] > 0.01  # background, person
