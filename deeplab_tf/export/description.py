"""What an exported file says of its network besides the graph, so that the file alone is enough."""

from dataclasses import asdict, dataclass, field

import deeplab_tf
from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.models.record import NetworkRecord
from deeplab_tf.models.resize import find_output_stride

KEY = "deeplab_tf"  # its name in the metadata of a file


@dataclass(frozen=True)
class Description(NetworkRecord):
    """Classes, CRF parameters and settings of an exported network.

    Attributes:
      classes: the arguments of `label_set`, its `LabelSet`, or the `HeadLabels` of its score heads.
      stride: pixels between two positions of the network's scores; None in a SavedModel of an
        older version, which does not say.
      input: "channels" of the images, their "order" and "range" of values, and "size", [height,
        width] in pixels if only one is taken; for a network of depth also "input", the value of
        that flag, and the "camera" of its training data.
      settings: "scales", "flip" and "pad_to" that are part of the graph.
      crf: the arguments of `crf_params`, the `CRFParams` that come along; None: none do.
      has_crf: whether the graph computes this CRF, too; None: not known, as the stride.
      max_side: longer side in pixels at which photographs are best scored; None: not known.
      precision: "float32", or "int8" after quantization.
      limits: of a SavedModel, "max_pixels" and "max_side" of images, see `build_signatures`.
      version: of this package, which exported it; None: an older one.
      predicts: "classes", or "depth" of a network that predicts it, without classes.
    """

    FORMAT = 1
    ADDED = ("limits", "version", "predicts")

    classes: dict
    stride: int | None
    input: dict
    settings: dict = field(default_factory=dict)
    crf: dict | None = None
    has_crf: bool | None = False
    max_side: int | None = None
    precision: str = "float32"
    limits: dict | None = None
    version: str | None = None
    predicts: str = "classes"

    @property
    def label_set(self):
        """The `LabelSet` of its classes, or `HeadLabels`; None: it predicts depth."""
        return None if self.predicts == "depth" else super().label_set

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` made.

        Raises:
          InputError: if it is something else, or of a later version.
        """
        try:
            found = super().from_json(text)
            _ = found.stride + 0, found.input["channels"] + 0
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"its description {KEY!r} is damaged ({error})") from None
        return found


def describe_export(model, label_set, crf, settings, image_size=None, depth_input=None, **more):
    """The `Description` of a Keras model that is about to be exported.

    Args:
      model: the Keras model.
      label_set: its `LabelSet`, or the `HeadLabels` of its score heads; None if it predicts depth.
      crf: `CRFParams`, or None.
      settings: (scales, flip, pad_to).
      image_size: (height, width) in pixels of the only images that it takes; None: any.
      depth_input: {"input": ..., "camera": ...} for `Description.input`; None: color images.
      more: `has_crf`, `max_side`, `precision` and `limits`, see `Description`.

    Returns:
      `Description`.

    Raises:
      InputError: if `crf` is something else, or the model has other inputs or outputs than
        `find_output_stride` takes.
    """
    if crf is not None and not isinstance(crf, CRFParams):
        raise InputError(f"crf is {crf!r}; give CRFParams, or None")
    if crf is not None and isinstance(label_set, HeadLabels):
        heads = ", ".join(label_set.heads)
        raise InputError(f"the CRF refines one head; choose one of {heads} by one_head")
    if crf is not None and predicts_depth(model):
        raise InputError("the network predicts depth, which a CRF of classes cannot refine")
    taken = {"channels": model.input_shape[-1], "order": "RGB", "range": [0, 255]}
    scales, flip, pad_to = settings
    return Description(
        classes={} if label_set is None else asdict(label_set),
        stride=find_output_stride(model),
        input={
            **taken,
            "size": list(image_size) if image_size else None,
            **(depth_input or {}),
        },
        settings={"scales": list(scales), "flip": flip, "pad_to": pad_to},
        crf=None if crf is None else asdict(crf),
        version=deeplab_tf.__version__,
        predicts="depth" if predicts_depth(model) else "classes",
        **more,
    )
