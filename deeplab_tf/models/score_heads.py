"""Networks with several score heads: one body that scores the classes of several label spaces.

The scores of all heads are the channels of one map, one head after the other, so everything that
resizes, adds or averages scores, or takes their maximum, works as for one head. The network's last
layer, `ScoreHeads`, knows which channels belong to which head; a network without it has one head.
Where scores become probabilities, labels or a loss, each head is treated by itself.
"""

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.head_labels import check_head_names
from deeplab_tf.models.padding import Float32Layer


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ScoreHeads(Float32Layer):
    """Says which channels of the scores belong to which head; the scores stay as they are.

    Args:
      heads: names of the heads, in the order of their channels.
      sizes: number of classes of each.
    """

    def __init__(self, heads, sizes, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.sizes = list(heads), list(sizes)

    def call(self, scores):
        """Return `(B, h, w, C)` as it is."""
        return scores

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "sizes": self.sizes}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class HeadChannels(Float32Layer):
    """The channels from `start` up to, but not including, `stop`.

    Args:
      start, stop: numbers of channels.
    """

    def __init__(self, start, stop, **kwargs):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, scores):
        """Take `(B, h, w, stop - start)` of `(B, h, w, C)`."""
        return scores[..., self.start : self.stop]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "start": self.start, "stop": self.stop}


def with_heads(model, sizes):
    """Divide the scores of a network among several heads.

    Args:
      model: functional keras.Model from images to scores `(B, h, w, C)`; it is shared, not copied.
      sizes: {name of a head: number of its classes}, C classes in all.

    Returns:
      keras.Model with the same inputs and outputs; `score_heads` gives its heads.

    Raises:
      InputError: if the numbers do not add up to the model's channels, a head has a single class,
        or a name cannot be used.

    Example:
      >>> model = with_heads(build_fcn(num_classes=36), {"semantic": 33, "geometric": 3})
      >>> model.compile("sgd", loss=HeadsLoss([33, 3], output_stride=1))
      >>> model.fit(images, labels)  # labels (B, H, W, 2) uint8, 255 = void
    """
    check_head_names(sizes)
    for name, size in sizes.items():
        if size < 2:
            raise InputError(f"head {name} of {size} classes; give at least 2, or leave it out")
    channels, total = model.output_shape[-1], sum(sizes.values())
    if channels != total:
        named = ", ".join(f"{name}:{size}" for name, size in sizes.items())
        raise InputError(
            f"heads {named} have {total} classes, but the model {model.name!r} scores {channels}; "
            f"build it with num_classes={total}"
        )
    scores = ScoreHeads(sizes, sizes.values(), name="score_heads")(model.output)
    return keras.Model(model.input, scores, name=model.name)


def score_heads(model):
    """The score heads of a network.

    Args:
      model: any keras.Model.

    Returns:
      {name of a head: slice of its channels}; {} for a network with one head.
    """
    last = model
    while isinstance(last, keras.Model):
        last = last.layers[-1] if last.layers else None
    if not isinstance(last, ScoreHeads):
        return {}
    return slices_of(dict(zip(last.heads, last.sizes, strict=True)))


def head_sizes(heads):
    """{name of a head: number of its classes} of what `score_heads` returned."""
    return {name: part.stop - part.start for name, part in heads.items()}


def slices_of(sizes):
    """The channels of heads.

    Args:
      sizes: {name of a head: number of its classes}.

    Returns:
      {name: slice}.

    Example:
      >>> slices_of({"semantic": 33, "geometric": 3})
      {'semantic': slice(0, 33, None), 'geometric': slice(33, 36, None)}
    """
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return found


def one_head(model, name):
    """A network that scores the classes of one head alone.

    Args:
      model: network with several heads; it is shared, not copied.
      name: of the head.

    Returns:
      keras.Model from images to scores `(B, h, w, classes of the head)`: an ordinary network.

    Raises:
      InputError: if there is no such head.
    """
    part = find_head(score_heads(model), name, f"the model {model.name!r}")
    scores = HeadChannels(part.start, part.stop, name=f"{name}_scores")(model.output)
    return keras.Model(model.input, scores, name=f"{model.name}_{name}")


def find_head(heads, name, owner):
    """The slice of a head.

    Args:
      heads: what `score_heads` returned.
      name: of the head; None: not given.
      owner: what has the heads, for the message.

    Raises:
      InputError: if there is none of this name.
    """
    if name in heads:
        return heads[name]
    if not heads:
        raise InputError(f"no head {name!r}: {owner} has a single score head; give none")
    what = f"no head {name!r}" if name else "no head is chosen"
    raise InputError(f"{what}; {owner} has the score heads {', '.join(heads)}: choose one of them")


def probabilities_of(scores, heads):
    """Softmax over the classes, of each head by itself.

    Args:
      scores: `(..., C)` float32 tensor.
      heads: what `score_heads` returned.

    Returns:
      `(..., C)` float32 tensor; the classes of each head sum to one.
    """
    if not heads:
        return tf.nn.softmax(scores)
    return tf.concat([tf.nn.softmax(scores[..., part]) for part in heads.values()], axis=-1)


def labels_of(scores, heads):
    """The class of the highest score, of each head by itself.

    Args:
      scores: `(..., C)` tensor of scores or probabilities.
      heads: what `score_heads` returned.

    Returns:
      uint8 tensor `(...)`, or with heads `(..., heads)`: class indices within each head.
    """

    def highest(part):
        return tf.cast(tf.argmax(part, axis=-1, output_type=tf.int32), tf.uint8)

    if not heads:
        return highest(scores)
    return tf.stack([highest(scores[..., part]) for part in heads.values()], axis=-1)
