"""Runs PyTorch's DataLoader for benchmarks/input.py, in an environment that has it.

The first line of standard input is JSON: lists of image and label files, crop size, batch size,
number of worker processes and seed. Each further line is JSON with two numbers of batches, the
first untimed, the second timed. The answer to each line is JSON: the seconds of the timed batches,
and the processor seconds that all processes spent in them. Needs Linux, torch, numpy and
opencv-python-headless.
"""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

MEAN_RGB = (123, 117, 104)
VOID = 255


class Crops(Dataset):
    """Images and labels, randomly scaled, cropped and mirrored."""

    def __init__(self, images, labels, crop_size):
        self.images, self.labels, self.crop_size = images, labels, crop_size
        self.rng = None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if self.rng is None:  # in the worker process, which has its own seed
            self.rng = np.random.default_rng(torch.initial_seed())
        image = cv2.imread(self.images[index], cv2.IMREAD_COLOR_RGB)
        label = cv2.imread(self.labels[index], cv2.IMREAD_GRAYSCALE)
        image, label = self._scale(image, label)
        image, label = self._crop(image, label)
        if self.rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        image = np.ascontiguousarray(image, np.float32)
        return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(label))

    def _scale(self, image, label):
        factor = self.rng.uniform(0.5, 1.5)
        size = [int(side * factor + 0.5) for side in label.shape[::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        return image, cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)

    def _crop(self, image, label):
        crop = self.crop_size
        below, right = (max(crop - side, 0) for side in label.shape)
        if below or right:
            border = (0, below, 0, right, cv2.BORDER_CONSTANT)
            image = cv2.copyMakeBorder(image, *border, value=MEAN_RGB)
            label = cv2.copyMakeBorder(label, *border, value=VOID)
        top, left = (self.rng.integers(side - crop + 1) for side in label.shape)
        window = (slice(top, top + crop), slice(left, left + crop))
        return image[window], label[window]


def make_loader(job):
    """The DataLoader, with the settings that its documentation recommends for speed."""
    data = Crops(job["images"], job["labels"], job["crop_size"])
    torch.manual_seed(job["seed"])
    return DataLoader(
        data,
        job["batch_size"],
        # One endless pass, so that no round waits for workers to start another one.
        sampler=RandomSampler(data, replacement=True, num_samples=10**8),
        num_workers=job["workers"],
        worker_init_fn=lambda _: cv2.setNumThreads(0),
        persistent_workers=True,
        prefetch_factor=4,
    )


def processor_seconds():
    """Processor seconds that this process and its workers have spent so far."""
    ticks = 0
    for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        # Counted after the name in parentheses, user and system time are fields 12 and 13.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    """Answer requests until the input ends."""
    job = json.loads(sys.stdin.readline())
    batches = iter(make_loader(job))
    for line in sys.stdin:
        untimed, timed = json.loads(line)
        for _ in range(untimed):
            image, label = next(batches)
        start, spent = time.perf_counter(), processor_seconds()
        for _ in range(timed):
            image, label = next(batches)
        seconds = [time.perf_counter() - start, processor_seconds() - spent]
        size = (job["batch_size"], job["crop_size"], job["crop_size"])
        assert (image.shape, image.dtype) == ((*size, 3), torch.float32)
        assert (label.shape, label.dtype) == (size, torch.uint8)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
