"""Training a network together with the CRF that follows it.

The loop trains one model, made by `deeplab_tf.models.with_crf`. Its two parts are saved separately:
the network alone, as in every training run, and the CRF's parameters in a JSON file next to it.
"""

from dataclasses import dataclass
from pathlib import Path

from deeplab_tf.models.with_crf import network_and_crf
from deeplab_tf.training.checkpoints import save_model
from deeplab_tf.training.validation import Validation


def crf_path(path):
    """The file of the CRF's parameters next to a network: `best_crf.json` for `best.keras`."""
    path = Path(path)
    return path.with_name(f"{path.stem}_crf.json")


def crf_rules(rate):
    """The optimizer's rules for the CRF's variables; they come before all others.

    They have no weight decay, since a compatibility of zeros would switch the CRF off.

    Args:
      rate: learning-rate multiplier of w1, w2 and the label compatibility.

    Returns:
      Rules for `LayerwiseSGD` and `LayerwiseAdam`.
    """
    return ((r"(^|/)crf/(w1|w2|compatibility)$", rate, 0.0),)


@dataclass(frozen=True)
class CRFTraining:
    """How `Trainer` scores and saves a network with a CRF.

    Example:
      >>> model = with_crf(build_deeplab(...), CRFParams(iterations=5), trainable=True)
      >>> joint = CRFTraining(iterations=10, validation=validation)
      >>> Trainer(
      ...     model, optimizer, ProbabilityObjective(), make_batches, settings,
      ...     validate=joint.score, save=joint.save,
      ... ).run()

    Attributes:
      iterations: mean field iterations of the CRF in validation and in the saved files; training
        uses those of the model's own layer.
      validation: `Validation`, which `score` needs.
    """

    iterations: int = 10
    validation: Validation | None = None

    def score(self, model):
        """Mean IoU, 0 to 1, after the CRF, pictures and curves; see `Validation.score`."""
        return self.validation.score(*self._parts(model))

    def save(self, model, path):
        """Write the network to `path` and the CRF's parameters to `crf_path(path)`.

        Each file is complete at any time, but if training is killed between the two, it leaves the
        newer CRF next to the older network.
        """
        network, params = self._parts(model)
        params.save(crf_path(path))
        save_model(network, path)

    def _parts(self, model):
        """The network of a refined model and the `crf.CRFParams` that it has learned."""
        network, crf = network_and_crf(model)
        return network, crf.learned_params(self.iterations)
