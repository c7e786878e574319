from types import SimpleNamespace

import numpy as np
import pytest
import slim_network
import tensorflow as tf
from caffe_writer import CaffeNetwork
from slim_network import SlimNetwork, write_checkpoint
from small_backbones import BLOCKS, small_backbones
from tool_runner import run_tool

from deeplab_tf.commands.import_weights import evaluation_flags, find_label_set, network_flags
from deeplab_tf.data.label_sets import ADE20K, CITYSCAPES, PERSON_PART, VOC
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import fcn, import_caffemodel, load_model
from deeplab_tf.models.heads import Head
from deeplab_tf.models.released.imported import Imported

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES, FILTERS = 21, 8


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


def write(path, left_out=()):
    """VGG-16 with a narrow LargeFOV, and a layer that no network of ours has."""
    net = CaffeNetwork()
    shapes, inputs = {}, 3
    for block, filters, count in BLOCKS:
        for number in range(1, count + 1):
            shapes[f"conv{block}_{number}"] = (filters, inputs, 3, 3)
            inputs = filters
    shapes |= {"fc6": (FILTERS, inputs, 3, 3), "fc7": (FILTERS, FILTERS, 1, 1)}
    shapes |= {"fc8_voc12": (CLASSES, FILTERS, 1, 1), "stray": (2, 2, 1, 1)}
    for name, shape in shapes.items():
        if name not in left_out:
            kernel = net.draw(*shape, scale=(2 / np.prod(shape[1:])) ** 0.5)
            net.note(name, "Convolution", [kernel, net.draw(shape[0])])
    return net.write(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("caffe") / "train_iter_20000.caffemodel")
    yield path
    path.unlink()


def run(file, out, *flags):
    required = (f"--caffemodel={file}", "--backbone=vgg16", "--head=large_fov", f"--out={out}")
    return run_tool("import_weights", *required, *flags)


@pytest.mark.slow
def test_the_model_on_disk_is_the_imported_one(file, tmp_path):
    out = tmp_path / "released" / "best.keras"
    done = run(file, out, "--labels=voc12")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == ["block1_conv1", "conv1_1"]
    assert lines[-7].split() == ["fc8", "fc8_voc12"]
    assert lines[-6:-3] == ["filled 16 layers", "not filled: none", "in the file, not used: stray"]
    assert lines[-3:] == [
        f"model: {out}, 21 classes: background, aeroplane, bicycle, ...",
        f"wrote {out}, {out.parent / 'labels.json'}",
        f"next: deeplab-tf evaluate --model={out} --dataset=voc12 --data_dir=DATA_DIR --pad_to=513 "
        "--crf",
    ]
    model = load_model(out.parent)
    image = np.random.default_rng(0).integers(0, 256, (1, 33, 33, 3)).astype(np.float32)
    expected = import_caffemodel(file, "vgg16", "large_fov").model(image)
    np.testing.assert_array_equal(model(image), expected)
    assert LabelSet.load(out.parent / "labels.json") == VOC
    assert sorted(path.name for path in out.parent.iterdir()) == ["best.keras", "labels.json"]
    assert "best.keras: exists" in run(file, out).error
    assert "no such file" in run("nowhere", out, "--overwrite").error


@pytest.mark.slow
def test_a_model_to_train_on_for_other_classes(file, tmp_path):
    out = tmp_path / "start.keras"
    done = run(file, out, "--drop_classes", "--num_classes=7")
    assert done.status == 0, done.err
    assert "not filled: fc8\nin the file, not used: fc8_voc12, stray\n" in done.out
    assert done.out.splitlines()[-1] == (
        "next: deeplab-tf train --backbone=vgg16 --head=large_fov --preprocessing=deeplab "
        f"--init_from={out} --pool_size=3 --data_dir=DATA_DIR --model_dir={tmp_path / 'run'}"
    )
    assert load_model(out).output_shape[-1] == 7
    assert LabelSet.load(tmp_path / "labels.json") == PERSON_PART
    LabelSet.generic(21).save(tmp_path / "labels.json")
    error = run(file, tmp_path / "other.keras", "--drop_classes", "--num_classes=7").error
    assert "labels.json: belongs to a model with other classes" in error
    assert not (tmp_path / "other.keras").exists()


def test_a_file_that_lacks_layers(tmp_path):
    path = write(tmp_path / "net.caffemodel", ["conv1_2", "conv5_2", "conv5_3", "fc7"])
    done = run(path, tmp_path / "out.keras")
    path.unlink()
    assert "has no weights for block1_conv2, block5_conv2, block5_conv3 and 1 more" in done.error
    assert "not filled: block1_conv2, block5_conv2, block5_conv3, fc7\n" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--caffemodel=nowhere"], "nowhere: no such file"),
        (["--num_classes=3"], "has 21 classes, expected 3"),
        (["--labels=cityscapes"], "--labels=cityscapes has 19 classes, the model has 21"),
        (["--head=aspp_l"], "1 class layers (fc8_voc12) for a head with 4 branches"),
        (["--head=4x4"], "give the backbone and head that the file was trained with"),
        (["--backbone=resnet101"], "0 class layers"),
        (["--drop_classes"], "drop_classes needs num_classes"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_bad_input_is_one_clear_line(file, tmp_path, flags, message):
    assert message in run(file, tmp_path / "model.keras", *flags).error
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_model(file, tmp_path):
    assert "give the name of a .keras file" in run(file, tmp_path / "model.h5").error


@pytest.mark.parametrize("contents", [b"", b"\xff\xd8\xff\xe0\x00\x10JFIF", b'name: "net"\n'])
def test_foreign_and_cut_files(file, tmp_path, contents):
    path = tmp_path / "bad.caffemodel"
    path.write_bytes(contents or file.read_bytes()[:1000])
    assert f"{path}: truncated, or not a .caffemodel" in run(path, tmp_path / "model.keras").error
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give one of --caffemodel=FILE and --checkpoint=FILE"),
        (["--caffemodel=a", "--checkpoint=b"], "give one of --caffemodel=FILE and"),
        (["--caffemodel=a", "--head=large_fov"], "--caffemodel needs --backbone, that of the file"),
        (["--caffemodel=a", "--backbone=vgg16"], "--caffemodel needs --head"),
        (["--caffemodel=a", "--tflite_resize=trained"], "has no effect on --caffemodel; leave it"),
        (["--checkpoint=b", "--network=fcn"], "--network=fcn needs --caffemodel; the FCN authors"),
        (
            ["--caffemodel=a", "--network=fcn", "--head=aspp_l"],
            "--head has no effect on --network=fcn; leave it out",
        ),
        (
            ["--caffemodel=a", "--nofcn_released_padding"],
            "--fcn_released_padding has no effect without --network=fcn; add it or leave it out",
        ),
        (["--checkpoint=b", "--pool_size=2"], "--pool_size has no effect on --checkpoint; leave"),
        (["--checkpoint=nowhere.tar.gz"], "nowhere.tar.gz: no such file; give a checkpoint"),
        (["--checkpoint=nowhere.tflite"], "nowhere.tflite: no such file; give a checkpoint"),
        (["--checkpoint=nowhere.h5"], "nowhere.h5: no such file; give a checkpoint"),
        (["--checkpoint=nowhere.pth"], "nowhere.pth: no such file; give the file that torch.save"),
        (["--checkpoint=a.pth", "--tflite_resize=trained"], "has no effect on a .pth file; leave"),
        (["--checkpoint=a.pb", "--half_pixel_upsampling"], "has an effect on .pth files only; lea"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, flags, message):
    done = run_tool("import_weights", f"--out={tmp_path / 'best.keras'}", *flags)
    assert message in done.error
    assert list(tmp_path.iterdir()) == []


def write_alexnet(path):
    """FCN-AlexNet of five classes, without its upsampling; fc6 has two filters, not 4,096."""
    net = CaffeNetwork()
    shapes = {"conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "conv3": (384, 256, 3, 3)}
    shapes |= {"conv4": (384, 192, 3, 3), "conv5": (256, 192, 3, 3), "fc6": (2, 256, 6, 6)}
    shapes |= {"fc7": (2, 2, 1, 1), "score_fr": (5, 2, 1, 1)}
    for name, shape in shapes.items():
        net.note(name, "Convolution", [net.draw(*shape), net.draw(shape[0])])
    return net.write(path)


def test_an_fcn(tmp_path, monkeypatch):
    monkeypatch.setattr(fcn, "_FC", Head((1,), 7, 2))
    file = f"--caffemodel={write_alexnet(tmp_path / 'net.caffemodel')}"
    out = tmp_path / "fcn" / "best.keras"
    done = run_tool("import_weights", "--network=fcn", file, f"--out={out}")
    assert done.status == 0, done.err
    assert done.out.splitlines()[-7:] == [
        "filled 8 layers",
        "not filled: none",
        "in the file, not used: none",
        "note: upscore32 is not in the file and interpolates bilinearly",
        f"model: {out}, 5 classes: class 0, class 1, class 2, ...",
        f"wrote {out}, {out.parent / 'labels.json'}",
        f"next: deeplab-tf evaluate --model={out} --dataset=voc --data_dir=DATA_DIR",
    ]
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 33, 3)).astype(np.float32)
    assert load_model(out)(image).shape == (1, 40, 33, 5)
    start = tmp_path / "start" / "best.keras"
    flags = ["--drop_classes", "--num_classes=3", "--nofcn_released_padding", f"--out={start}"]
    done = run_tool("import_weights", "--network=fcn", file, *flags)
    assert done.status == 0, done.err
    assert "not filled: score_fc7\nin the file, not used: score_fr\n" in done.out
    assert done.out.splitlines()[-1] == (
        f"next: deeplab-tf train --network=fcn --backbone=alexnet --fcn_stride=32 --init_from="
        f"{start} --data_dir=DATA_DIR --model_dir={start.parent / 'run'}"
    )


@pytest.mark.parametrize(
    ("separable", "words"),
    [(None, []), (True, ["--separable_convolutions"]), (False, ["--noseparable_convolutions"])],
)
def test_training_goes_on_with_the_convolutions_of_the_file(separable, words):
    flags = SimpleNamespace(checkpoint="net.pb", output_stride=None)
    parts = {"backbone": "mobilenetv2", "head": "aspp_v3", "separable_convolutions": separable}
    parts["output_stride"] = 16
    found = network_flags(flags, Imported(None, {}, (), (), **parts), "start.keras")
    start = ["--output_stride=16", "--init_from=start.keras"]
    assert found == ["--backbone=mobilenetv2", "--head=aspp_v3", *words, *start]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preprocessing": "deeplab"}, ["--preprocessing=deeplab"]),
        ({"half_pixel_upsampling": True}, ["--half_pixel_upsampling"]),
    ],
)
def test_training_goes_on_with_the_settings_of_the_pytorch_port(options, words):
    flags = SimpleNamespace(checkpoint="net.pth")
    parts = {"backbone": "resnet101", "head": "aspp_l", "output_stride": 8, **options}
    assert network_flags(flags, Imported(None, {}, (), (), **parts), "start.keras") == [
        *("--backbone=resnet101", "--head=aspp_l", *words),
        *("--output_stride=8", "--init_from=start.keras"),
    ]


@pytest.mark.parametrize(
    ("labels", "label_set", "found", "words"),
    [
        ("voc12", VOC, {}, "--dataset=voc12 --data_dir=DATA_DIR --pad_to=513 --crf"),
        (None, LabelSet.generic(21), {}, "--dataset=voc --data_dir=DATA_DIR --pad_to=513 --crf"),
        (None, CITYSCAPES, {}, "--dataset=cityscapes --data_dir=DATA_DIR --crf"),
        (None, ADE20K, {}, "--dataset=voc --data_dir=DATA_DIR --pad_to=513 --crf"),
        ("ade20k", ADE20K, {}, "--dataset=voc --data_dir=DATA_DIR --pad_to=513 --crf"),
        (None, VOC, {"half_pixel_upsampling": True}, "--dataset=voc --data_dir=DATA_DIR --crf"),
        (
            *("voc12", VOC, {"backbone": "resnet101"}),
            "--dataset=voc12 --data_dir=DATA_DIR --pad_to=513 --scales=1,0.75,0.5 --crf",
        ),
    ],
)
def test_the_evaluation_that_comes_next_is_on_images_of_these_classes(
    labels, label_set, found, words
):
    flags = SimpleNamespace(labels=labels, network="deeplab", backbone=None)
    imported = Imported(None, {}, (), (), **found)
    assert evaluation_flags(flags, imported, label_set) == words.split()


def test_classes_of_the_only_label_set_of_their_number():
    flags = SimpleNamespace(labels=None)
    assert find_label_set(flags, 19) == CITYSCAPES
    assert find_label_set(flags, 151) == ADE20K
    assert find_label_set(flags, 21) == LabelSet.generic(21)


@pytest.mark.slow
def test_a_checkpoint_of_the_v3_authors(tmp_path):
    net, image = SlimNetwork(), np.full((1, 33, 33, 3), 100, np.float32)
    x = slim_network.mobilenet_v2(net, tf.constant(image / 127.5 - 1), 0.5)
    expected = np.array(slim_network.head(net, x, 7))
    (tmp_path / "run").mkdir()
    write_checkpoint(tmp_path / "run" / "model.ckpt", net.variables)
    checkpoint, out = f"--checkpoint={tmp_path / 'run'}", tmp_path / "half" / "best.keras"
    done = run_tool("import_weights", checkpoint, f"--out={out}")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == ["Conv1", "MobilenetV2/Conv"]
    assert lines[109:112] == [
        *("filled 109 layers", "not filled: none", "in the file, not used: none")
    ]
    assert lines[-1].startswith(f"next: deeplab-tf evaluate --model={out} --dataset=person_part ")
    found = np.array(load_model(out)(image))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    start = tmp_path / "start" / "best.keras"
    flags = ["--drop_classes", "--num_classes=3", "--output_stride=8"]
    done = run_tool("import_weights", checkpoint, f"--out={start}", *flags)
    assert done.out.splitlines()[-1] == (
        "next: deeplab-tf train --backbone=mobilenetv2half --head=v3_mobile --output_stride=8 "
        f"--init_from={start} --data_dir=DATA_DIR --model_dir={tmp_path / 'start' / 'run'}"
    )
    assert load_model(start)(image).shape == (1, 5, 5, 3)
