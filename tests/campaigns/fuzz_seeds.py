"""The small valid files from which the fuzzing campaign makes its inputs.

`SEEDS` has, for each reader of fuzz_readers.py, a function that returns a list of inputs; an input
is {name below the given folder: bytes}. Some are hostile from the start. The same bytes come out
at any time, so that a seed of the campaign gives the same inputs.
"""

import fuzz_data
import fuzz_images
import fuzz_networks


def _named(name, make):
    return lambda: [{name: contents} for contents in make()]


def _texts(name, *texts):
    return lambda: [{name: text.encode()} for text in texts]


SEEDS = {
    "image jpg": _named("image.jpg", fuzz_images.jpegs),
    "image png": _named("image.png", fuzz_images.pngs),
    "image tif": _named("image.tif", fuzz_images.tiffs),
    "image bmp": _named("image.bmp", fuzz_images.bmps),
    "image webp": _named("image.webp", fuzz_images.webps),
    "image npy": _named("image.npy", fuzz_images.arrays),
    "served": fuzz_images.requests,
    "channels png": _named("image.png", fuzz_images.pngs),
    "channels tif": _named("image.tif", fuzz_images.tiffs),
    "label png": _named("label.png", fuzz_images.pngs),
    "label tif": _named("label.tif", fuzz_images.tiffs),
    "label bmp": _named("label.bmp", fuzz_images.bmps),
    "label webp": _named("label.webp", fuzz_images.webps),
    "depth png": _named("depth.png", fuzz_images.pngs),
    "depth npy": _named("depth.npy", fuzz_images.depths),
    "camera.txt": _texts("camera.txt", "519,519,320,240", "519 519\n320.5 240\n"),
    "list": fuzz_data.lists,
    "entries": _texts("train.txt", "a\nb\n", "JPEGImages/a.jpg masks/a.png\nb.png\n"),
    "classes.txt": _texts("classes.txt", "a\nb\nvoid\n", "sky 1 2 3\nroad 4,5,6\nold 7 8 9 void\n"),
    "flagfile": fuzz_data.flagfiles,
    "labels.json": fuzz_data.labels,
    "run.json": fuzz_data.run,
    "crf json": fuzz_data.crf,
    "description": fuzz_data.description,
    "mat sbd": fuzz_data.sbd,
    "mat context": fuzz_data.context,
    "mat parts": fuzz_data.parts,
    "mat nyu": fuzz_data.nyu,
    "coco json": fuzz_data.coco,
    "caffemodel": fuzz_networks.caffemodels,
    "checkpoint": fuzz_networks.checkpoints,
    "frozen graph": fuzz_networks.graphs,
    "network tar": fuzz_networks.tars,
    "training": fuzz_networks.trainings,
    "keras": lambda: fuzz_networks.models("keras"),
    "h5": lambda: fuzz_networks.models("h5"),
    "port h5": fuzz_networks.ports,
    "packed npz": fuzz_networks.packed_networks,
    "pth": fuzz_networks.torch_files,
    "tflite": fuzz_networks.tflites,
    "tfrecord": fuzz_data.records,
    "tar": lambda: fuzz_data.archives("data.tar", fuzz_data.tars),
    "zip": lambda: fuzz_data.archives("data.zip", fuzz_data.zips),
    "probabilities": fuzz_data.probabilities,
    "http": fuzz_data.answers,
}
