"""The reference: it has every public name, and these describe their parameters."""

import enum
import importlib
import inspect
import re

import keras
import pytest
from site_links import ROOT
from site_reference import (
    MODULES,
    anchors,
    definition,
    parse,
    public_names,
    reference_pages,
    registered_classes,
    short_names,
)

import crf

NAMES = sorted(set(anchors().values()))


def load(full_name):
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_module_with_a_list_of_public_names_has_a_page():
    listing = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("crf", "deeplab_tf")
        for path in (ROOT / package).rglob("*.py")
        if "\n__all__ = " in path.read_text("utf-8")
    }
    assert listing <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_names_are_those_that_the_module_has(module):
    loaded = importlib.import_module(module)
    names = public_names(module)
    if hasattr(loaded, "__all__"):
        assert names == [name for name in loaded.__all__ if name != "__version__"]
    assert names
    assert all(hasattr(loaded, name) for name in names)


def test_a_name_is_described_once():
    pages = reference_pages()
    described = re.findall(r"^::: (\S+)$", "\n".join(pages.values()), re.MULTILINE)
    assert sorted(described) == NAMES
    assert "\n::: deeplab_tf.build_fcn\n" in f"{pages['reference/deeplab_tf.md']}\n"
    assert "[`build_fcn`][deeplab_tf.build_fcn]" in pages["reference/deeplab_tf.models.md"]


def test_where_names_are_defined():
    assert definition("deeplab_tf", "build_fcn") == ("deeplab_tf.models.fcn", "build_fcn")
    assert definition("crf", "DenseCRF") == ("crf.layer", "DenseCRF")  # imported when needed
    assert anchors()["deeplab_tf.models.fcn.build_fcn"] == "deeplab_tf.build_fcn"
    assert "DenseCRF" not in short_names()  # pydensecrf has one, too
    assert short_names()["CRFParams"] == "crf.CRFParams"
    assert parse("numpy") is None


def test_the_registered_classes_are_all_there():
    classes = set(map(load, registered_classes()))
    assert classes == {
        value
        for value in keras.saving.get_custom_objects().values()
        if value.__module__.startswith(("crf.", "deeplab_tf."))
    }
    assert crf.DenseCRF in classes


def documented(docstring):
    """The names in the sections Args and Attributes of a docstring."""
    sections = re.findall(r"^(?:Args|Attributes):\n((?:  .*\n?|\n)+)", docstring, re.MULTILINE)
    entries = [names for text in sections for names in re.findall(r"^  (\w[\w, *]*):", text, re.M)]
    return {name.strip(" *") for names in entries for name in names.split(",")}


def parameters(thing):
    """The names of the parameters of a function or class that it must describe."""
    if inspect.isclass(thing):
        if issubclass(thing, enum.Enum | Exception):
            return []
        origin = next(base for base in thing.__mro__ if "__init__" in vars(base))
        if origin.__module__.startswith("keras."):  # those of a layer of Keras
            return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(thing).parameters.values()
    return [parameter.name for parameter in signature if parameter.kind not in kinds]


@pytest.mark.parametrize("full_name", NAMES)
def test_a_public_name_describes_itself_and_its_parameters(full_name):
    thing = load(full_name)
    if not callable(thing):  # a constant, whose text stands below it
        module, name = definition(*full_name.rsplit(".", 1))
        body = parse(module).body
        at = next(
            place
            for place, node in enumerate(body)
            if hasattr(node, "targets") and getattr(node.targets[0], "id", "") == name
        )
        assert isinstance(getattr(body[at + 1], "value", None), type(parse(module).body[0].value))
        return
    docstring = inspect.cleandoc(thing.__doc__ or "")
    assert docstring
    missing = set(parameters(thing)) - documented(docstring)
    assert not missing


@pytest.mark.parametrize("full_name", NAMES)
def test_what_a_docstring_describes_exists(full_name):
    thing = load(full_name)
    if inspect.isfunction(thing):
        assert documented(inspect.cleandoc(thing.__doc__)) <= set(
            inspect.signature(thing).parameters
        )
