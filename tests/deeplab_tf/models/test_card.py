import json

import pytest
from tiny_packed import CRF, LABELS, NOTES, tiny_card

from crf import CRFParams
from deeplab_tf.models import ModelCard


def test_what_a_card_says():
    card = tiny_card(crf=CRF, notes=NOTES)
    assert card.label_set == LABELS
    assert card.crf_params == CRFParams(6, 15, 20, 2, iterations=3)
    assert card.summary == "Squares of four colors."
    assert card.section("Terms") == "Free for everybody."
    assert card.section("Limits") == "Nothing but squares."
    assert card.section("Term") == card.section("Squares of four colors.") == ""


def test_settings_for_segment():
    testing = {"scales": ["1", "0.5"], "pad_to": 33, "max_side": 480}
    assert tiny_card(testing=testing).settings == {**testing, "scales": (1.0, 0.5)}


def test_a_card_may_say_little():
    card = tiny_card()
    assert (card.crf_params, card.summary, card.section("Terms")) == (None, "", "")
    assert card.settings == {}


def test_a_card_is_read_as_it_was_written():
    card = tiny_card(crf=CRF, notes=NOTES, testing={"scales": ["1", "0.5"], "pad_to": 33})
    again = ModelCard.from_json(card.to_json())
    assert again.to_json() == card.to_json()
    assert (again.label_set, again.crf_params) == (card.label_set, card.crf_params)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"classes": {"names": ["a"], "colors": [[0, 0, 0]]}},
        {"crf": {"w1": -1}},
        {"network": {}},
    ],
)
def test_what_cannot_be_read(change):
    content = {**json.loads(tiny_card().to_json()), **change}
    with pytest.raises((ValueError, KeyError)):
        ModelCard.from_json(json.dumps(content))
