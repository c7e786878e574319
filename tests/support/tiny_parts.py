"""Tiny archives of the data sets other than VOC, and reading the records made from them."""

import io
import json

import numpy as np
from scipy.io import savemat
from tiny_archives import gradient, jpeg, pack, png

from deeplab_tf.data.label_png import decode_label
from deeplab_tf.data.prepare import prepare
from deeplab_tf.data.records import read_prepared


def prepare_tiny(dataset, tmp_path, **options):
    """Prepare from tmp_path / "archives", without downloads, into tmp_path / "data"."""
    return prepare(
        dataset,
        tmp_path / "downloads",
        tmp_path / "data",
        manual_dir=tmp_path / "archives",
        options=options,
        trust_archives=True,
    )


def contents_of(tmp_path, archives):
    """{key: Path} of what `prepare_tiny` extracted from {key: `Archive`}."""
    extracted = tmp_path / "downloads" / "extracted"
    return {key: next(extracted.glob(f"{one.file_name}.*")) for key, one in archives.items()}


def read_examples(tmp_path, dataset, split):
    """{name: (bytes of the image, label map)} of a prepared list, in its order."""
    contents = {e.name: e.read() for e in read_prepared(tmp_path / "data", dataset, split)}
    return {name: (image, decode_label(label)) for name, (image, label) in contents.items()}


def write_voc2010(folder, lists, shape):
    """VOCtrainval_03-May-2010.tar with images of `shape`; `lists`: {"train": names, ...}.

    Returns:
      {name: bytes of the image}.
    """
    names = [name for split in lists.values() for name in split]
    images = {name: jpeg(gradient(seed, shape)) for seed, name in enumerate(names)}
    files = {f"JPEGImages/{name}.jpg": image for name, image in images.items()}
    for split, listed in {**lists, "trainval": names}.items():
        files[f"ImageSets/Main/{split}.txt"] = "".join(f"{name}\n" for name in listed)
    files = {f"VOCdevkit/VOC2010/{path}": contents for path, contents in files.items()}
    pack(folder / "VOCtrainval_03-May-2010.tar", files)
    return images


def write_pascal_context(folder, class_list, label_maps):
    """Label maps {name: (H, W) array}, and labels.txt with the names of `class_list` from 1 on."""
    files = {
        f"trainval/{name}.mat": mat_file({"LabelMap": np.asarray(label_map, np.uint16)})
        for name, label_map in label_maps.items()
    }
    lines = [f"{index}: {name}\n" for index, name in enumerate(class_list, start=1)]
    pack(folder / "pascal_context_trainval.tar.gz", {**files, "labels.txt": "".join(lines)})


def write_pascal_part(folder, annotations):
    """Annotations {name: [(class name, mask, {part name: mask})]}."""
    files = {
        f"Annotations_Part/{name}.mat": part_annotation(name, objects)
        for name, objects in annotations.items()
    }
    pack(folder / "pascal_part_trainval.tar.gz", files)


def part_annotation(name, objects):
    """Contents of a .mat file of PASCAL-Part with these objects, as for `write_pascal_part`."""
    entries = [
        {
            "class": kind,
            "class_ind": 15 if kind == "person" else 1,
            "mask": np.asarray(mask, np.uint8),
            "parts": struct_array(
                {"part_name": part, "mask": np.asarray(part_mask, np.uint8)}
                for part, part_mask in parts.items()
            ),
        }
        for kind, mask, parts in objects
    ]
    return mat_file({"anno": {"imname": name, "objects": struct_array(entries)}})


def write_cityscapes(folder, label_ids):
    """Both archives, from {(split, city, name): (H, W) array of label ids}.

    Returns:
      {name: bytes of the image}.
    """
    images, labels, by_name = {"README": "", "license.txt": ""}, {"README": ""}, {}
    for seed, ((split, city, name), ids) in enumerate(label_ids.items()):
        ids = np.asarray(ids, np.uint8)
        by_name[name] = png(gradient(seed, ids.shape))
        images[f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png"] = by_name[name]
        start = f"gtFine/{split}/{city}/{name}_gtFine"
        labels[f"{start}_labelIds.png"] = png(ids)
        labels[f"{start}_instanceIds.png"] = png(ids.astype(np.uint16) * 1000)
        labels[f"{start}_polygons.json"] = "{}"
    pack(folder / "leftImg8bit_trainvaltest.zip", images)
    pack(folder / "gtFine_trainvaltest.zip", labels)
    return by_name


def coco_content(categories, sizes, annotations):
    """COCO's JSON as a dict.

    Args:
      categories: {id: name}.
      sizes: {image id: (height, width)}.
      annotations: list of (image id, category id, segmentation, iscrowd).
    """
    entries = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": segmentation,
            "iscrowd": is_crowd,
            "bbox": [0.0, 0.0, 1.0, 1.0],
            "area": 1.0,
        }
        for number, (image, category, segmentation, is_crowd) in enumerate(annotations, start=1)
    ]
    images = [
        {"id": image, "file_name": f"{image:012d}.jpg", "height": height, "width": width}
        for image, (height, width) in sizes.items()
    ]
    kinds = [{"id": index, "name": name} for index, name in categories.items()]
    return {"images": images, "annotations": entries, "categories": kinds}


def write_coco(folder, contents):
    """The three archives, from {"train": coco_content(...), "val": coco_content(...)}.

    Returns:
      {name: bytes of the image}.
    """
    texts, by_name = {}, {}
    for split, content in contents.items():
        texts[f"annotations/instances_{split}2017.json"] = json.dumps(content)
        texts[f"annotations/captions_{split}2017.json"] = "{}"
        images = {
            entry["file_name"]: jpeg(gradient(entry["id"], (entry["height"], entry["width"])))
            for entry in content["images"]
        }
        pack(
            folder / f"{split}2017.zip",
            {f"{split}2017/{name}": image for name, image in images.items()},
        )
        by_name.update({name.removesuffix(".jpg"): image for name, image in images.items()})
    pack(folder / "annotations_trainval2017.zip", texts)
    return by_name


def mat_file(variables):
    """The bytes of a .mat file of {name: value}, compressed as MATLAB writes them."""
    stream = io.BytesIO()
    savemat(stream, variables, do_compression=True)
    return stream.getvalue()


def struct_array(items):
    """What `savemat` writes as a 1xN struct array, from dicts; MATLAB's own [] if N is 0."""
    items = list(items)
    if not items:
        return np.zeros((0, 0))
    # savemat writes a list of dicts as a cell array.
    array = np.zeros((1, len(items)), [(key, object) for key in items[0]])
    for index, item in enumerate(items):
        array[0, index] = tuple(item.values())
    return array
