"""The flags of `predict` that find the depth map of each image."""

from pathlib import Path

from deeplab_tf.commands.flags.data import define_input_flag
from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.recall import known_setting
from deeplab_tf.data.depth import CAMERA_FILE, Camera, decode_depth, read_camera
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.inputs import (
    NEED_CAMERA,
    find_depth,
    input_image,
    missing_depth,
)
from deeplab_tf.data.voc import DEPTH_FOLDER
from deeplab_tf.errors import InputError


def define_depth_flags(values):
    """Define --input, --depth_dir and --camera."""
    define_input_flag(values, "Depth", remembered_by="--model")
    define = heading(values, "Depth")
    define.string(
        "depth_dir",
        None,
        "Folder of the depth maps, named like the images: 16-bit PNGs in millimeters, or .npy "
        f"arrays of floats in meters. Default: the folder {DEPTH_FOLDER} beside that of the image, "
        "as in VOC layout.",
    )
    define.string(
        "camera",
        None,
        "fx,fy,cx,cy of the depth maps in pixels, for HHA. Default: those in camera.txt beside the "
        "folder of the depth maps; otherwise those of the training images.",
    )


def scene_reader(flags):
    """The function that adds depth to an image.

    Args:
      flags: the parsed flags.

    Returns:
      Function from the Path of an image and its pixels (H, W, 3) to what the network sees, (H, W,
      C) uint8; None if that is the image itself.

    Raises:
      InputError: if a flag cannot be used.
    """
    if flags.input == "rgb":
        reason = "has no effect without depth: give --input=rgbd, hha or rgb_hha, or leave it out"
        refuse_given(flags, ["depth_dir", "camera"], reason)
        return None
    if flags.input not in NEED_CAMERA:
        refuse_given(flags, ["camera"], f"has no effect with --input={flags.input}; leave it out")
    given = Camera.parse(flags.camera) if flags.camera else None
    trained = known_setting(flags.model, "camera", Camera.parse)

    def read(path, image):
        folder = Path(flags.depth_dir or path.parent.parent / DEPTH_FOLDER)
        camera = given
        if camera is None and flags.input in NEED_CAMERA:
            camera = read_camera(folder.parent / CAMERA_FILE) or trained
            if camera is None:
                raise InputError(
                    f"{path}: --input={flags.input} needs the camera matrix; give "
                    "--camera=fx,fy,cx,cy"
                )
        file = find_depth(folder, path.stem)
        if not file.is_file():
            raise InputError(f"{path}: {missing_depth(file, 'give its folder as --depth_dir')}")
        try:
            return input_image(image, decode_depth(read_file(file)), flags.input, camera)
        except InputError as error:
            raise InputError(f"{path}: {file}: {error}") from None

    return read
