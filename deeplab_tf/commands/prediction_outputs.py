"""What `predict` writes: labels, pictures, probabilities, and a page of all images."""

from pathlib import Path
from typing import NamedTuple

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.commands.outputs import (
    check_jinja,
    check_output_files,
    command_line,
    network_name,
    plan_image_outputs,
)
from deeplab_tf.commands.parsing import given_flags
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.class_maps import SIDE, class_map_picture
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.photographs import enlarge
from deeplab_tf.evaluation.probability_files import (
    SOURCES,
    check_npz,
    check_pngs,
    in_file_name,
    save_npz,
    save_pngs,
)
from deeplab_tf.evaluation.report import photograph_panel, photograph_row
from deeplab_tf.files import write_file
from deeplab_tf.visualize import encode_picture, overlay_with_legend

FORMATS = ("npz", "npz_float16", "png")
# The flags of what a network for depth does not give.
OF_CLASSES = (
    "overlay_alpha",
    "side_by_side",
    "class_maps",
    "probabilities_out",
    "probabilities_format",
    "contact_sheet_out",
)
SHOWN_IMAGES = 3  # of those on the command line, on the contact sheet


class ImagePlan(NamedTuple):
    """The files to write for one image.

    Args:
      image: path of the image.
      pictures: dict from "labels", "overlay", "side by side" or "probability of CLASS" to a path.
      probabilities: path of the file or folder with the probabilities of all classes, or None.
    """

    image: Path
    pictures: dict
    probabilities: Path | None

    @property
    def files(self):
        """Paths of everything that is written."""
        return [*self.pictures.values(), *filter(None, [self.probabilities])]


def define_output_flags(values):
    """Define the flags of the files to write."""
    define = heading(values, "Output")
    define.string("out_dir", None, "Folder for the results.", required=True)
    define.float(
        "overlay_alpha",
        0.6,
        "Opacity of the classes' colors in the overlay, 0 to 1.",
        lower_bound=0,
        upper_bound=1,
    )
    define.bool(
        "side_by_side",
        False,
        "Also write NAME_side_by_side.png: the image, and the overlay, with --crf before and after "
        "it.",
    )
    define.list(
        "class_maps",
        [],
        "Names of classes: also write NAME_map_CLASS.png, the probability of the class at every "
        "pixel with a color bar, with --crf before and after it.",
    )
    define.string(
        "probabilities_out",
        None,
        "Folder for the probabilities of all classes at every pixel, in files of the same names.",
    )
    define.enum(
        "probabilities_format",
        "npz",
        FORMATS,
        "npz: NAME.npz of float32, for NumPy. npz_float16: half the size. png: a folder NAME with "
        "a 16-bit PNG for each class. docs/training.md shows how to read them.",
    )
    define.string(
        "contact_sheet_out",
        None,
        "HTML file for a page with all images: small pictures, the area of each class, and links "
        "to the files.",
    )
    define.string(
        "panel_out",
        None,
        "PNG file for a picture with a row for each image: the image, and the overlay, with --crf "
        "before and after it.",
    )
    define.integer("panel_rows", 20, "Number of images in that picture, the first.", lower_bound=1)


def plan_outputs(flags, images, head=""):
    """Choose the files to write for each image, and check that nothing is in the way.

    Args:
      flags: the parsed flags.
      images: list of paths of images, or of folders whose images are meant.
      head: name of the folder in --out_dir for the files; "": --out_dir itself.

    Returns:
      List of `ImagePlan`.

    Raises:
      InputError: as `plan_image_outputs`, or if another file cannot be written.
    """
    if not flags.probabilities_out:
        refuse_given(flags, ["probabilities_format"], "has no effect without --probabilities_out")
    if flags.contact_sheet_out:
        check_jinja("contact_sheet_out")
    endings = {"labels": "", "overlay": "_overlay"}
    if flags.side_by_side:
        endings["side by side"] = "_side_by_side"
    for name in flags.class_maps:
        endings[f"probability of {name}"] = f"_map_{in_file_name(name)}"
    if len(set(endings.values())) < len(endings):
        raise InputError(
            f"--class_maps={','.join(flags.class_maps)}: two of the names give files of the same "
            "name; draw one of them in a run of its own, with another --out_dir"
        )
    plan = [
        ImagePlan(image, dict(zip(endings, paths, strict=True)), _probability_path(flags, image))
        for image, *paths in plan_image_outputs(images, Path(flags.out_dir, head), endings.values())
    ]
    check = check_pngs if flags.probabilities_format == "png" else check_npz
    for one in plan if flags.probabilities_out else ():
        check(one.probabilities)
    _check_common_files(flags, plan)
    return plan


def _probability_path(flags, image):
    if not flags.probabilities_out:
        return None
    ending = "" if flags.probabilities_format == "png" else ".npz"
    return Path(flags.probabilities_out) / f"{image.stem}{ending}"


def _check_common_files(flags, plan):
    """Raise `InputError` if a file for all images cannot be written, or is another file, too."""
    common = {name: flags[name].value for name in ("panel_out", "contact_sheet_out")}
    taken = {path.resolve() for one in plan for path in (one.image, *one.files)}
    for name, path in common.items():
        if path and Path(path).resolve() in taken:
            raise InputError(
                f"--{name}={path}: is also an image or the result of one, or the file of another "
                "flag; give another name"
            )
        taken.add(path and Path(path).resolve())
    check_output_files(*common.values())


class PredictionWriter:
    """Writes the files of one image after another, and at the end those of all together.

    Args:
      flags: the parsed flags.
      label_set: `LabelSet` of the classes.
      source: what the last probabilities of an image are of, see `SOURCES`.
      count: number of images.
      arguments: the images and folders of the command line.

    Raises:
      InputError: if a name of --class_maps is none of the classes.

    Attributes:
      written: list of the paths of all files so far.
    """

    def __init__(self, flags, label_set, source, count, arguments):
        self._flags, self._label_set, self._source = flags, label_set, source
        try:
            self._maps = {name: label_set.index_of(name) for name in flags.class_maps}
        except InputError as error:
            raise InputError(f"--class_maps: {error}") from None
        self._rows, self.written = [], []
        self._sheet = None
        if flags.contact_sheet_out:
            from deeplab_tf.evaluation.html_report import ContactSheet  # needs Jinja2, slow

            if len(arguments) > SHOWN_IMAGES:
                arguments = [*arguments[:SHOWN_IMAGES], "..."]
            self._sheet = ContactSheet(
                Path(flags.contact_sheet_out),
                f"Labels by {network_name(flags.model)}",
                command_line("predict", *given_flags(flags), *arguments),
                label_set,
                count,
                flags.overlay_alpha,
            )

    def write(self, plan, image, stages):
        """Write the files of one image.

        Args:
          plan: its `ImagePlan`.
          image: (H, W, 3) uint8 RGB.
          stages: yields (caption, probabilities (h, w, C) float32), the result last; (h, w) is the
            size that the image was scored at.

        Raises:
          InputError: from `stages`, or if memory cannot hold the probabilities to write.
        """
        size, labels, maps = image.shape[:2], [], {name: {} for name in self._maps}
        for caption, probabilities in stages:
            labels.append(most_probable(probabilities, size))
            for name, index in self._maps.items():
                maps[name][caption] = probabilities[..., index : index + 1].copy()
        if plan.probabilities:
            self._write_probabilities(plan.probabilities, probabilities, size)
        files, alpha = plan.pictures, self._flags.overlay_alpha
        write_file(files["labels"], encode_label(labels[-1], self._label_set.color_table()))
        tinted = overlay_with_legend(image, labels[-1], self._label_set, alpha)
        write_file(files["overlay"], encode_picture(tinted))
        if "side by side" in files:
            row = photograph_row(image, labels, self._label_set, alpha, side=SIDE)
            picture = photograph_panel(self._label_set, [row])
            write_file(files["side by side"], encode_picture(picture))
        for name, planes in maps.items():
            # Of large photographs, memory may hold these planes of one class, but not of all.
            large = {caption: enlarge(plane, size)[..., 0] for caption, plane in planes.items()}
            picture = class_map_picture(name, large)
            write_file(files[f"probability of {name}"], encode_picture(picture))
        self._note(plan, image, labels)

    def _write_probabilities(self, path, probabilities, size):
        content = path, probabilities, self._label_set.names, self._source, size
        if self._flags.probabilities_format == "png":
            save_pngs(*content)
        else:
            half = self._flags.probabilities_format == "npz_float16"
            save_npz(*content, dtype="float16" if half else "float32")

    def _note(self, plan, image, labels):
        """Keep what the files of all images need of this one."""
        self.written += plan.files
        if self._flags.panel_out and len(self._rows) < self._flags.panel_rows:
            alpha = self._flags.overlay_alpha
            self._rows.append(photograph_row(image, labels, self._label_set, alpha))
        if self._sheet:
            links = dict(plan.pictures)
            if plan.probabilities:
                links["probabilities"] = plan.probabilities
            self._sheet.add(plan.image, image, labels[-1], links)

    def finish(self, left_out):
        """Write the files of all images, if there are any; `left_out`: a line for each failure."""
        flags, common = self._flags, []
        if self._rows:
            picture = photograph_panel(self._label_set, self._rows)
            write_file(flags.panel_out, encode_picture(picture))
            common.append(flags.panel_out)
        if self._sheet and self._sheet.images:
            write_file(flags.contact_sheet_out, self._sheet.render(left_out).encode())
            common.append(flags.contact_sheet_out)
        if flags.probabilities_out and self.written:
            print(f"probabilities: {SOURCES[self._source]}")
        self.written[:0] = common
