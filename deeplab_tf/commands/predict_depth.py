"""What `predict` does with a network that predicts depth."""

from deeplab_tf.commands.flags.crf import CRF_FLAGS
from deeplab_tf.commands.flags.depth import depth_settings
from deeplab_tf.commands.outputs import plan_image_outputs
from deeplab_tf.commands.prediction_outputs import OF_CLASSES, ImagePlan
from deeplab_tf.evaluation.depth import predict_depth
from deeplab_tf.evaluation.depth_pictures import depth_panel, depth_picture, depth_png
from deeplab_tf.evaluation.inference import fix_weights
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture

# The flags that are about classes, or about depth maps that a network sees.
UNUSED_FLAGS = (*CRF_FLAGS, *OF_CLASSES, "depth_dir", "camera")

ENDINGS = {"depth": "", "colors": "_colors"}  # of the two files of an image


def depth_stages(flags, model):
    """The function that predicts the depth of an image.

    Args:
      flags: the parsed flags of `predict`.
      model: the network.

    Returns:
      Function from an image (H, W, channels) uint8 and `max_side` to an iterable of one pair,
      (caption, depth (H, W) float32 in meters).

    Raises:
      InputError: if a flag makes no sense for depth.
    """
    settings, network = depth_settings(flags, UNUSED_FLAGS), fix_weights(model)

    def stages_of(image, max_side):
        yield "network", predict_depth(network, image, max_side=max_side, **settings)

    return stages_of


def plan_depth_outputs(flags, images):
    """Choose the files to write for each image, see `plan_image_outputs`; list of `ImagePlan`."""
    return [
        ImagePlan(image, dict(zip(ENDINGS, paths, strict=True)), None)
        for image, *paths in plan_image_outputs(images, flags.out_dir, ENDINGS.values())
    ]


class DepthWriter:
    """Writes the depth of one image after another, and at the end the picture of all together.

    Args:
      flags: the parsed flags.

    Attributes:
      written: list of the paths of all files so far.
    """

    def __init__(self, flags):
        self._flags, self._rows, self.written = flags, [], []

    def write(self, plan, image, stages):
        """Write the files of one image.

        Args:
          plan: its `ImagePlan`.
          image: (H, W, 3) uint8 RGB.
          stages: yields (caption, depth (H, W) float32 in meters), the result last.
        """
        *_, (_, depth) = stages
        write_file(plan.pictures["depth"], depth_png(depth))
        write_file(plan.pictures["colors"], encode_picture(depth_picture(depth)))
        self.written += plan.files
        if self._flags.panel_out and len(self._rows) < self._flags.panel_rows:
            self._rows.append((image, depth))

    def finish(self, left_out):
        """Write the picture of all images; `left_out`: a line for each failure, not used."""
        if self._rows:
            write_file(self._flags.panel_out, encode_picture(depth_panel(self._rows)))
            self.written.insert(0, self._flags.panel_out)
