"""Prepare a data set from its authors' archives, for training and evaluation.

    python tools/prepare_data.py --dataset=voc12_aug --download_dir=downloads --data_dir=data

writes TFRecord files into data/voc12_aug. Archives are taken from --manual_dir, or downloaded.
Stopped at any point, the same command goes on: what is downloaded and extracted is kept in
--download_dir, and may be deleted when all is prepared.
"""

from absl import flags
from app import run

# app quiets TensorFlow, so it is imported before it.
# isort: split
from deeplab_tf.data.prepare import BUILDERS, prepare

FLAGS = flags.FLAGS

flags.DEFINE_enum("dataset", None, list(BUILDERS), "Which data set.", required=True)
flags.DEFINE_string(
    "download_dir", "downloads", "Folder for what is downloaded and extracted; needs much room."
)
flags.DEFINE_string("data_dir", None, "Folder for the prepared data.", required=True)
flags.DEFINE_string("manual_dir", None, "Folder of archives that you have downloaded yourself.")
flags.DEFINE_bool(
    "trust_archives",
    False,
    "Take archives that are not the originals: any checksum, any number of images.",
)

OPTION_FLAGS = (
    "sbd_void_border",
    "min_pixels",
    "camvid_form",
    "images_dir",
    "labels_dir",
    "classes",
    "train_list",
    "val_list",
    "val_fraction",
    "voc_dir",
)


def print_result(prepared):
    """Print the lists with their numbers of images, and how to train with them."""
    width = max(len(name) for name in prepared.counts)
    print(f"{prepared.folder}: {'prepared' if prepared.is_new else 'was prepared before'}")
    for name, count in prepared.counts.items():
        print(f"  {name:{width}}  {count:6d} images")
    split = "train_aug" if "train_aug" in prepared.counts else "train"
    print(
        f"python tools/train.py --dataset={FLAGS.dataset} --data_dir={FLAGS.data_dir}"
        f" --train_split={split} --model_dir=runs/{FLAGS.dataset}"
    )


def main():
    """Prepare the data set of the flags."""
    options = {name: FLAGS[name].value for name in OPTION_FLAGS if FLAGS[name].present}
    prepared = prepare(
        FLAGS.dataset,
        FLAGS.download_dir,
        FLAGS.data_dir,
        manual_dir=FLAGS.manual_dir,
        options=options,
        trust_archives=FLAGS.trust_archives,
    )
    print_result(prepared)


if __name__ == "__main__":
    run(main)
