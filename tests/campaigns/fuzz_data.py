"""Small lists, settings, annotations, records, archives and answers: seeds of the campaign."""

import gzip
import io
import json
import zipfile
from dataclasses import asdict

import numpy as np
import scipy.io
import tensorflow as tf
from fuzz_files import tarred, undated, written, zipped
from fuzz_images import IMAGE, LABEL
from tiny_archives import jpeg, palette_png, png, sbd_mat
from tiny_nyu import write_nyu
from tiny_packed import CRF, LABELS
from tiny_parts import coco_content, mat_file, part_annotation

from crf import CRFParams
from deeplab_tf.data.label_sets import PASCAL_CONTEXT, VOC
from deeplab_tf.data.prepare.coco_voc import COCO_NAMES
from deeplab_tf.data.records import METADATA
from deeplab_tf.export.description import Description
from deeplab_tf.head_labels import HeadLabels


def lists():
    paths = {f"data/JPEGImages/{name}.png": png(IMAGE) for name in ("a", "b", "a b")}
    line = "/JPEGImages/a.png /SegmentationClass/a.png\nb.png\na b\n"
    place = "data/ImageSets/Segmentation/train.txt"
    return [{place: text.encode(), **paths} for text in ("a\nb\n", line, "../a\nb\n")]


def flagfiles():
    more = b"--flagfile=more.flags\n--backbone=vgg16\n# comment\n--steps=3\n--nomirror\n"
    one = {"main.flags": b"--steps=10\n--learning_rate=1e-3\n--scales=0.5,1\n--backbone=resnet50\n"}
    return [one, {"main.flags": more, "more.flags": b"--crop_size=321\n"}]


def labels():
    def write(folder, labels):
        labels.save(folder / "labels.json")

    heads = HeadLabels(("things", "surfaces"), (VOC, LABELS))
    return [written(write, one) for one in (VOC, LABELS, heads)]


def run():
    run = {
        "dataset": "voc", "data_dir": "/data", "network": {"backbone": "vgg16", "num_classes": 4},
        "splits": {"train": {"list": "train", "images": 3}, "val": {"list": "val", "images": 2}},
        "classes": asdict(LABELS), "testing": {"scales": ["1", "0.5"], "pad_to": 513},
        "flags": ["--steps=10"],
    }  # fmt: skip
    return [{"run.json": json.dumps(run, indent=1).encode()}]


def crf():
    def write(folder, params):
        params.save(folder / "crf.json")

    both = CRFParams(), CRFParams(compatibility=((0, 1.5), (0.5, 0)))
    return [written(write, params) for params in both]


def description():
    taken = {"channels": 3, "order": "RGB", "range": [0, 255], "size": None}
    found = Description(asdict(LABELS), 8, taken, {"scales": [1.0]}, asdict(CRFParams(**CRF)))
    return [{"description.json": found.to_json().encode()}]


def sbd():
    label = np.minimum(LABEL, 20)
    plain = io.BytesIO()
    scipy.io.savemat(plain, {"GTcls": {"Segmentation": label}})
    return [{"label.mat": undated(contents)} for contents in (sbd_mat(label), plain.getvalue())]


def context():
    names = ("unknown", *PASCAL_CONTEXT.names[1:])
    text = "".join(f"{number}: {name}\n" for number, name in enumerate(names, 1)).encode()
    mat = undated(mat_file({"LabelMap": np.uint16(LABEL % 60)}))
    return [{"labels.txt": text, "label.mat": mat}]


def parts():
    mask = LABEL > 2
    objects = [("person", mask, {"head": mask, "llarm": ~mask}), ("dog", mask, {"tail": mask})]
    return [{"parts.mat": undated(part_annotation("a", some))} for some in (objects, [])]


def nyu():
    def write(folder):
        images = np.stack([IMAGE, IMAGE])
        numbers = {"trainNdxs": [1], "testNdxs": [2]}
        write_nyu(folder, images, images[..., 0], images[..., 0] % 6, numbers)

    return [written(write)]


def coco():
    categories = {number: COCO_NAMES.get(x, x) for number, x in enumerate(VOC.names[1:], 1)}
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    runs = {"size": [24, 32], "counts": [0, 24 * 16, 24 * 16]}
    entries = [(1, 1, square, 0), (1, 15, runs, 1), (2, 3, square, 0)]
    content = coco_content(categories, {1: (24, 32), 2: (24, 32)}, entries)
    return [{"instances.json": json.dumps(content).encode()}]


def _record(image, label):
    features = {"image": image, "label": label}
    wrapped = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for key, value in features.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=wrapped))
    return example.SerializeToString(deterministic=True)


def records():
    def write(folder):
        place = folder / "tiny" / "1.0.0"
        place.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(place / "tiny-train.tfrecord-00000-of-00001")) as file:
            for _ in range(2):
                file.write(_record(jpeg(IMAGE), palette_png(np.minimum(LABEL, 3))))
        metadata = {
            "classes": LABELS.names, "colors": LABELS.colors, "void_color": LABELS.void_color,
            "names": {"train": ["a", "b"]}, "lists": {"all": ["train"]},
        }  # fmt: skip
        (place / METADATA).write_text(json.dumps(metadata))
        (place / "dataset_info.json").write_text("{}")

    return [written(write)]


def archives(name, pack):
    members = {"a/b.txt": b"text" * 9, "a/c.png": png(IMAGE), "d": b""}
    return [{name: contents} for contents in pack(members)]


def tars(members):
    links = [{"a/link": target, "a/link/b": b"x"} for target in ("/tmp", "..")]
    outside = [{name: b"x"} for name in ("../out", "/tmp/out", "a/../../out")]
    yield from (tarred(one) for one in (members, *links, *outside))
    yield from (tarred(members, kind) for kind in ("w:xz", "w:bz2"))
    yield gzip.compress(tarred(members), mtime=0)


def zips(members):
    outside = [{name: b"x"} for name in ("../out", "/tmp/out", "a/../../out", "a\\..\\out")]
    yield from (zipped(one) for one in (members, *outside))
    yield zipped(members, zipfile.ZIP_DEFLATED)
    yield zipped({"big": bytes(30 << 20)}, zipfile.ZIP_DEFLATED)


def probabilities():
    file = io.BytesIO()
    values = np.full((4, 5, 2), 0.5, np.float32)
    np.savez(file, probabilities=values, classes=np.array(["a", "b"]), source=np.array("network"))
    return [{"scores.npz": undated(file.getvalue())}]


def answers():
    good = ["HTTP/1.1 200 OK", "Content-Length: 40"]
    part = ["HTTP/1.1 206 Partial Content", "Content-Range: bytes 7-39/40", "Content-Length: 33"]
    scripts = [
        (0, [(good, 40)]),
        (7, [(part, 33)]),
        (7, [(good, 40)]),
        (0, [(good, 10), (good, 30)]),
        (0, [(good, 90)]),
        (0, [(["HTTP/1.1 200 OK"], 40)]),
        (0, [(["HTTP/1.1 302 Found", "Location: file:///etc/hostname"], 0)]),
        (0, [(["HTTP/1.1 302 Found", "Location: /file"], 0)]),
        (40, [(["HTTP/1.1 416 Range Not Satisfiable", "Content-Range: bytes */40"], 0)]),
        (0, [(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], 9)]),
        (0, [(["HTTP/1.1 500 No", "Content-Length: 3"], 3)]),
    ]
    return [answer(start, answers) for start, answers in scripts]


def answer(start, answers):
    """An input of the downloader: bytes that it has already, and what the server answers."""
    rows = [{"head": head, "body": size, "pause": 0, "drip": 0} for head, size in answers]
    return {"answers.json": json.dumps({"start": start, "answers": rows}).encode()}
