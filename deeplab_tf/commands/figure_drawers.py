"""What each figure of the command `figures` takes from its flags, and what draws it."""

import heapq

import numpy as np
from tqdm import tqdm

from deeplab_tf.commands.evaluate import open_examples
from deeplab_tf.commands.explain_crf import iterations_shown
from deeplab_tf.commands.flags.crf import card_params, crf_params, given_params
from deeplab_tf.commands.flags.data import open_split, skip_first
from deeplab_tf.commands.flags.heading import refuse_given
from deeplab_tf.commands.flags.model import open_any_model, open_model, segment_settings
from deeplab_tf.commands.predict import read_checked
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_label, load_pair
from deeplab_tf.data.shrink import shrink
from deeplab_tf.data.synthetic import CLASSES, draw_scene
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.figures import atrous, beliefs, failures, fields, trimaps
from deeplab_tf.evaluation.figures.canvas import readable_labels
from deeplab_tf.evaluation.inference import apply_crf, most_probable, predict_probabilities
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.labels import VOID, LabelSet
from deeplab_tf.models.resize import find_output_stride
from deeplab_tf.visualize import is_background


def one_image(images):
    """The path of the image on the command line; None if there is none."""
    if len(images) > 1:
        raise InputError(f"{len(images)} images are given; a figure shows one")
    return images[0] if images else None


def no_image(flags, images):
    """Raise `InputError` if an image is given."""
    if images:
        raise InputError(f"{images[0]}: --figure={flags.figure} takes no image; leave it out")


def open_photograph(images, channels=3):
    """The image on the command line, or a cat of scikit-image, (H, W, channels) uint8."""
    path = one_image(images)
    if path is not None:
        return read_checked(path, channels)
    try:
        from skimage.data import chelsea
    except ImportError:
        raise InputError(
            "no image is given, and the photograph that is shown without one is in the package "
            "scikit-image, which is not installed: name an image, or "
            'pip install "deeplab-tf[photographs]"'
        ) from None
    if channels != 3:
        raise InputError(f"the model takes images of {channels} channels; name an image")
    return chelsea()


def draw_atrous(flags, images):
    """The figure "atrous"."""
    return atrous.compare_resolutions(shrink(open_photograph(images), flags.max_side), flags.rate)


def draw_two_ways(flags, images):
    """The figure "two_ways"."""
    return atrous.two_ways(open_photograph(images), flags.rate)


def draw_fields(flags, images):
    """The figure "fields_of_view", whose sizes are also printed."""
    no_image(flags, images)
    if flags.model:
        reason = "has no effect with --model, whose own layers are measured; leave it out"
        refuse_given(flags, ("backbone", "field_heads"), reason)
        model, _ = open_any_model(flags)
        find_output_stride(model)  # refuses networks of another kind
        found = [fields.Field("network", *fields.measure_field(model, flags.field_side))]
    else:
        if not flags.field_heads:
            raise InputError("--field_heads is empty; name one or more heads")
        found = []
        with tqdm(flags.field_heads, unit="head") as heads:
            for head in heads:
                found += fields.head_fields(head, flags.field_side, flags.backbone)
    print(fields.field_table(found))
    return fields.draw_fields(found)


def draw_beliefs(flags, images):
    """The figure "beliefs"."""
    model, label_set = open_model(flags)
    params = given_params(flags, label_set.num_classes, card_params(flags))
    counts = iterations_shown(flags, params)
    try:
        index = label_set.index_of(flags.class_name) if flags.class_name else None
    except InputError as error:
        raise InputError(f"--class_name: {error}") from None
    image = shrink(open_photograph(images, model.input_shape[-1]), flags.max_side)
    probabilities = predict_probabilities(model, image, **segment_settings(flags))
    stages = {"network": probabilities}
    stages |= {name: apply_crf(probabilities, image, shown) for name, shown in counts.items()}
    if index is None:
        index = largest_class(label_set, probabilities)
    return beliefs.draw_beliefs(image[..., :3], stages, index, label_set.names[index])


def largest_class(label_set, probabilities):
    """The index of the class that covers most pixels, if possible not the background."""
    counts = np.bincount(most_probable(probabilities).ravel(), minlength=label_set.num_classes)
    objects = counts * [not is_background(name) for name in label_set.names]
    return int(np.argmax(objects if objects.any() else counts))


def draw_trimaps(flags, images):
    """The figure "trimaps"."""
    try:
        widths = [int(text) for text in flags.trimap_widths]
    except ValueError:
        widths = []
    if not widths or min(widths) < 1:
        given = ",".join(flags.trimap_widths)
        raise InputError(f"--trimap_widths={given}: give whole numbers of at least 1")
    return trimaps.draw_trimaps(*open_labels(flags, images), widths, flags.trimap_border)


def open_labels(flags, images):
    """The image, label map and `LabelSet` of the trimaps; the image may be None."""
    path, data = one_image(images), ("dataset", "data_dir", "split", "skip")
    if flags.label:
        refuse_given(flags, data, "has no effect with --label; leave out one of them")
        # As many classes as a file can hold; the names are those of the indices.
        classes = readable_labels(LabelSet.generic(VOID).names)
        if path is None:
            return None, load_label(flags.label, VOID), classes
        return *load_pair(Example("", path, flags.label), VOID), classes
    if path is not None:
        raise InputError(f"{path}: --figure=trimaps needs the labels of the image; add --label")
    if flags.data_dir:
        examples, label_set, encoding = open_split(flags, flags.split)
        example = skip_first(flags, examples)[0]
        image, label = load_pair(example, label_set.num_classes, encoding)
        return image, label, label_set
    refuse_given(flags, data, "has no effect without --data_dir; add it")
    image, label = draw_scene(np.random.default_rng(5), (240, 320))
    return image, label, readable_labels(CLASSES)


def draw_failures(flags, images):
    """The figure "failures"; the names of its images are printed."""
    no_image(flags, images)
    model, _ = open_model(flags)
    params = crf_params(flags, model.output_shape[-1])
    examples, label_set, encoding = open_examples(flags, model.output_shape[-1])
    if not examples[0].label:
        raise InputError(
            f"the images of {flags.split} in {flags.data_dir} have no labels to score against; "
            "give another --split"
        )

    found = predict_examples(model, examples, params, encoding, **segment_settings(flags))
    bar = tqdm(found, total=len(examples), unit="image")
    scored = ((prediction, image_mious(prediction, label_set.num_classes)) for prediction in bar)
    known = ((prediction, mious) for prediction, mious in scored if not np.isnan(mious[-1]))
    worst = heapq.nsmallest(flags.panel_rows, known, key=lambda sample: sample[1][-1])
    if not worst:
        raise InputError(f"{flags.split} in {flags.data_dir}: all pixels are void")
    for prediction, mious in worst:
        print(f"{prediction.example.name}: mean IoU {', '.join(f'{miou:.4f}' for miou in mious)}")
    return failures.draw_failures(worst, label_set)


def image_mious(prediction, num_classes):
    """The mean IoU of each of the labels of a `Prediction`; NaN if all its pixels are void."""
    mious = []
    for label in prediction.labels:
        confusion = ConfusionMatrix(num_classes)
        confusion.add(prediction.truth, label)
        mious.append(confusion.miou)
    return mious


DRAWERS = {
    "atrous": draw_atrous,
    "two_ways": draw_two_ways,
    "fields_of_view": draw_fields,
    "beliefs": draw_beliefs,
    "trimaps": draw_trimaps,
    "failures": draw_failures,
}
