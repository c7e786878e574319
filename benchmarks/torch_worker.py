"""Runs a network of torch_networks.py for the benchmarks, in an environment that has torch.

The first line of standard input is JSON, a job: `network`, `task` ("inference" or "train"), `size`
and `batch_size` of the images, `precision` ("float32" or "bfloat16"); JSON is written: how many
`parameters` the network has, and the memory `layout` that was faster. Each further line is a
number of seconds, for at least which the task is repeated; written are the seconds and the number
of repetitions. When the input ends, the most `megabytes` that the process has held are written.
"""

import json
import resource
import sys
import time
from contextlib import nullcontext

import torch
from torch_networks import (
    NETWORKS,
    count_parameters,
    cross_entropy,
    freeze_batch_norm,
    parameter_groups,
)

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
NUM_CLASSES = 21
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 5e-4
TRIALS = 2


def inference(network, job, layout):
    """A function that scores the same batch."""
    dtype = getattr(torch, job["precision"])
    network = network.to(dtype=dtype, memory_format=layout).eval()
    images = random_images(job).to(dtype=dtype, memory_format=layout)

    def run():
        with torch.inference_mode():
            return network(images).float()

    return run


def training(network, job, layout):
    """A function that makes one step from the same batch; mixed precision by autocast."""
    network = network.to(memory_format=layout).train()
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
    """Images as they are after preprocessing."""
    return 60 * torch.randn(job["batch_size"], 3, job["size"], job["size"])


def faster_layout(job):
    """The task in the layout that is faster, after a first run of each, and its name."""
    make, best = {"inference": inference, "train": training}[job["task"]], None
    for name, layout in LAYOUTS.items():
        network = NETWORKS[job["network"]](NUM_CLASSES)
        parameters, run = count_parameters(network), make(network, job, layout)
        run()
        seconds = repeat(run, TRIALS)[0]
        if best is None or seconds < best[0]:
            best = seconds, name
        del network, run
    # Made anew, so that the memory of both at once does not count.
    return make(NETWORKS[job["network"]](NUM_CLASSES), job, LAYOUTS[best[1]]), best[1], parameters


def repeat(run, times=None, seconds=0.0):
    """Seconds that `times` repetitions take, or as many as fill `seconds`; and their number."""
    start, done = time.perf_counter(), 0
    while done < (times or 1) or (times is None and time.perf_counter() - start < seconds):
        run()
        done += 1
    return time.perf_counter() - start, done


def say(message):
    """Write a line of JSON."""
    print(json.dumps(message), flush=True)


def main():
    """Answer until the input ends."""
    torch.manual_seed(0)
    run, layout, parameters = faster_layout(json.loads(sys.stdin.readline()))
    run()
    say({"parameters": parameters, "layout": layout})
    for line in sys.stdin:
        say(repeat(run, seconds=json.loads(line)))
    say({"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


if __name__ == "__main__":
    main()
