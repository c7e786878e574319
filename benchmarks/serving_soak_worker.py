"""Serves a SavedModel to threads for benchmarks/serving_soak.py; has only TensorFlow and NumPy."""

import collections
import json
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

LEAST_EQUAL = 0.999  # share of pixels whose labels must be those of the network
USUAL, LARGE = 250_000, 1600 * 1200  # largest numbers of pixels of images
LARGE_SHARE = 0.03
CRF_NAMES = "w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma"


class Soak:
    """Requests of many threads to the signatures of a SavedModel, and what became of them."""

    def __init__(self, settings):
        self.served = tf.saved_model.load("served")  # owns the variables
        self.signatures = self.served.signatures
        self.settings = settings
        arrays = np.load("images.npz")
        count = len(arrays.files) // 2
        self.images = [(arrays[f"image{i}"], arrays[f"labels{i}"]) for i in range(count)]
        self.crf = json.loads(Path("served/assets/deeplab_tf.json").read_text())["crf"]
        self.counts, self.equal, self.problems = collections.Counter(), 1.0, []
        self.lock = threading.Lock()

    def call(self, name, **inputs):
        """The outputs of a signature as arrays."""
        found = self.signatures[name](**inputs)
        return {key: value.numpy() for key, value in found.items()}

    def crf_inputs(self):
        """The CRF parameters of the export, as a request gives them."""
        values = {name: tf.constant([self.crf[name]], tf.float32) for name in CRF_NAMES}
        return {**values, "iterations": tf.constant([self.crf["iterations"]])}

    def labels(self, name, image):
        """The labels of an image by any signature."""
        more = self.crf_inputs() if name.endswith("_crf") else {}
        if name.startswith("encoded"):
            found = self.call(name, image_bytes=[tf.io.encode_png(image)], **more)
            if "png_bytes" in found:
                return tf.io.decode_png(found["png_bytes"][0]).numpy()[..., 0]
        else:
            dtype = tf.float32 if name == "serving_default" else tf.uint8
            found = self.call(name, images=tf.cast(image[None], dtype), **more)
        if "probabilities" in found:
            same = (found["labels"] == found["probabilities"].argmax(-1)).all()
            self.check(same, f"{name}: labels are not the most probable classes")
        return found["labels"][0]

    def check(self, good, problem):
        """Note a problem once."""
        with self.lock:
            if not good and problem not in self.problems:
                self.problems.append(problem)

    def good_request(self, draw):
        """A known image, whose labels are compared, or a part of one of random size."""
        name = draw.choice(sorted(self.signatures))
        image, expected = draw.choice(self.images)
        if draw.random() < 0.7:
            image, expected = self.random_image(draw), None
        found = self.labels(name, image)
        self.check(found.shape == image.shape[:2], f"{name}: {found.shape} for {image.shape}")
        if expected is not None:
            equal = float((found == expected).mean())
            self.check(equal >= LEAST_EQUAL, f"{name}: labels of {image.shape} are others")
            with self.lock:
                self.equal = min(self.equal, equal)
        self.count("served")

    def random_image(self, draw):
        """An image of 64 to 1600 pixels a side, mostly with the area of a usual photograph."""
        most, least = (LARGE, 0.7) if draw.random() < LARGE_SHARE else (USUAL, 0)
        height = round(64 * 25 ** draw.uniform(least, 1))
        width = round(64 * (min(1600, most / height) / 64) ** draw.uniform(least, 1))
        image = self.images[draw.randrange(len(self.images))][0]
        repeat = -(-height // image.shape[0]), -(-width // image.shape[1]), 1
        return np.tile(image, repeat)[:height, :width]

    def bad_request(self, draw):
        """What must be refused."""
        image = self.images[0][0]
        contents = tf.io.encode_jpeg(image).numpy()
        side = int(self.settings["max_pixels"] ** 0.5) + 2
        large = tf.zeros([1, side, side, 3], tf.uint8)
        name, inputs = draw.choice(
            [
                ("encoded", {"image_bytes": [draw.randbytes(draw.randrange(5000))]}),
                ("encoded_png", {"image_bytes": [contents, draw.randbytes(99)]}),
                ("encoded", {"image_bytes": [contents[: len(contents) // 3]]}),
                ("encoded", {"image_bytes": tf.zeros([0], tf.string)}),
                ("encoded_png", {"image_bytes": [tf.io.encode_png(large[0])]}),
                ("uint8", {"images": large}),
                ("uint8", {"images": tf.zeros([0, 90, 90, 3], tf.uint8)}),
                ("labels_only", {"images": tf.zeros([1, 0, 90, 3], tf.uint8)}),
                ("serving_default", {"images": tf.fill([1, 90, 90, 3], float("nan"))}),
                ("serving_default", {"images": tf.cast(image[None], tf.float32) / 255}),
            ]
        )
        self.count("bad")
        try:
            self.call(name, **{key: tf.convert_to_tensor(value) for key, value in inputs.items()})
        except tf.errors.InvalidArgumentError:
            self.count("refused")
        else:
            self.check(False, f"{name} takes what it must refuse")

    def count(self, what):
        """Count one more."""
        with self.lock:
            self.counts[what] += 1

    def run(self, number, end):
        """Send requests until the time is over, first that which needs the most memory.

        All threads send the first one at once, so the peak of the first minute is not that of
        the sizes that were drawn by chance.
        """
        draw = random.Random(number)
        self.labels("serving_default", max(self.images, key=lambda pair: pair[0].size)[0])
        while time.monotonic() < end:
            send = self.bad_request if draw.random() < 0.3 else self.good_request
            try:
                send(draw)
            except Exception as error:  # what a server would answer with an internal error
                self.check(False, f"{send.__name__}: {type(error).__name__}: {error}"[:500])


def main():
    """Start the threads, and print what was measured as JSON."""
    settings = json.loads(sys.argv[1])
    soak = Soak(settings)
    for name in soak.signatures:  # as the server warms up
        soak.labels(name, soak.images[0][0])
    print("done 0", flush=True)
    end = time.monotonic() + 60 * settings["minutes"]
    threads = [threading.Thread(target=soak.run, args=[i, end]) for i in range(settings["threads"])]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        print(f"done {soak.counts['served'] + soak.counts['bad']}", flush=True)
    assert not {"deeplab_tf", "crf"} & sys.modules.keys()
    found = {**soak.counts, "equal": soak.equal, "problems": soak.problems}
    print(json.dumps({"served": 0, "refused": 0, "bad": 0, **found}))


if __name__ == "__main__":
    main()
