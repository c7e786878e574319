"""The page of a table of training runs, which says what was measured, and its JSON file."""

import json
import os
import shlex
import textwrap
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from deeplab_tf.commands import train
from deeplab_tf.commands.card_text import scored_on
from deeplab_tf.commands.flagfiles import find_flagfile
from deeplab_tf.commands.outputs import check_output_files, print_written
from deeplab_tf.commands.parsing import given_flags, parse_flags
from deeplab_tf.commands.runs import without_folders
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file

_OF_FILES = ("runs_dir", "out")  # flags that change no figure


class TablePage:
    """The two files of a table; what can be wrong with them is found before the runs.

    Args:
      command: name of the command that prints the table.
      subject: what the table shows, a phrase that begins the page.
      flags: its parsed flags, with those of `define_table_flags`, --system and --data_dir.
      page: the file of the page, in Markdown.
      scores: the JSON file; None: beside the page, with the same name.

    Raises:
      InputError: if a file cannot be written, or the seeds or the flags of the trainings are wrong.
    """

    def __init__(self, command, subject, flags, page, scores=None):
        self.subject, self.flags = subject, flags
        self.page, self.scores = Path(page), Path(scores or Path(page).with_suffix(".json"))
        if self.page == self.scores:
            raise InputError(
                f"--out={page}: the scores of the runs are written into this file; give the "
                "table another name, such as one that ends with .md"
            )
        if not flags.seeds or len(set(flags.seeds)) < len(flags.seeds):
            raise InputError(f"--seeds={','.join(flags.seeds)}: give one or more different numbers")
        check_output_files(self.page, self.scores)
        words = [word for flag in given_flags(flags) for word in flag.splitlines()]
        words = [word for word in words if word.removeprefix("--").split("=")[0] not in _OF_FILES]
        self.command = shlex.join(["deeplab-tf", command, *without_folders(words)])
        self.system = find_flagfile(flags.system).stem
        self.training = describe_training([f"--flagfile={flags.system}", *flags.train_flag])

    def write(self, text, rows, found):
        """Write both files, print the page, and say where they are.

        Args:
          text: the tables, in Markdown.
          rows: {row: (its title, the flags in which its training differs from the system's)}.
          found: {row: list of its scores, one dict of `evaluate --json_out` for each seed}.

        Raises:
          InputError: if the runs were scored on different images.
        """
        images = _images(scores for row in found.values() for scores in row)
        runs = [
            {"row": row, "title": title, "flags": list(changes), "seed": seed, "scores": scores}
            for row, (title, changes) in rows.items()
            for seed, scores in zip(self.flags.seeds, found[row], strict=True)
        ]
        content = {
            "command": self.command,
            "system": self.system,
            "training": self.training,
            "images": images,
            "runs": runs,
        }
        page = f"{self._introduction(images)}\n{text}"
        contents = json.dumps(content, indent=1, allow_nan=False)
        write_file(self.scores, f"{contents}\n".encode())
        write_file(self.page, page.encode())
        print(page)
        print_written(self.page, self.scores)

    def _introduction(self, images):
        # Without a heading: the site of the docs calls the page by the name of its file.
        seeds = self.flags.seeds
        link = Path(os.path.relpath(self.scores, self.page.parent)).as_posix()
        trained, figure = f"with the seed {seeds[0]}", ""
        if len(seeds) > 1:
            trained = f"with each of the seeds {', '.join(seeds)}"
            figure = "; a figure is the mean over the seeds ± half of their range"
        about = (
            f"The system is `{self.system}`: {self.training}. Every network is trained {trained}, "
            f"and scored after its last step on {images}, in percent{figure}. "
            f"[{self.scores.name}]({link}) has all scores of every run, and the flags in which the "
            "training of its row differs."
        )
        about = textwrap.fill(about, 100, break_long_words=False, break_on_hyphens=False)
        return f"{self.subject}, printed by\n\n    {self.command}\n\n{about}\n"


def describe_training(words):
    """Network and budget of a training in words.

    Args:
      words: its flags without data set and folder, a list of str.

    Raises:
      InputError: if a flag is unknown or has a wrong value.
    """
    flags = absl_flags.FlagValues()
    train.define_flags(flags)
    parse_flags(flags, ["--model_dir=unused", *words])
    head = f"{flags.head}, output stride {flags.output_stride}"
    network = f"FCN-{flags.fcn_stride}s" if flags.network == "fcn" else head
    crop, steps = flags.crop_size, f"{flags.steps:,} steps"
    crops = f"{flags.batch_size} crops of {crop}x{crop} pixels"
    return f"{flags.backbone}, {network}, {steps} of {crops}"


def spread(values, sign=""):
    """The mean of an array as text, of several values with half of their range.

    Args:
      values: (n,) floats.
      sign: the format's sign, such as "+".

    Example:
      >>> spread(np.array([40.0, 42.0])), spread(np.array([40.0]))
      ('41.00 ± 1.00', '40.00')
    """
    range_ = f" ± {np.ptp(values) / 2:.2f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.2f}{range_}"


def _images(all_scores):
    """What all the runs were scored on, in words."""
    found = sorted({scored_on(scores) for scores in all_scores if "settings" in scores})
    if len(found) > 1:
        raise InputError(
            f"the runs were scored on {' and on '.join(found)}, so they cannot be compared; delete "
            "scores.json in the folders of some, to score them again"
        )
    return found[0] if found else "images that were not recorded"
