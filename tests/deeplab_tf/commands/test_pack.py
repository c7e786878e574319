"""`deeplab-tf pack` and `models`, and what the other commands take from a packed network."""

import json
import shutil
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from absl import flags as absl_flags
from tiny_model import blocks, random_model
from tiny_packed import CRF, LABELS, NOTES, build_tiny, pack_tiny, shipped, tiny_builder
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf import pretrained
from deeplab_tf.commands import recall, train
from deeplab_tf.commands.parsing import parse_flags
from deeplab_tf.commands.runs import Run
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import segment
from deeplab_tf.models import load_card, load_model, packed
from deeplab_tf.models.weights import read_weights

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("tiny_builder"),
]
assert shipped and tiny_builder

CRF_FLAGS = ["--crf", "--crf_w1=6", "--crf_sigma_alpha=15", "--crf_sigma_beta=20", "--crf_w2=2"]
PARAMS = CRFParams(**CRF)


@pytest.fixture
def one_layer(monkeypatch):
    """Networks of the flags, too, are built as one layer."""
    monkeypatch.setitem(packed.BUILDERS, "deeplab", build_tiny)


@pytest.fixture
def run_folder(one_layer, tmp_path):
    """A training's folder: network, classes, run.json."""
    folder = tmp_path / "run"
    folder.mkdir()
    random_model().save(folder / "best.keras")
    Run(
        dataset="voc",
        data_dir="/home/somebody/squares",
        splits={"train": {"list": "train", "images": 7}, "val": {"list": "val", "images": 3}},
        network={},
        classes=asdict(LABELS),
        testing={"scales": ["1", "0.5"], "pad_to": 33},
        flags=[
            "--dataset=voc", "--data_dir=/home/somebody/squares", "--nomirror", "--steps=9",
            "--weights=/home/somebody/b.weights.h5", "--backbone=mobilenet", "--head=plain",
        ],
    ).save(folder)  # fmt: skip
    return folder


@pytest.fixture
def data_dir(tmp_path):
    """A data set of two images in VOC layout."""
    folder = tmp_path / "squares_data"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for name in "xy":
        cv2.imwrite(str(folder / f"JPEGImages/{name}.png"), blocks(40, 61, seed=ord(name)))
        label = np.random.default_rng(ord(name)).integers(0, 4, (40, 61)).astype(np.uint8)
        cv2.imwrite(str(folder / f"SegmentationClass/{name}.png"), label)
    (folder / "ImageSets/Segmentation/val.txt").write_text("x\ny\n")
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), blocks(40, 61)[..., ::-1])
    return path


def pack(folder, *flags):
    return run_tool("pack", f"--model={folder}", *flags)


def test_from_training_to_a_file_that_is_scored_alike(run_folder, data_dir, tmp_path):
    """The whole way: evaluate, pack with the scores, evaluate the file by itself."""
    scores, again, out = tmp_path / "s.json", tmp_path / "again.json", tmp_path / "new" / "m.npz"
    evaluate = "evaluate", f"--data_dir={data_dir}"
    flags = [*CRF_FLAGS, "--crf_iterations=3", "--dataset=voc", "--split=val"]
    assert run_tool(*evaluate, f"--model={run_folder}", f"--json_out={scores}", *flags).status == 0
    (tmp_path / "notes.md").write_text(NOTES)
    done = pack(
        run_folder, f"--scores={scores}", f"--notes={tmp_path / 'notes.md'}", f"--out={out}"
    )
    assert done.status == 0, done.err
    assert f"from {run_folder / 'run.json'}: --backbone=mobilenet --head=plain\n" in done.out
    assert f"wrote {out}, {out.with_suffix('.md')}\n" in done.out
    assert f"predict --model={out} --crf --out_dir=labels IMAGE" in done.out.splitlines()[-1]
    card = load_card(out)
    assert (card.label_set, card.crf_params) == (LABELS, PARAMS)
    assert card.testing == {"scales": ["1", "0.5"], "pad_to": 33}
    assert card.scores == json.loads(scores.read_text())
    assert card.network["backbone"] == "mobilenet" and card.network["num_classes"] == 4

    # The file knows the settings: they need not be given again.
    done = run_tool(*evaluate, f"--model={out}", "--crf", f"--json_out={again}")
    assert done.status == 0, done.err
    assert f"from {out}: --scales=1,0.5 --pad_to=33\n" in done.out
    before, after = card.scores, json.loads(again.read_text())
    assert before["settings"] == after["settings"]
    assert before["settings"]["images"] == 2 and before["settings"]["crf"] == asdict(PARAMS)
    for ours, theirs in ((before, after), (before["crf"], after["crf"])):
        assert theirs["miou"] == pytest.approx(ours["miou"], abs=1e-3)
        assert theirs["pixel_accuracy"] == pytest.approx(ours["pixel_accuracy"], abs=1e-3)


def test_a_network_may_be_packed_with_finer_scores_than_those_of_its_training(run_folder, tmp_path):
    network = {"output_stride": 8}
    replace(Run.load(run_folder), network=network).save(run_folder)
    done = pack(run_folder, "--output_stride=4", f"--out={tmp_path / 'm.npz'}")
    assert done.status == 0, done.err
    image = np.random.default_rng(0).uniform(0, 255, (1, 17, 25, 3)).astype(np.float32)
    found, trained = load_model(tmp_path / "m.npz"), load_model(run_folder)
    assert found.output_shape == trained.output_shape and found(image).shape == (1, 5, 7, 4)
    np.testing.assert_allclose(found(image)[:, ::2, ::2], trained(image), atol=2e-2)
    card = load_card(tmp_path / "m.npz")
    assert card.network["output_stride"] == 8 and card.testing["output_stride"] == 4
    assert "output_stride" not in card.settings  # of `segment`
    assert "output stride 8 in training and 4 here" in (tmp_path / "m.md").read_text()
    # Packed again, it stays the same; its layers and scores are those of the card.
    done = pack(tmp_path / "m.npz", "--output_stride=2", f"--out={tmp_path / 'again.npz'}")
    assert (
        "--output_stride has no effect on a packed network, whose card describes its" in done.error
    )
    again = pack(tmp_path / "m.npz", f"--out={tmp_path / 'again.npz'}")
    assert again.status == 0, again.err
    assert load_card(tmp_path / "again.npz") == card


def test_the_page(run_folder, data_dir, tmp_path):
    scores = tmp_path / "s.json"
    run_tool(
        "evaluate", f"--model={run_folder}", f"--data_dir={data_dir}", "--dataset=voc", "--skip=1",
        f"--json_out={scores}", *CRF_FLAGS,
    )  # fmt: skip
    (tmp_path / "notes.md").write_text(NOTES)
    pack(
        run_folder, f"--scores={scores}", f"--notes={tmp_path / 'notes.md'}",
        f"--out={tmp_path / 'm.npz'}",
    )  # fmt: skip
    page, found = (tmp_path / "m.md").read_text(), json.loads(scores.read_text())
    lines = page.splitlines()
    assert lines[:3] == ["# m.npz", "", "Squares of four colors."]
    assert "    deeplab-tf predict --model=m.npz --crf --out_dir=labels PHOTO.jpg" in lines
    # No folder of the machine that trained; the names of files are kept.
    assert "/home" not in page
    command = "    deeplab-tf train --dataset=voc --data_dir=DATA_DIR --nomirror --steps=9"
    assert f"{command} --weights=b.weights.h5 --backbone=mobilenet --head=plain" in lines
    assert "Images of the lists: 7 in train, 3 in val." in lines
    assert "on 1 images of the list val after the first 1." in page
    for name, cell in (("a", "a"), ("d", "d")):
        ious = [part["per_class_iou"][name] for part in (found, found["crf"])]
        assert f"| {cell} | {ious[0]:.4f} | {ious[1]:.4f} |" in lines
    assert f"| **mean IoU** | {found['miou']:.4f} | {found['crf']['miou']:.4f} |" in lines
    assert any(line.startswith("    --crf_w1=6 --crf_sigma_alpha=15 ") for line in lines)
    assert page.index("## Scores") < page.index("## CRF") < page.index("## Terms")
    done = run_tool("models", tmp_path / "m.npz")
    assert done.out == page


def test_a_network_without_a_run(one_layer, tmp_path):
    random_model().save(tmp_path / "m.keras")
    done = pack(tmp_path / "m.keras", f"--out={tmp_path / 'm.npz'}")
    assert "has no run.json that says how the network was built; give --backbone" in done.error
    done = pack(tmp_path / "m.keras", f"--out={tmp_path / 'm.npz'}", "--backbone=x", "--head=y")
    assert done.status == 0, done.err
    card = load_card(tmp_path / "m.npz")
    assert card.label_set.names == ("class 0", "class 1", "class 2", "class 3")
    assert (card.scores, card.crf, card.training) == (None, None, {})
    assert run_tool("models", tmp_path / "m.npz").out.startswith(
        "# m.npz\n\n    deeplab-tf predict"
    )


def test_notes_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "notes.md").write_text(NOTES, encoding="utf-8-sig")
    file, notes = pack_tiny(tmp_path / "m.npz"), f"--notes={tmp_path / 'notes.md'}"
    assert pack(file, f"--out={tmp_path / 'n.npz'}", notes).status == 0
    assert load_card(tmp_path / "n.npz").notes == NOTES


def test_flags_of_another_network(tmp_path):
    random_model().save(tmp_path / "m.keras")
    flags = ["--network=fcn", "--backbone=vgg16", "--fcn_stride=5"]
    done = pack(tmp_path / "m.keras", f"--out={tmp_path / 'm.npz'}", *flags)
    assert "no FCN with stride 5" in done.error
    assert not (tmp_path / "m.npz").exists() and not (tmp_path / "m.md").exists()


def test_a_packed_network_gets_a_new_card(tmp_path, data_dir):
    file = pack_tiny(tmp_path / "m.npz", notes=NOTES, testing={"pad_to": 33})
    done = pack(file, f"--out={tmp_path / 'n.npz'}", *CRF_FLAGS, "--crf_iterations=3")
    assert done.status == 0, done.err
    assert load_card(tmp_path / "n.npz") == replace(load_card(file), crf=asdict(PARAMS))
    old, new = load_model(file).get_weights(), load_model(tmp_path / "n.npz").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))


def scores_of(names, **settings):
    values = {"miou": 0.5, "pixel_accuracy": 0.5, "mean_accuracy": 0.5}
    return json.dumps({**values, "per_class_iou": dict.fromkeys(names, 0.5), "settings": settings})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out=m.keras"], "--out=m.keras; give the name of a .npz file"),
        (["--out=old.npz"], "old.npz: exists; give another --out, or use --overwrite"),
        (["--out=page.npz"], "page.md: exists; give another --out"),
        (["--out=page.npz", "--notes=page.md", "--overwrite"], "--notes=page.md: the card would"),
        (["--out=m.npz", "--scores=page.md"], "page.md: not written by evaluate --json_out"),
        (["--out=m.npz", "--scores=other.json"], "other.json: scores of the classes a, b, but the"),
        (["--out=m.npz", "--scores=none.json"], "none.json"),
        (["--out=m.npz", "--scores=crf.json", "--crf"], "crf.json: measured with other CRF param"),
        (["--out=m.npz", "--crf_w1=3"], "--crf_w1 has no effect without --crf"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    pack_tiny(tmp_path / "old.npz")
    (tmp_path / "page.md").write_text("# Notes")
    (tmp_path / "other.json").write_text(scores_of("ab"))
    (tmp_path / "crf.json").write_text(scores_of("abcd", crf=asdict(PARAMS)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert said in pack("old.npz", *flags).error
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_new_network_of_the_package(shipped, tmp_path):
    """One command puts a network into the package; its page names it as --model does."""
    pack_tiny(tmp_path / "new.npz")
    done = pack(tmp_path / "new.npz", f"--out={shipped / 'circles.npz'}")
    assert done.status == 0, done.err
    assert f"{shipped / 'circles.md'}, {shipped / pretrained.SUMS}\n" in done.out
    assert pretrained.pretrained_names() == ("circles", "squares")
    assert (shipped / "circles.md").read_text().startswith("# circles\n")
    assert "--model=circles --out_dir" in (shipped / "circles.md").read_text()


def test_the_list(shipped):
    text = run_tool("models").out
    assert text.splitlines()[:3] == [
        "squares: Squares of four colors.",
        "  one_layer, plain, output stride 8, 4 classes; 0.0 MB",
        "  terms: Free for everybody.",
    ]
    assert text.splitlines()[-1].endswith("predict --model=squares --out_dir=labels IMAGE")
    assert run_tool("models", "squares").out.startswith("# squares\n\nSquares of four colors.\n")
    assert "no model circles" in run_tool("models", "circles").error
    assert "unexpected argument 'b'" in run_tool("models", "squares", "b").error
    (shipped / pretrained.SUMS).write_text("")
    assert run_tool("models").out.startswith("voc12_mobilenetv2: mobilenetv2, v3_mobile, 21 cl")


def test_the_list_shows_scores(shipped, tmp_path):
    scores = json.loads(scores_of("abcd", split="val", skip=0, images=9))
    file = pack_tiny(tmp_path / "m.npz", scores={**scores, "crf": {**scores, "miou": 0.75}})
    shutil.copy(file, shipped / "squares.npz")
    pretrained.record_sum(shipped / "squares.npz")
    assert run_tool("models").out.splitlines()[2] == (
        "  mean IoU 0.5000, with the CRF 0.7500; pixel accuracy 0.5000, with the CRF 0.5000 (9 "
        "images of the list val)"
    )


def test_commands_take_the_name(shipped, photo, data_dir, tmp_path):
    model, image = load_model("squares"), load_image(photo)
    done = run_tool("predict", "--model=squares", "--out_dir=o", photo)
    assert done.status == 0, done.err
    first, *_, last = done.out.splitlines()
    assert first.startswith("squares: a network that comes with this package; `deeplab-tf models")
    assert last.endswith("export --model=squares --out=squares_saved_model")
    np.testing.assert_array_equal(load_label("o/photo.png", 4), segment(model, image))
    error = run_tool("evaluate", "--model=squares").error
    assert "--data_dir is required: squares is a packed network, which comes without" in error
    done = run_tool("evaluate", "--model=squares", f"--data_dir={data_dir}")
    assert done.status == 0, done.err
    assert "--out_dir=squares_crf_search" in done.out.splitlines()[-1]
    assert sorted(path.name for path in shipped.iterdir()) == [pretrained.SUMS, "squares.npz"]


def test_the_crf_has_the_parameters_of_the_card(shipped, photo):
    model, image = load_model("squares"), load_image(photo)
    assert (segment(model, image, PARAMS) != segment(model, image, CRFParams())).any()
    for flags, params in (
        ([], PARAMS),
        (["--crf_w1=1", "--crf_iterations=2"], replace(PARAMS, w1=1, iterations=2)),
    ):
        done = run_tool("predict", "--model=squares", "--out_dir=o", "--crf", *flags, photo)
        assert done.status == 0, done.err
        (line,) = [line for line in done.out.splitlines() if line.startswith("from ")]
        assert line.startswith("from squares: --crf_") and "--crf_sigma_alpha=15 " in line
        assert ("--crf_w1=6" in line) == (not flags)
        np.testing.assert_array_equal(load_label("o/photo.png", 4), segment(model, image, params))
        assert done.out.splitlines()[-1].count("--crf_") == len(flags)


def test_a_file_of_parameters_replaces_all_of_the_card(shipped, photo):
    CRFParams(w1=9).save("own.json")
    done = run_tool(
        "predict", "--model=squares", "--out_dir=o", "--crf", "--crf_params=own.json", photo
    )
    assert done.status == 0 and "from squares" not in done.out
    expected = segment(load_model("squares"), load_image(photo), CRFParams(w1=9))
    np.testing.assert_array_equal(load_label("o/photo.png", 4), expected)


def test_a_learned_compatibility_comes_along(photo, tmp_path):
    rows = [[0, 3, 0.2, 1], [0.1, -1, 2, 0], [1, 1, 0, 4], [0.5, 0, 3, -0.5]]
    file = pack_tiny(tmp_path / "m.npz", crf={**CRF, "compatibility": rows})
    done = run_tool("predict", f"--model={file}", f"--out_dir={tmp_path}/o", "--crf", photo)
    assert "--crf_normalization=symmetric and its compatibility of the classes\n" in done.out
    model, image = load_model(file), load_image(photo)
    expected = segment(model, image, replace(PARAMS, compatibility=rows))
    np.testing.assert_array_equal(load_label(tmp_path / "o/photo.png", 4), expected)
    assert (expected != segment(model, image, PARAMS)).any()


def test_photographs_are_scored_at_the_size_of_the_training(photo, tmp_path):
    plain = pack_tiny(tmp_path / "plain.npz")
    file, out = tmp_path / "m.npz", f"--out_dir={tmp_path / 'o'}"
    assert pack(plain, f"--out={file}", "--max_side=30").status == 0
    assert load_card(file).testing == {"max_side": 30}
    for flags, max_side in (([], 30), (["--tile=41"], None)):
        done = run_tool("predict", f"--model={file}", out, *flags, photo)
        assert done.status == 0, done.err
        assert (f"from {file}: --max_side=30\n" in done.out) == (max_side == 30)
        assert ("scored at 30x20 instead of 61x40" in done.out) == (max_side == 30)
        settings = {"max_side": max_side, "tile": None if max_side else 41}
        expected = segment(load_model(file), load_image(photo), **settings)
        np.testing.assert_array_equal(load_label(tmp_path / "o/photo.png", 4), expected)
    served = tmp_path / "served"  # which tells the size itself
    done = run_tool("export", f"--model={file}", f"--out={served}")
    assert f"next: deeplab-tf predict --model={served} --out_dir" in done.out.splitlines()[-1]
    done = run_tool("predict", f"--model={served}", out, photo)
    assert f"from {served}: --max_side=30\n" in done.out
    assert "scored at 30x20 instead of 61x40" in done.out


def test_explain_crf_and_search_crf(shipped, photo, data_dir):
    done = run_tool("explain-crf", "--model=squares", "--out_dir=e", "--values_w1=0,1", photo)
    assert done.status == 0, done.err
    assert "from squares: --crf_w1=6 " in done.out
    grid = ["--grid_w1=1", "--grid_sigma_alpha=9", "--grid_sigma_beta=9", "--rounds=0"]
    done = run_tool("search-crf", "--model=squares", f"--data_dir={data_dir}", "--out_dir=r", *grid)
    assert done.status == 0, done.err
    assert "from squares: --crf" not in done.out  # a search starts from the defaults
    assert "mean IoU on 2 images of val" in done.out


def test_a_network_here_comes_first_and_is_named(shipped, photo, tmp_path):
    (tmp_path / "squares").mkdir()
    random_model().save(tmp_path / "squares" / "best.keras")
    done = run_tool("predict", "--model=squares", "--out_dir=o", photo)
    assert done.out.startswith("squares: the network here, not the one that comes with this pack")
    assert done.out.splitlines()[-1].endswith("--out=squares/saved_model")


def test_a_training_remembers_the_name(shipped, monkeypatch):
    """It stays a name in run.json, and the command that goes on is not taken for another."""

    def parsed():
        values = absl_flags.FlagValues()
        train.define_flags(values)
        parse_flags(values, ["--data_dir=d", "--model_dir=run", "--init_from=squares"])
        return values

    run = Run.of_training(parsed(), {}, {"train": [1], "val": [1]}, LABELS)
    assert "--init_from=squares" in run.flags
    run.save("run")
    monkeypatch.setattr(recall, "has_checkpoint", lambda folder: True)
    assert recall.recall_training(parsed(), train.define_flags) == run.flags


def test_a_name_is_no_file_of_weights(shipped):
    for name in ("squares", "package/squares.npz"):
        with pytest.raises(InputError, match=f"{name}: a packed network; give --init_from={name}"):
            read_weights("mobilenet", name)
