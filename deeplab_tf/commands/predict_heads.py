"""What `predict` writes for a network with several score heads: a folder for each head."""

from deeplab_tf.commands.prediction_outputs import PredictionWriter, plan_outputs
from deeplab_tf.models.score_heads import slices_of

# The flags of what is made for one label space.
OF_ONE_HEAD = ("crf", "class_maps", "probabilities_out", "contact_sheet_out", "panel_out")


class HeadsWriter:
    """Writes the labels and pictures of every head into the folder of --out_dir and its name.

    The arguments and methods are those of `PredictionWriter`.

    Args:
      flags, source, count, arguments: see `PredictionWriter`.
      labels: `HeadLabels` of the network.
    """

    def __init__(self, flags, labels, source, count, arguments):
        self._writers = {
            head: PredictionWriter(flags, label_set, source, count, arguments)
            for head, label_set in labels.items()
        }
        self._heads = slices_of(labels.sizes)
        self._plans = {
            head: {one.image: one for one in plan_outputs(flags, arguments, head)}
            for head in labels.heads
        }

    @property
    def written(self):
        """Paths of all files so far."""
        return [path for writer in self._writers.values() for path in writer.written]

    def write(self, plan, image, stages):
        """Write the files of one image; see `PredictionWriter.write`."""
        stages = list(stages)
        for head, part in self._heads.items():
            own = [(caption, probabilities[..., part]) for caption, probabilities in stages]
            self._writers[head].write(self._plans[head][plan.image], image, own)

    def finish(self, left_out):
        """Write the files of all images; see `PredictionWriter.finish`."""
        for writer in self._writers.values():
            writer.finish(left_out)
