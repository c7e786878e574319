"""Files for other runtimes give what the Keras network gives, for images of any size."""

import zipfile

import numpy as np
import pytest
from exported import ENDINGS, labels_as_documented, need, spread_scores, windows_model
from tiny_model import blocks, random_model

import deeplab_tf
from crf import CRFParams
from deeplab_tf import InputError, open_model, segment
from deeplab_tf.evaluation.depth import predict_depth
from deeplab_tf.evaluation.opened import OneHead
from deeplab_tf.export import export_model, load_description
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.score_heads import score_heads, with_heads

# The converters use TensorFlow, NumPy and Keras in ways that these warn about; nothing of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning"),
]

SIZES = [
    (65, 97), (64, 96), (63, 95), (1, 1), (5, 130), (130, 5), (33, 33), (100, 81), (17, 60),
    (97, 66),
]  # fmt: skip
LABELS = LabelSet(("sky", "road", "tree", "car"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (0, 0, 0)))
PARAMS = CRFParams(w1=5, sigma_alpha=20, sigma_beta=11, iterations=2)
of_files = pytest.mark.parametrize("exported", list(ENDINGS), indirect=True)


@pytest.fixture(scope="module")
def model():
    return spread_scores(windows_model(), blocks(129, 161))


@pytest.fixture(scope="module", params=["saved_model", *ENDINGS])
def exported(request, model, tmp_path_factory):
    """(path of an export in a format, the opened export)."""
    # `make test`, which has no package of any format, has other tests of SavedModels.
    need("onnx" if request.param == "saved_model" else request.param)
    path = tmp_path_factory.mktemp("exported") / f"network{ENDINGS.get(request.param, '')}"
    # A SavedModel would compute the CRF.
    crf = {"suited_crf" if request.param == "saved_model" else "crf": PARAMS}
    export_model(model, path, LABELS, max_side=320, **crf)
    return path, open_model(path)


def assert_same(model, opened, image, **settings):
    expected = segment(model, image, return_probabilities=True, **settings)
    found = opened.probabilities(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    labels = segment(opened, image)
    assert labels.dtype == np.uint8 and labels.shape == image.shape[:2]
    assert (labels == expected.argmax(-1)).mean() >= 0.999


def test_images_of_ten_sizes(model, exported):
    labels = [segment(model, blocks(*size, seed=9)) for size in SIZES]
    assert len(np.unique(np.concatenate([label.ravel() for label in labels]))) == 4
    for size in SIZES:
        assert_same(model, exported[1], blocks(*size, seed=9))


@of_files
def test_labels_by_the_lines_of_the_docs(model, exported):
    """Of ten sizes and, but by LiteRT, of a batch."""
    path, _ = exported
    batches = [[blocks(*size, seed=9)] for size in SIZES]
    if path.suffix != ".tflite":
        batches.append([blocks(50, 61, seed=seed) for seed in (1, 2)])
    for images in batches:
        labels = labels_as_documented(path, np.float32(images))
        assert labels.dtype == np.uint8 and labels.shape == np.shape(images)[:3]
        for image, found in zip(images, labels, strict=True):
            assert (found == segment(model, image)).mean() >= 0.999


def test_labels_alone_are_asked_for_where_nobody_wants_probabilities(exported, monkeypatch):
    opened, asked = exported[1], []
    run = opened._run

    def noted(images, names):
        asked.append(names)
        return run(images, names)

    monkeypatch.setattr(opened, "_run", noted)
    segment(opened, blocks(33, 50))
    assert asked == [("labels",)]


def test_the_file_alone_tells_all(exported):
    path, opened = exported
    assert opened.classes == ("sky", "road", "tree", "car") and opened.label_set == LABELS
    assert opened.crf == PARAMS and not opened.has_crf
    assert opened.stride == 4 and opened.channels == 3
    found = load_description(path)
    assert found.max_side == 320 and found.precision == "float32"
    assert found.settings == {"scales": [1.0], "flip": False, "pad_to": None}
    assert found.input == {"channels": 3, "order": "RGB", "range": [0, 255], "size": None}


@pytest.mark.parametrize("format", list(ENDINGS))
def test_every_head_has_its_own_outputs(format, tmp_path):
    need(format)
    model, image = with_heads(random_model(5), {"a": 2, "b": 3}), blocks(33, 50)
    labels = HeadLabels.generic({"a": 2, "b": 3})
    path = tmp_path / f"network{ENDINGS[format]}"
    with pytest.raises(InputError, match="give HeadLabels of the heads a, b"):
        export_model(model, path, LabelSet.generic(5))
    with pytest.raises(InputError, match="the CRF refines one head; choose one of a, b"):
        export_model(model, path, labels, PARAMS)
    export_model(model, path, labels)
    opened = open_model(path)
    assert opened.label_set == labels and opened.heads == score_heads(model)
    for head in ("a", "b"):
        expected = segment(model, image, head=head, return_probabilities=True)
        found = segment(opened, image, head=head, return_probabilities=True)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        labels = segment(opened, image, head=head), OneHead(opened, head).labels(image)
        for found in labels:
            assert found.dtype == np.uint8 and (found == expected.argmax(-1)).mean() >= 0.999


def test_scores_are_log_probabilities(exported):
    image = blocks(33, 50)
    scores = exported[1].scores(image)
    np.testing.assert_allclose(np.exp(scores), exported[1].probabilities(image), atol=1e-6)


def test_the_crf_follows(model, exported):
    image = blocks(60, 70)
    expected = segment(model, image, PARAMS)
    assert (expected != segment(model, image)).mean() > 0.01
    assert (segment(exported[1], image, exported[1].crf) == expected).mean() >= 0.999


def test_what_the_export_fixed_is_refused(exported):
    path, opened = exported
    for setting in ({"flip": True}, {"scales": (1, 0.5)}, {"tile": 65}, {"pad_to": 99}):
        with pytest.raises(InputError, match=f"{next(iter(setting))} has no effect: .*{path.name}"):
            segment(opened, blocks(33, 50), **setting)
    with pytest.raises(InputError, match=r"uint8 \(33, 50, 4\); give uint8 RGB of shape"):
        opened.probabilities(np.zeros((33, 50, 4), np.uint8))
    with pytest.raises(InputError, match="image is float64"):
        opened.probabilities(np.zeros((33, 50, 3)))


@of_files
def test_existing_files_are_replaced_only_if_wished(model, exported):
    path, _ = exported
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(InputError, match="exists; give another --out, or use --overwrite"):
        export_model(model, path, LABELS)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert len(before) == (2 if path.suffix == ".xml" else 1)  # and nothing half-written


@of_files
def test_damaged_files_are_one_line(exported, tmp_path):
    path, _ = exported
    copy = tmp_path / path.name
    for contents in (b"", b"garbage", path.read_bytes()[: path.stat().st_size // 3]):
        copy.write_bytes(contents)
        if path.suffix == ".xml":
            copy.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes())
        with pytest.raises(InputError, match="export it again") as error:
            open_model(copy)
        assert str(copy) in str(error.value) and "\n" not in str(error.value)


@of_files
def test_a_file_of_somebody_else(exported, tmp_path):
    """The same graph without the description."""
    path, _ = exported
    foreign = tmp_path / f"foreign{path.suffix}"
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load_model(path)
        del model.metadata_props[:]
        onnx.save_model(model, foreign)
    elif path.suffix == ".xml":
        foreign.write_text(path.read_text().replace("deeplab_tf", "another"))
        foreign.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes())
    else:
        with zipfile.ZipFile(path) as archive:
            start = min(info.header_offset for info in archive.infolist())
        foreign.write_bytes(path.read_bytes()[:start])
    with pytest.raises(InputError, match=r"foreign.*not a network that the export command wrote"):
        open_model(foreign)


@pytest.mark.parametrize("exported", ["openvino"], indirect=True)
def test_weights_that_are_missing(exported, tmp_path):
    path, _ = exported
    (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"its weights, network\.bin, are missing beside it"):
        open_model(tmp_path / path.name)


@pytest.mark.slow
@pytest.mark.parametrize("format", list(ENDINGS))
def test_scales_flip_and_padding(format, tmp_path):
    need(format)
    model, path = random_model(), tmp_path / f"m{ENDINGS[format]}"
    settings = {"scales": (1.0, 0.75), "flip": True, "pad_to": 57}
    export_model(model, path, LABELS, **settings)
    opened = open_model(path)
    for size in ((40, 51), (70, 90)):
        assert_same(model, opened, blocks(*size), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("format", list(ENDINGS))
def test_one_size_and_four_channels(format, tmp_path):
    need(format)
    model, path = random_model(channels=4), tmp_path / f"m{ENDINGS[format]}"
    export_model(model, path, LABELS, image_size=(33, 50))
    opened = open_model(path)
    image = np.dstack([blocks(33, 50), blocks(33, 50, seed=1)[..., 0]])
    assert_same(model, opened, image)
    with pytest.raises(InputError, match=r"\(32, 50, 4\), but .* takes \(33, 50, 4\)"):
        opened.probabilities(image[1:])


@pytest.mark.slow
@pytest.mark.parametrize("format", list(ENDINGS))
def test_the_shipped_network(format, msrc21, tmp_path):
    """Photographs, most of 320x213 and 213x320, and cuts of them."""
    from deeplab_tf.data.image_files import load_image

    need(format)
    model, path = deeplab_tf.load_pretrained("msrc21"), tmp_path / f"m{ENDINGS[format]}"
    export_model(model, path, LabelSet.generic(21))
    opened = open_model(path)
    for index, file in enumerate(sorted((msrc21 / "JPEGImages").glob("*.jpg"))[:10]):
        image = load_image(file)[index:, 7 * index :]
        expected = segment(model, image)
        assert (segment(opened, image) == expected).mean() >= 0.999


@pytest.mark.parametrize("format", list(ENDINGS))
def test_depth_is_that_of_the_network(format, tmp_path):
    need(format)
    network, path = random_model(1), tmp_path / f"depth{ENDINGS[format]}"
    export_model(network, path, None, flip=True)
    opened = open_model(path)
    assert opened.classes == () and load_description(path).predicts == "depth"
    for size in ((33, 49), (50, 41)):
        image = blocks(*size, seed=9)
        expected = predict_depth(network, image, flip=True)
        np.testing.assert_allclose(predict_depth(opened, image), expected, rtol=1e-3)
    with pytest.raises(InputError, match="predicts depth, not classes"):
        opened.probabilities(image)
    with pytest.raises(InputError, match="flip has no effect"):
        predict_depth(opened, image, flip=True)
