import json

import pytest
from tiny_model import random_model

import deeplab_tf
from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.export import Description
from deeplab_tf.export.description import describe_export
from deeplab_tf.labels import LabelSet


def describe(**more):
    settings = (1.0,), False, None
    return describe_export(random_model(), LabelSet.generic(4), CRFParams(), settings, **more)


def test_it_names_the_version_that_exported():
    found = json.loads(describe(limits={"max_pixels": 9, "max_side": None}).to_json())
    assert found["version"] == deeplab_tf.__version__
    assert found["limits"] == {"max_pixels": 9, "max_side": None}


def test_older_descriptions_lack_the_limits_and_the_version():
    description = describe(limits={"max_pixels": 9, "max_side": None})
    content = json.loads(description.to_json())
    found = Description.from_json(json.dumps(content))
    assert (found.limits, found.version) == (description.limits, description.version)
    older = {name: content[name] for name in content.keys() - {"limits", "version"}}
    found = Description.from_json(json.dumps(older))
    assert (found.limits, found.version, found.crf_params) == (None, None, CRFParams())
    del older["stride"]
    with pytest.raises(InputError, match="'deeplab_tf' is damaged"):
        Description.from_json(json.dumps(older))
