"""The tables of docs/results."""

import json
import re

import pytest
from site_links import ROOT
from site_results import MARKER, overview, result_tables, run_tables, score_tables

from deeplab_tf.models import load_card
from deeplab_tf.pretrained import pretrained_names

FOLDER = ROOT / "docs" / "results"
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")

RESULT = {
    "miou": 0.12345,
    "pixel_accuracy": 0.5,
    "per_class_iou": {"sky": 0.25, "car": None},
    "crf": {
        "miou": 0.2,
        "pixel_accuracy": 0.75,
        "per_class_iou": {"sky": 0.4, "car": 0.0},
    },
}


def test_scores_and_classes_before_and_after_the_crf():
    assert score_tables(RESULT) == [
        "| score | before the CRF | with the CRF |\n| --- | --: | --: |\n"
        "| mean IoU | 0.123 | 0.200 |\n| pixel accuracy | 0.500 | 0.750 |",
        "| IoU of the class | before the CRF | with the CRF |\n| --- | --: | --: |\n"
        "| sky | 0.250 | 0.400 |\n| car | - | 0.000 |",
    ]


def test_scores_without_the_crf():
    alone = {key: value for key, value in RESULT.items() if key != "crf"}
    assert score_tables(alone)[0].splitlines()[2] == "| mean IoU | 0.123 |"
    assert overview({"a": alone}).splitlines()[2] == "| [a](#a) | 0.123 | - | 0.500 | - |"


def test_the_runs_of_a_table(tmp_path):
    runs = [
        {"row": "msc", "title": "three scales", "seed": "4", "scores": RESULT},
        {"row": "a", "title": "A", "seed": "5", "scores": {"miou": 1.0, "crf": {"miou": 0.0}}},
    ]
    result = {"command": "deeplab-tf ablation --seeds=4,5", "runs": runs}
    command, table = run_tables(result)
    assert command == "`deeplab-tf ablation --seeds=4,5`"
    assert table.splitlines()[2:] == [
        "| three scales | 4 | 0.123 | 0.200 | 0.500 | 0.750 |",
        "| A | 5 | 1.000 | 0.000 | - | - |",
    ]
    (tmp_path / "ablation.json").write_text(json.dumps(result))
    assert table in result_tables(tmp_path) and "row" not in result_tables(tmp_path)


def test_other_files_become_keys_and_values(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"ours": {"times": [1, 2.5]}, "unit": "s"}))
    tables = result_tables(tmp_path)
    assert "### b\n" in tables
    assert "| ours times 1 | 1 |\n| ours times 2 | 2.500 |\n| unit | s |" in tables


def test_the_page_has_a_place_for_the_tables():
    assert PAGE.count(MARKER) == 1


def test_the_tables_hold_the_figures_of_the_files():
    tables = result_tables(FOLDER)
    for path in FOLDER.glob("*.json"):
        for iou in json.loads(path.read_text("utf-8")).get("per_class_iou", {}).values():
            assert f" {iou:.3f} |" in tables


def test_a_page_says_how_each_file_was_made():
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    for path in [*FOLDER.glob("*.json"), *FOLDER.glob("curves/*.csv")]:
        assert f"](results/{path.relative_to(FOLDER).as_posix()})" in pages, path


@pytest.mark.parametrize("name", pretrained_names())
def test_networks_of_the_package_have_the_scores_of_their_cards(name):
    assert json.loads((FOLDER / f"{name}.json").read_text("utf-8")) == load_card(name).scores


def test_figures_beside_published_ones_are_those_of_the_files():
    section = PAGE.partition("## Beside published figures")[2].partition("\n## ")[0]
    found = re.findall(r"^\| \[(\w+)\]\(results/\1\.json\) \|(.+)\|$", section, re.MULTILINE)
    assert len(found) == 5
    for name, cells in found:
        scores = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        keys = ["miou"] if name.startswith("camvid") else ["pixel_accuracy", "mean_accuracy"]
        figures = [f"{100 * part[key]:.1f}" for key in keys for part in (scores, scores["crf"])]
        assert re.findall(r"\d+\.\d", cells) == figures, name
