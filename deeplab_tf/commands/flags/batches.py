"""The flags of the training images: lists, crops, augmentation and tiles."""

from deeplab_tf.commands.flags.data import image_channels
from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.commands.flags.heads import read_heads
from deeplab_tf.commands.flags.objective import learns_depth
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.models import padding_color


def define_batch_flags(values):
    """Define the flags of the training images."""
    define = heading(values, "Training images")
    define.string("train_split", "train", "List of the images to train on.")
    define.integer(
        "batch_size",
        10,
        "Number of images in a step, over all devices; paper: 10.",
        lower_bound=1,
    )
    define.integer(
        "crop_size", 321, "Height and width of the crops in pixels; paper: 321.", lower_bound=1
    )
    define.float("scale_low", 0.5, "Smallest random scale; paper (ResNet-101): 0.5.", lower_bound=0)
    define.float("scale_high", 1.5, "Largest random scale; paper (ResNet-101): 1.5.", lower_bound=0)
    define.float(
        "scale_step",
        0.0,
        "Step between the scales to draw from; 0: any scale in the range. Paper: 0; the authors' "
        "code: 0.25.",
        lower_bound=0,
    )
    define.bool("mirror", True, "Mirror half of the crops left to right; paper: yes.")
    define.float(
        "jitter",
        0.0,
        "Strength, 0 to 1, of random changes of brightness, contrast, saturation and hue; paper: "
        "0.",
        lower_bound=0,
        upper_bound=1,
    )
    define.integer(
        "tile_size",
        0,
        "For very large images: height and width in pixels of overlapping tiles, each of which is "
        "cropped like an image; 0: whole images.",
        lower_bound=0,
    )
    define.integer(
        "tile_overlap", 0, "Minimum number of pixels that neighboring tiles share.", lower_bound=0
    )


def tile_size(flags):
    """Height and width of a tile, (int, int); None for whole images."""
    return (flags.tile_size, flags.tile_size) if flags.tile_size else None


def batches_from(flags, examples, num_classes, encoding, shard, model):
    """Make the function that `Trainer` gets its batches from.

    Args:
      flags: the parsed flags.
      examples: list of examples to train on.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      shard: (index, count): this worker and the number of workers.
      model: the network to train, which decides the color of the padding.

    Returns:
      Function from the number of batches to skip to a `tf.data.Dataset`.
    """
    channels = image_channels(flags)
    padding = padding_color(model, channels)

    def batches(start):
        return training_batches(
            examples,
            num_classes=num_classes,
            batch_size=flags.batch_size,
            crop_size=flags.crop_size,
            scale_range=(flags.scale_low, flags.scale_high),
            scale_step=flags.scale_step,
            mirror=flags.mirror,
            jitter=flags.jitter,
            tile_size=tile_size(flags),
            tile_overlap=flags.tile_overlap,
            seed=flags.seed,
            start=start,
            shard=shard,
            encoding=encoding,
            channels=channels,
            heads=len(read_heads(flags)),
            depth=learns_depth(flags),
            padding=padding,
        )

    return batches
