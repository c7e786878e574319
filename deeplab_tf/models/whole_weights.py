"""Loading the weights of a whole trained network into a new one, also of another output stride."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous import OUTPUT_STRIDES
from deeplab_tf.models.foreign_weights import describe_foreign
from deeplab_tf.models.output_stride import single_scale, with_output_stride
from deeplab_tf.models.weights import MISMATCHES, load_strictly


def load_whole(model, path, backbone, build_at):
    """Load a whole network's weights, as `model.save` or `model.save_weights` wrote them.

    Args:
      model: the network of one scale to fill.
      path: `.keras`, `.weights.h5` or `.h5` file.
      backbone: its name, for messages.
      build_at: function from an output stride to the same network, unfilled, at this stride.

    Returns:
      keras.Model: `model`, or the file's network at the model's finer output stride, see
      `with_output_stride`.

    Raises:
      InputError: if the file belongs to another network, or to one of a finer output stride.
    """
    try:
        if path.suffix == ".keras":
            saved = single_scale(keras.saving.load_model(path))
        else:
            saved = _load_at_any_stride(model, path, build_at)
        if saved is not model:
            model.set_weights(saved.get_weights())
        found = _output_stride(saved)
    except MISMATCHES as error:
        raise InputError(
            f"weights {path} fit neither the backbone {backbone!r} nor the whole network "
            f"{model.name!r}: {describe_foreign(path, model, backbone)}"
        ) from error
    wanted = _output_stride(model)
    if found in (wanted, None):  # with a decoder also where the backbones' strides differ
        return model
    if found < wanted:
        raise InputError(
            f"weights {path} are those of a network with output stride {found}, which cannot "
            f"become coarser; build it with build_deeplab(..., output_stride={found}, "
            f"weights={str(path)!r}) or train the coarser one from these weights with start_from "
            "(--init_from)"
        )
    return with_output_stride(saved, wanted)


def _load_at_any_stride(model, path, build_at):
    """Load a weights file into the network of the output stride that it was saved from.

    Keras finds the weights by the classes of the layers, which differ between output strides.

    Returns:
      keras.Model: the network that has the weights, `model` if they are of its output stride.
    """
    wanted, mismatch = _output_stride(model), None
    for stride in (wanted, *(other for other in OUTPUT_STRIDES[3:] if other != wanted)):
        network = model if stride == wanted else build_at(stride)
        try:
            load_strictly(network, path)
        except MISMATCHES as error:
            mismatch = mismatch or error  # that of the wanted stride
        else:
            return network
    raise mismatch


def _output_stride(model):
    """Pixels per score cell of a network, if this is one of `OUTPUT_STRIDES`; otherwise None."""
    height, width, channels = model.input_shape[1:]
    height = height or 65
    cells = model.compute_output_shape((1, height, width or 65, channels))[1]
    return next((s for s in OUTPUT_STRIDES if (height - 1) // s + 1 == cells), None)
