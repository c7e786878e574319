"""What benchmarks/deploy.py compares: the same architectures, calibrated as by `export --int8`."""

from types import SimpleNamespace

import pytest

from benchmarks.deploy_networks import about_parameters, find_images, torch_network
from deeplab_tf.commands.calibration import find_calibration
from deeplab_tf.data.synthetic import write_synthetic


def test_networks_of_pytorch_have_the_head_and_the_stride_of_the_card():
    assert torch_network("vgg16_large_fov") == "vgg16_large_fov"
    assert torch_network("msrc21") == "efficientnetlite0_large_fov_16_16"
    assert torch_network("camvid") == "efficientnetlite0_aspp_s_16_8"  # 16 in training alone


@pytest.mark.parametrize("count", [2, 100])
def test_images_to_calibrate_with_are_those_of_the_command(tmp_path, count):
    write_synthetic(tmp_path, num_train=6, num_val=2, size=(128, 128))
    values = {"calibration_data": tmp_path, "calibration_images": count}
    flags = SimpleNamespace(int8=True, calibration_split="train", input="rgb", **values)
    expected = [example.image for example in find_calibration(flags)]
    found = find_images(tmp_path, None, count, limit=1)
    assert found["calibration"] == expected and len(expected) == min(count, 6)
    assert [path.partition("JPEGImages")[2] for path in found["score"]["images"]] == [
        "/val_0000.jpg"
    ]


def test_another_architecture_is_noticed():
    assert about_parameters({"a": 1234, "b": 1234}) == "1,234 parameters in a, b"
    note = about_parameters({"a": 1234, "b": 1235})
    assert note == "note: not the same architecture, the parameters are 1,234 in a, 1,235 in b"
