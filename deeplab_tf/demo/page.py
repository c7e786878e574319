"""The page's controls and what they do; needs Gradio."""

from pathlib import Path

import gradio as gr

from deeplab_tf.demo.labeling import NUMBERS, chosen_params
from deeplab_tf.demo.results import largest_class, problem_html, results_html
from deeplab_tf.demo.uploads import MAX_FILE_BYTES
from deeplab_tf.errors import InputError

# Parameter -> (label, smallest and largest value, step).
SLIDERS = {
    "w1": ("w1: weight of the bilateral kernel", 0, 20, 0.5),
    "sigma_alpha": ("sigma_alpha: its reach, in pixels", 1, 200, 1),
    "sigma_beta": ("sigma_beta: its reach in levels of color", 0.5, 60, 0.5),
    "w2": ("w2: weight of the spatial kernel", 0, 20, 0.5),
    "sigma_gamma": ("sigma_gamma: its reach, in pixels", 0.5, 20, 0.5),
    "iterations": ("Iterations", 0, 20, 1),
}

EMPTY = '<p class="facts">Choose a photograph to see its labels here.</p>'
_HERE = Path(__file__).parent


def build_page(labeler, uploads):
    """Make the page.

    Args:
      labeler: `Labeler`.
      uploads: `Uploads`.

    Returns:
      gradio.Blocks.
    """
    first = labeler.network(labeler.names[0])
    with gr.Blocks(title="DeepLab and the CRF", analytics_enabled=False) as page:
        gr.HTML(_read("heading.html"), elem_id="heading")
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=2, min_width=280, elem_classes="side"):
                photograph = gr.Image(
                    label="Photograph",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    height=220,
                    buttons=[],
                    elem_id="photograph",
                    placeholder="Drop a photograph here",
                )
                with gr.Column(elem_id="controls"):
                    network = gr.Dropdown(
                        list(labeler.names), value=first.name, label="Network", elem_id="network"
                    )
                    one_class = gr.Dropdown(
                        list(first.label_set.names),
                        value=first.label_set.names[0],
                        label="Class of the two maps",
                        elem_id="class",
                    )
                    numbers = [_slider(name, first.params) for name in NUMBERS]
                    reset = gr.Button("Back to the network's own parameters", elem_id="reset")
            with gr.Column(scale=3, min_width=280, elem_classes="side"):
                results = [gr.HTML(EMPTY, elem_id="picture"), gr.HTML(elem_id="details")]
        _connect(
            _Handlers(labeler, uploads), photograph, network, one_class, numbers, reset, results
        )
    return page


def mount_options():
    """The keyword arguments of `gradio.mount_gradio_app` that make the page look as it should."""
    script = f"<script>\n{_read('page.js')}\n</script>"
    return {
        "theme": gr.themes.Default(
            # Names alone: fonts would be loaded from another server.
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ).set(body_text_color_subdued="*neutral_600"),  # the default is too pale to be read
        "css": _read("page.css"),
        "head": script,
        "footer_links": [],
        "show_error": False,
        "ssr_mode": False,
        "run_history": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "max_file_size": MAX_FILE_BYTES,
    }


class _Handlers:
    """What the events do. Their arguments are what the browser sent, without Gradio's checks."""

    def __init__(self, labeler, uploads):
        self._labeler, self._uploads = labeler, uploads

    def take_photograph(self, file, network_name, *values):
        """A new photograph: the file if it can be used, its largest class, its results."""
        if not file:
            return None, gr.skip(), EMPTY, ""
        try:
            name, refined = self._refined(file, network_name, values)
        except InputError as error:
            return None, gr.skip(), problem_html(str(error)), ""
        shown = largest_class(refined)
        return gr.skip(), shown, *results_html(name, refined, shown)

    def show(self, file, network_name, class_name, *values):
        """The results after a control was moved."""
        if not file:
            return gr.skip(), gr.skip()
        try:
            name, refined = self._refined(file, network_name, values)
            return results_html(name, refined, class_name)
        except InputError as error:
            return problem_html(str(error)), ""

    def take_network(self, network_name):
        """Another network: its classes, and its parameters."""
        try:
            network = self._labeler.network(network_name)
        except InputError:  # not chosen on the page, which offers only what there is
            return [gr.skip()] * (1 + len(NUMBERS))
        names = network.label_set.names
        sliders = [gr.Slider(**_range(name, network.params)) for name in NUMBERS]
        return gr.Dropdown(choices=list(names), value=names[0]), *sliders

    def _refined(self, file, network_name, values):
        name = self._uploads.name_of(file.get("path") if isinstance(file, dict) else None)
        params = chosen_params(self._labeler.network(network_name), values)
        return name, self._labeler.refined(name, network_name, params)


def _connect(handlers, photograph, network, one_class, numbers, reset, results):
    # Gradio would decode the photographs itself, and refuse bad ones in other words.
    event = {
        "preprocess": False,
        "api_visibility": "private",
        "concurrency_id": "labels",
        "concurrency_limit": 1,
        "show_progress": "minimal",
        "show_progress_on": results,
    }
    taken = {
        "fn": handlers.take_photograph,
        "inputs": [photograph, network, *numbers],
        "outputs": [photograph, one_class, *results],
    }
    photograph.input(**taken, **event, trigger_mode="always_last")
    shown = {
        "fn": handlers.show,
        "inputs": [photograph, network, one_class, *numbers],
        "outputs": results,
    }
    for control in (one_class, *numbers):
        control.input(**shown, **event, trigger_mode="always_last")
    parameters = {
        "fn": handlers.take_network,
        "inputs": network,
        "outputs": [one_class, *numbers],
    }
    network.input(**parameters, **event).then(**taken, **event)
    reset.click(**parameters, **event).then(**taken, **event)


def _slider(name, params):
    label, _, _, step = SLIDERS[name]
    return gr.Slider(**_range(name, params), step=step, label=label, elem_id=name, buttons=[])


def _range(name, params):
    _, low, high, _ = SLIDERS[name]
    value = getattr(params, name)
    return {"minimum": min(low, value), "maximum": max(high, value), "value": value}


def _read(name):
    return (_HERE / name).read_text(encoding="utf-8")
