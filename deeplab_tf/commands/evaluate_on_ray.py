"""`evaluate --runner=ray`: score a data set on a Ray cluster."""

from tqdm import tqdm

from deeplab_tf.commands.flags.runner import workers_of
from deeplab_tf.scale.model_files import read_model
from deeplab_tf.scale.scorer import score_on_ray
from deeplab_tf.scale.session import ray_session


def evaluate_on_ray(flags, job, examples, results, files, predictions):
    """Score all examples, and write their labels.

    Args:
      flags: the parsed flags of `evaluate`.
      job: `ScoreJob`.
      examples: list of `Example`, `RecordExample` or `DepthExample`.
      results: list of `ResultScores`, before and after the CRF, which are updated.
      files: `PredictionFiles`, or None to write no labels.
      predictions: folder to write them to.

    Returns:
      The images for the picture, a list of (image, truth, *labels).
    """
    shown = []

    def write(example, labels):
        files.write(predictions, example.name, labels)

    network = read_model(flags.model, flags.output_stride, flags.precision)
    with ray_session(flags.ray_address) as ray:
        plan = workers_of(flags, ray)
        parts = score_on_ray(ray, plan, network, job, examples, results, write, tqdm.write)
        with tqdm(total=len(examples), unit="image", smoothing=0.05) as bar:
            for count, images in parts:
                shown += images
                bar.update(count)
    return [images for _, images in sorted(shown, key=lambda pair: pair[0])]
