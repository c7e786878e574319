"""What `import deeplab_tf` alone gives."""

import re

import pytest
from fresh_process import run_python

import deeplab_tf

# Names that somebody reaches for behind each module that the package's docstring names.
USED = {
    "data": "open_dataset",
    "evaluation": "ConfusionMatrix",
    "export": "export_saved_model",
    "models": "build_deeplab",
    "training": "Trainer",
}


def test_the_docstring_names_the_modules():
    sentence = re.search("The modules (.*?) hold", deeplab_tf.__doc__, re.DOTALL)[1]
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(USED)
    assert set(USED) <= set(dir(deeplab_tf))


@pytest.mark.parametrize("module", USED)
def test_its_modules_are_attributes(module, monkeypatch):
    monkeypatch.delattr(deeplab_tf, module)  # as before its first import
    assert getattr(getattr(deeplab_tf, module), USED[module]).__name__ == USED[module]


@pytest.mark.slow
def test_its_modules_are_attributes_in_a_process_that_imports_nothing_else():
    chains = [f"deeplab_tf.{module}.{name}" for module, name in USED.items()]
    code = f"import deeplab_tf; print(*[x.__name__ for x in ({', '.join(chains)})])"
    assert run_python(code).stdout.split() == list(USED.values())


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'trainin'"):
        _ = deeplab_tf.trainin
