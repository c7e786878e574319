from deeplab_tf.errors import one_line


def test_one_line_joins_lines_and_shortens():
    assert one_line(ValueError(" a\n  b\tc ")) == "a b c"
    assert one_line(ValueError("x" * 20), limit=10) == "xxxxxxx..."


def test_an_error_without_text_gives_its_class():
    assert one_line(KeyError()) == "KeyError"
