"""What changes in the training loop where network and CRF are trained together.

The loop trains one model, as `deeplab_tf.models.with_crf` makes it. What is kept are its parts:
the network alone, as in every training, and the CRF's parameters in a JSON file beside it.
"""

from dataclasses import dataclass
from pathlib import Path

from deeplab_tf.models.with_crf import network_and_crf
from deeplab_tf.training.checkpoints import save_model
from deeplab_tf.training.objectives import ProbabilityObjective
from deeplab_tf.training.validation import Validation


def crf_path(path):
    """The file of the CRF's parameters beside a network: `best_crf.json` of `best.keras`."""
    path = Path(path)
    return path.with_name(f"{path.stem}_crf.json")


def crf_rules(rate):
    """The optimizer's rules for the CRF's variables; they come before all others.

    Nothing decays: a compatibility of zeros is no CRF at all.

    Args:
      rate: learning-rate multiplier of w1, w2 and the compatibility.

    Returns:
      Rules for `LayerwiseSGD` and `LayerwiseAdam`.
    """
    return ((r"(^|/)crf/(w1|w2|compatibility)$", rate, 0.0),)


@dataclass(frozen=True)
class CRFTraining:
    """How a refined model is trained, scored and saved by `Trainer`.

    Example:
      >>> build = lambda: with_crf(build_deeplab(...), CRFParams(iterations=5), trainable=True)
      >>> model, float32_model = build_with_precision(build, "mixed_bfloat16")
      >>> hooks = CRFTraining(iterations=10, validation=validation).hooks()
      >>> Trainer(model, ..., float32_model=float32_model, **hooks).run()

    Attributes:
      iterations: mean field iterations of the CRF in validation, and in the files; in training
        it has those of the model's own layer.
      validation: `Validation`; None: the model is not scored.
      network_learns: whether the network is trained with the CRF; False where it is frozen.
    """

    iterations: int = 10
    validation: Validation | None = None
    network_learns: bool = True

    def hooks(self):
        """The keyword arguments of `Trainer` that depend on what is trained."""
        hooks = {
            "objective": ProbabilityObjective(),
            "save": self.save,
            "training_mode": self.network_learns,
        }
        if self.validation is not None:
            hooks |= {"validate": self.score, "draw": self.draw}
        return hooks

    def parts(self, model):
        """The network of a refined model and the `crf.CRFParams` that it has learned."""
        network, crf = network_and_crf(model)
        return network, crf.learned_params(self.iterations)

    def score(self, model):
        """Mean intersection over union, 0 to 1, after the CRF."""
        return self.validation.score(*self.parts(model))

    def draw(self, model):
        """Pictures of images, truth and what comes out of the CRF."""
        return self.validation.draw(*self.parts(model))

    def save(self, model, path):
        """Write the network to `path` and the CRF's parameters to `crf_path(path)`.

        Each file is whole at any time, but not the pair: a training that is killed between the
        two leaves the newer CRF beside the older network.
        """
        network, params = self.parts(model)
        params.save(crf_path(path))
        save_model(network, path)
