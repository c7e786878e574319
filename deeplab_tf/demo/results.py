"""What the page shows of a photograph: pictures, legend, maps of one class, and links, as HTML."""

import shlex
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from deeplab_tf.demo.labeling import NUMBERS
from deeplab_tf.evaluation.class_maps import heat_map
from deeplab_tf.evaluation.html_report.data_urls import data_url
from deeplab_tf.evaluation.html_report.template import page_templates
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.search_report import params_flagfile
from deeplab_tf.visualize import encode_picture, overlay, overlay_colors

OPACITY = 0.6  # of the classes' colors, as in `deeplab-tf predict`

_SHARE_NAMED = 0.005  # classes of a smaller part of the picture are not in its description
_TEMPLATES = page_templates(Path(__file__).parent)


def results_html(photograph, refined, class_name):
    """The results of a photograph as HTML, in which the pictures are.

    Args:
      photograph: its name, SHA-256/NAME.
      refined: `Refined`.
      class_name: of the class whose probabilities are drawn.

    Returns:
      Two str: labels before and after the CRF with a divider; and everything else.

    Raises:
      InputError: if the network has no such class.
    """
    scored, label_set = refined.scored, refined.network.label_set
    index = label_set.index_of(class_name)
    colors = overlay_colors(label_set)
    labels = [most_probable(each) for each in (scored.probabilities, refined.probabilities)]
    shares = [np.bincount(label.ravel(), minlength=256) / label.size for label in labels]
    shown = np.flatnonzero(shares[0][: label_set.num_classes] + shares[1][: label_set.num_classes])
    names = label_set.names
    height, width = scored.image.shape[:2]
    values = dict(
        file=Path(photograph).name,
        class_name=class_name,
        iterations=refined.params.iterations,
        size=scored.size,
        height=height,
        width=width,
        pictures=[picture_url(overlay(scored.image, label, colors, OPACITY)) for label in labels],
        descriptions=[_description(share, names) for share in shares],
        legend=[
            (names[i], tuple(colors[i].tolist()), shares[0][i], shares[1][i])
            for i in sorted(shown, key=lambda i: -shares[1][i])
        ],
        maps=[
            (picture_url(heat_map(each[..., index])), float(each[..., index].max()))
            for each in (scored.probabilities, refined.probabilities)
        ],
        bar=picture_url(heat_map(np.linspace(0, 1, 128, dtype=np.float32)[None])),
        changed=float((labels[0] != labels[1]).mean()),
        seconds=refined.seconds,
        query=query(photograph, refined.network.name, refined.params),
    )
    templates = map(_TEMPLATES.get_template, ("picture.html.jinja", "details.html.jinja"))
    return tuple(template.render(values) for template in templates)


def problem_html(sentence):
    """A sentence about what cannot be done, as HTML."""
    return _TEMPLATES.from_string('<p class="problem" role="alert">{{ sentence }}.</p>').render(
        sentence=sentence.rstrip(".")
    )


def largest_class(refined):
    """The name of the class with the most pixels after the CRF."""
    counts = np.bincount(most_probable(refined.probabilities).ravel())
    return refined.network.label_set.names[counts.argmax()]


def query(photograph, network_name, params):
    """The part after ? of the links to what can be downloaded.

    Returns:
      str, which tells which photograph, which network and the numbers of `CRFParams`.
    """
    numbers = {name: repr(getattr(params, name)) for name in NUMBERS}
    return urlencode({"photograph": photograph, "network": network_name, **numbers})


def flagfile(network, params):
    """The flagfile of the chosen parameters.

    Args:
      network: `Network`.
      params: `CRFParams`.

    Returns:
      str, the text of a file for --flagfile of `deeplab-tf predict`, `evaluate` and others.
    """
    words = ["deeplab-tf", "predict", "--flagfile=THIS_FILE", *network.arguments]
    command = shlex.join([*words, "--out_dir=labels", "IMAGE"])
    comments = ["Chosen on the page of `deeplab-tf demo`. The labels shown there:", command]
    if network.lacking:
        comments.append(f"But no flag can hold {network.lacking}, so that the labels differ.")
    return params_flagfile(params, comments)


def picture_url(picture):
    """A picture (H, W, 3) uint8 RGB as the address of an image inside a page."""
    return data_url("image/png", encode_picture(picture))


def _description(shares, names):
    """The classes of a picture in words, largest first."""
    parts = [(share, name) for share, name in zip(shares, names, strict=False)]
    parts = sorted(part for part in parts if part[0] >= _SHARE_NAMED)[::-1]
    return ", ".join(f"{share:.0%} {name}" if share >= 0.01 else name for share, name in parts)
