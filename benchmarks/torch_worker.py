"""Runs a network of torch_networks.py for the benchmarks, in an environment that has torch.

The first line of standard input is the job in JSON: `network`, `task`, `size` and `batch_size` of
the images, `precision` ("float32" or "bfloat16"), `processor_time` (whether to compute on one
thread and count the processor's seconds), and `classes`, their number if it is not 21. The task is
"inference", "train", or "labels", which also interpolates the scores and takes the best class, in
the `runtime` "eager", "compile", "openvino" or "onnxruntime". The answer has the number of
`parameters` and the faster memory `layout`, or `not_measured`, the reason why a runtime does not
run. Each further line is a number of seconds; the task is repeated for at least that long, and the
answer is the seconds and the number of repetitions. When the input ends, the last answer is the
peak memory in `megabytes`.
"""

import json
import resource
import sys
import time
from contextlib import nullcontext

import torch
import torch_runtimes
from torch.nn import functional
from torch_networks import (
    FROZEN,
    NETWORKS,
    count_parameters,
    cross_entropy,
    freeze_batch_norm,
    parameter_groups,
)

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
NUM_CLASSES = 21
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 5e-4
TRIALS = 2
HOPELESS = 3  # a layout whose first run takes so many times as long needs no trials


def inference(network, job, layout):
    """A function that always scores the same batch."""
    dtype = getattr(torch, job["precision"])
    network = network.to(dtype=dtype, memory_format=layout).eval()
    images = random_images(job).to(dtype=dtype, memory_format=layout)

    def run():
        with torch.inference_mode():
            return network(images).float()

    return run


def labeling(network, job, layout):
    """A function that always labels the same batch, in the runtime of the job."""
    network = network.to(memory_format=layout).eval()
    labels, images = Labels(network), random_images(job).to(memory_format=layout)
    run = torch_runtimes.RUNTIMES[job["runtime"]](labels, images)

    def answer():
        with torch.inference_mode():
            return run(images)

    return answer


class Labels(torch.nn.Module):
    """The best class of every pixel, from a network's scores."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Labels (B, H, W) uint8 of images (B, 3, H, W)."""
        size = x.shape[2:]
        scores = functional.interpolate(self.network(x), size, mode="bilinear", align_corners=True)
        return scores.argmax(1).to(torch.uint8)


def training(network, job, layout):
    """A function that makes one training step, always on the same batch; bfloat16 by autocast."""
    network = network.to(memory_format=layout).train()
    if job["network"] in FROZEN:
        freeze_batch_norm(network)
    optimizer = torch.optim.SGD(parameter_groups(network, RATE, DECAY), momentum=MOMENTUM)
    images = random_images(job).to(memory_format=layout)
    labels = torch.randint(NUM_CLASSES, (job["batch_size"], job["size"], job["size"]))
    mixed = job["precision"] == "bfloat16"

    def run():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
            loss = cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def random_images(job):
    """Random images, scaled like preprocessed ones."""
    return 60 * torch.randn(job["batch_size"], 3, job["size"], job["size"])


def faster_layout(job, clock):
    """The task in the faster layout, the layout's name, and the number of parameters."""
    make, best = TASKS[job["task"]], None
    # Other runtimes choose the layout themselves, and compiling twice would take minutes.
    choose = job.get("runtime", "eager") == "eager"
    classes = job.get("classes", NUM_CLASSES)
    for name, layout in LAYOUTS.items() if choose else [("contiguous", LAYOUTS["contiguous"])]:
        network = NETWORKS[job["network"]](classes)
        parameters, run = count_parameters(network), make(network, job, layout)
        seconds = repeat(run, clock, 1)[0]
        if not choose:
            return run, name, parameters
        if best is None or seconds < HOPELESS * best[0]:
            seconds = repeat(run, clock, TRIALS)[0] / TRIALS
        if best is None or seconds < best[0]:
            best = seconds, name
        del network, run
    # Build it again: keeping the networks of all trials would add to the peak memory.
    return make(NETWORKS[job["network"]](classes), job, LAYOUTS[best[1]]), best[1], parameters


TASKS = {"inference": inference, "labels": labeling, "train": training}


def repeat(run, clock, times=None, seconds=0.0):
    """Repeat `times` times, or for `seconds`; returns the seconds and the repetitions."""
    start, done = clock(), 0
    while done < (times or 1) or (times is None and clock() - start < seconds):
        run()
        done += 1
    return clock() - start, done


def write(message):
    """Write a line of JSON."""
    print(json.dumps(message), flush=True)


def main():
    """Read the job, then answer until the input ends."""
    torch.manual_seed(0)
    job = json.loads(sys.stdin.readline())
    clock = time.process_time if job["processor_time"] else time.perf_counter
    if job["processor_time"]:
        torch.set_num_threads(1)
    try:
        run, layout, parameters = faster_layout(job, clock)
    except Exception as error:  # whatever a runtime, or a compiler that is not there, raises
        if job.get("runtime", "eager") == "eager":
            raise
        lines = str(error).strip().splitlines() or [""]
        write({"not_measured": f"{type(error).__name__}: {lines[0][:120]}"})
        return
    run()
    write({"parameters": parameters, "layout": layout})
    for line in sys.stdin:
        write(repeat(run, clock, seconds=json.loads(line)))
    write({"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


if __name__ == "__main__":
    main()
