"""The multi-scale features of DeepLab v1 ("MSc"), which later versions dropped.

The image and the first four poolings of VGG-16 each feed a network of two layers, 3x3 and 1x1
with 128 filters; the 5 x 128 channels stand beside fc7's when fc8 scores the classes (DeepLab v1,
section 4.3). The rest of the network stays as it was trained without them: only fc8 and the
layers of this file, whose names start with "msf_", are trained.
"""

from keras import layers

CHANNELS = 128
NEW_LAYERS = r"^(msf_|fc8)"  # what is trained, as an expression for the layers' names


def multi_scale_features(network, output_stride):
    """The 640 channels from the image and the poolings of a dense VGG-16.

    Args:
      network: keras.Model, as `build_backbone("vgg16", ...)` makes it.
      output_stride: pixels per cell of the result, 8 in the paper.

    Returns:
      `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, 640)`.
    """
    taps, pixels = {"image": network.get_layer("preprocessing").output}, 1
    strides = {"image": output_stride}
    for block in (1, 2, 3, 4):
        pixels = min(2 * pixels, output_stride)
        taps[f"pool{block}"] = network.get_layer(f"block{block}_pool").output
        strides[f"pool{block}"] = output_stride // pixels
    branches = [_branch(tap, name, strides[name]) for name, tap in taps.items()]
    return layers.Concatenate(name="msf_features")(branches)


def _branch(x, name, stride):
    # Padded by one cell on all sides, every stride-th window is centred on its cell.
    x = layers.ZeroPadding2D(1, name=f"msf_{name}_padding")(x)
    for number, (size, step) in enumerate(((3, stride), (1, 1)), 1):
        conv = layers.Conv2D(CHANNELS, size, strides=step, name=f"msf_{name}_conv{number}")
        x = layers.ReLU(name=f"msf_{name}_relu{number}")(conv(x))
    return x
