import cv2
import numpy as np
import pytest

from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.synthetic import (
    CLASSES,
    FORMS,
    _draw_form,
    draw_scene,
    ensure_synthetic,
    write_synthetic,
)
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

SIZE = (160, 192)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng(seed), SIZE) for seed in range(60)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data") / "some" / "shapes"
    write_synthetic(data_dir, num_train=4, num_val=2, size=(130, 150), seed=3)
    return data_dir


def test_scene_shapes_types_and_repeatability(scenes):
    image, label = scenes[0]
    assert (image.shape, image.dtype) == ((160, 192, 3), np.uint8)
    assert (label.shape, label.dtype) == ((160, 192), np.uint8)
    again = draw_scene(np.random.default_rng(0), SIZE)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(label, again[1])
    assert not np.array_equal(image, scenes[1][0])


def test_at_least_six_classes_all_common_and_none_rare(scenes):
    assert len(CLASSES) >= 7
    present = np.array(
        [[(label == index).any() for index in range(len(CLASSES))] for _, label in scenes]
    )
    assert present[:, 0].all()
    assert (present[:, 1:].mean(0) > 0.3).all()
    assert present[:, 1:].sum(1).max() <= 5
    labels = np.stack([label for _, label in scenes])
    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    assert len(shares) == len(CLASSES)
    assert 0.5 < shares[0] < 0.85
    assert shares[1:].min() > 0.015


def test_color_does_not_tell_the_class(scenes):
    # Mean colors of each class's objects must be as spread as those of all objects: the
    # class then explains next to nothing of their variance.
    colors, classes = [], []
    for image, label in scenes:
        for index in np.unique(label)[1:]:
            colors.append(image[label == index].mean(0))
            classes.append(index)
    colors, classes = np.array(colors), np.array(classes)
    within = np.zeros(3)
    for index in range(1, len(CLASSES)):
        chosen = colors[classes == index]
        within += ((chosen - chosen.mean(0)) ** 2).sum(0)
    explained = 1 - within / ((colors - colors.mean(0)) ** 2).sum(0)
    assert explained.max() < 0.15


def test_image_edges_follow_label_edges(scenes):
    inside, across = [], []
    for image, label in scenes:
        # Two pixels apart, because edges are one pixel wide.
        step = np.linalg.norm(image[:, 2:].astype(float) - image[:, :-2], axis=-1)
        is_edge = label[:, 2:] != label[:, :-2]
        near_edge = cv2.dilate(is_edge.astype(np.uint8), np.ones((5, 5))) > 0
        across.append(step[is_edge])
        inside.append(np.percentile(step[~near_edge], 95))
    assert max(inside) < 25
    assert np.mean(np.concatenate(across) < 40) < 0.02
    assert min(np.median(steps) for steps in across) > 90


def test_objects_have_thin_parts(scenes):
    # Thin is what an opening with a 7-pixel square takes away.
    figure = CLASSES.index("figure")
    thin = []
    for _, label in scenes:
        mask = (label == figure).astype(np.uint8)
        if mask.any():
            opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
            thin.append(1 - opened.sum() / mask.sum())
    assert 0.1 < np.median(thin) < 0.6


def test_objects_are_never_mostly_hidden(scenes):
    for _, label in scenes:
        areas = np.bincount(label.ravel(), minlength=len(CLASSES))[1:]
        assert areas[areas > 0].min() > 300


def test_written_set_is_read_by_the_voc_reader(data_dir):
    labels = read_label_set(data_dir)
    assert labels == LabelSet.in_voc_colors(CLASSES)
    train, val = read_split(data_dir, "train"), read_split(data_dir, "val")
    assert [len(train), len(val)] == [4, 2]
    image, label = load_pair(train[2], labels.num_classes)
    drawn, truth = draw_scene(np.random.default_rng([3, 0, 2]), (130, 150))
    np.testing.assert_array_equal(label, truth)
    assert np.abs(image.astype(int) - drawn).mean() < 3
    assert not np.array_equal(label, load_pair(val[0], labels.num_classes)[1])


def test_label_files_are_palette_pngs(data_dir):
    contents = (data_dir / "SegmentationClass" / "val_0000.png").read_bytes()
    assert (contents[24], contents[25]) == (8, 3)


def test_nothing_temporary_is_left(data_dir):
    assert [path.name for path in data_dir.parent.iterdir()] == ["shapes"]
    other = data_dir.parent / "ordinary"
    other.mkdir()
    assert data_dir.stat().st_mode == other.stat().st_mode
    other.rmdir()


def test_a_failure_leaves_nothing_behind(monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr("deeplab_tf.data.synthetic.draw_scene", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        write_synthetic(tmp_path / "shapes", num_train=1, num_val=1)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path):
    write_synthetic(tmp_path, num_train=1, num_val=1)
    assert len(read_split(tmp_path, "train")) == 1
    with pytest.raises(InputError, match="exists and is not empty"):
        write_synthetic(tmp_path, num_train=1, num_val=1)


def test_ensure_writes_only_once_and_never_over_other_files(data_dir, tmp_path):
    before = (data_dir / "classes.txt").stat().st_mtime_ns
    ensure_synthetic(data_dir)
    assert (data_dir / "classes.txt").stat().st_mtime_ns == before
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        ensure_synthetic(tmp_path)


def test_two_writers_at_once_both_end_well(monkeypatch, tmp_path):
    real = draw_scene
    target = tmp_path / "shapes"

    def overtaken(rng, size, num_objects):
        monkeypatch.setattr("deeplab_tf.data.synthetic.draw_scene", real)
        write_synthetic(target, num_train=1, num_val=1)
        return real(rng, size)

    monkeypatch.setattr("deeplab_tf.data.synthetic.draw_scene", overtaken)
    write_synthetic(target, num_train=1, num_val=1)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]
    assert len(read_split(target, "val")) == 1


@pytest.mark.parametrize("wrong", [{"num_train": 0}, {"num_val": 0}, {"size": (64, 192)}])
def test_refuses_numbers_out_of_range(tmp_path, wrong):
    with pytest.raises(InputError, match="at least"):
        write_synthetic(tmp_path / "shapes", **wrong)


def test_pictures_of_one_object(tmp_path):
    write_synthetic(tmp_path / "one", num_train=4, num_val=1, num_objects=(1, 1))
    for example in read_split(tmp_path / "one", "train"):
        _, label = load_pair(example, len(CLASSES))
        shown = set(np.unique(label)) - {0}
        assert len(shown) == 1
    with pytest.raises(InputError, match=r"num_objects \(2, 1\); give \(fewest, most\)"):
        write_synthetic(tmp_path / "none", num_objects=(2, 1))


CENTER, RADIUS, FORM_SIZE = (50.0, 45.0), 30.0, (90, 100)


def drawn_form(form, seed=0, center=CENTER):
    return _draw_form(np.random.default_rng(seed), form, center, RADIUS, FORM_SIZE)


@pytest.mark.parametrize("form", FORMS)
def test_form_covers_part_of_its_circle(form):
    y, x = np.mgrid[: FORM_SIZE[0], : FORM_SIZE[1]] + 0.5
    outside = np.hypot(x - CENTER[0], y - CENTER[1]) > 1.15 * RADIUS + 1
    for seed in range(5):
        coverage = drawn_form(form, seed)
        assert coverage.shape == FORM_SIZE
        assert coverage.dtype == np.float32
        assert (coverage.min(), coverage.max()) == (0, 1)
        assert coverage[outside].max() == 0
        assert 0.15 < coverage.sum() / (np.pi * RADIUS**2) < 1.02


@pytest.mark.parametrize("form", FORMS)
def test_edges_are_smooth_and_about_one_pixel_wide(form):
    coverage = drawn_form(form)
    part = (coverage > 0) & (coverage < 1)
    inside = coverage >= 0.5
    border = (inside[:, 1:] != inside[:, :-1]).sum() + (inside[1:] != inside[:-1]).sum()
    assert 0.3 * border < part.sum() < 2 * border


def test_areas_of_disc_and_ring_by_hand():
    for seed in range(5):
        disc, ring = drawn_form("disc", seed), drawn_form("ring", seed)
        assert 0.8 <= disc.sum() / (np.pi * RADIUS**2) <= 1.03
        hole = np.pi * RADIUS**2 - ring.sum()
        assert 0.4 * RADIUS < np.sqrt(hole / np.pi) < 0.54 * RADIUS
        assert ring[45, 50] == 0
        assert disc[45, 50] == 1


def test_forms_of_the_same_size_differ():
    drawn = [drawn_form(form, 1) >= 0.5 for form in FORMS]
    for index, first in enumerate(drawn):
        for second in drawn[:index]:
            assert np.logical_and(first, second).sum() / np.logical_or(first, second).sum() < 0.95


def test_the_picture_cuts_forms_off():
    coverage = drawn_form("disc", center=(0.0, 45.0))
    assert coverage[45, 0] == 1
    assert 0.35 < coverage.sum() / (np.pi * RADIUS**2) < 0.55
