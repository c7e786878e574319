"""The table of a large job: a row for each image, in Parquet files that are written as a whole.

The rows of a finished part are one file in the folder TABLE of the results. The file is the record
that these images are done: a job that is started again does only those that are in no file.
"""

import io
import json

from deeplab_tf.errors import InputError
from deeplab_tf.partial_files import remove_leftovers
from deeplab_tf.scale.session import import_pyarrow
from deeplab_tf.scale.storage import (
    files_below,
    is_file,
    is_url,
    join,
    open_place,
    read_place,
    write_place,
)
from deeplab_tf.untrusted import parse_json

TABLE, JOB = "table.parquet", "job.json"
SMALL = ("image", "source", "label_file", "error")  # columns that take little memory


def schema(classes, with_labels):
    """The columns of a table.

    Args:
      classes: names of the classes.
      with_labels: whether a column holds the PNG of the labels; otherwise one has the file's path.

    Returns:
      `pyarrow.Schema`.
    """
    pa = import_pyarrow()
    labels = ("label_png", pa.binary()) if with_labels else ("label_file", pa.string())
    return pa.schema(
        [
            ("image", pa.string()),
            ("source", pa.string()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            labels,
            ("areas", pa.struct([(name, pa.int64()) for name in classes])),
            ("confidence", pa.float32()),
            ("note", pa.string()),
            ("error", pa.string()),
        ]
    )


def failed_row(item, reason):
    """The row of an `Item` that has no labels."""
    return {"image": item.name or item.source, "source": item.source, "error": reason}


def write_part(out_dir, name, rows, columns):
    """Write the rows of a part as a file.

    Args:
      out_dir: path or URL of the folder of the results.
      name: of the part; a part of the same name is replaced.
      rows: list of dicts; what is missing is null.
      columns: what `schema` gives.
    """
    pa, parquet = import_pyarrow(), import_pyarrow("pyarrow.parquet")
    contents = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=columns), contents)
    write_place(join(out_dir, f"{TABLE}/{name}.parquet"), contents.getvalue())


def is_written(out_dir, name):
    """Whether the part of this name is written."""
    return is_file(join(out_dir, f"{TABLE}/{name}.parquet"))


def part_names(out_dir):
    """Names of the parts that are written, a sorted list."""
    names = [name for name in files_below(join(out_dir, TABLE)) if name.endswith(".parquet")]
    return [name.removesuffix(".parquet") for name in names]


def read_parts(out_dir, with_labels=False):
    """Read the parts.

    Args:
      out_dir: path or URL of the folder of the results.
      with_labels: whether to read all columns; otherwise only image, source, label_file and error.

    Yields:
      (name, `pyarrow.Table`).

    Raises:
      InputError: naming a file that is not one of a table.
    """
    parquet = import_pyarrow("pyarrow.parquet")
    for name in part_names(out_dir):
        place = join(out_dir, f"{TABLE}/{name}.parquet")
        filesystem, path = open_place(place)
        try:
            with filesystem.open_input_file(path) as file:
                known = parquet.ParquetFile(file).schema_arrow.names
                columns = [one for one in known if with_labels or one in SMALL]
                found = parquet.read_table(file, columns=columns)
        except (OSError, ValueError) as error:
            raise InputError(f"{place}: damaged, or not of a table ({error}); delete it") from None
        yield name, found


def forget_failures(out_dir, columns):
    """Take the rows without labels out of the table, so that their images are done again."""
    pc = import_pyarrow("pyarrow.compute")
    names = {name for name, table in read_parts(out_dir) if table["error"].null_count < len(table)}
    for name, table in read_parts(out_dir, with_labels=True) if names else ():
        if name in names:
            kept = table.filter(pc.is_null(table["error"]))
            write_part(out_dir, name, kept.to_pylist(), columns)


def begin_job(out_dir, identity):
    """Record what the labels of a folder depend on; a folder holds those of one job.

    Args:
      out_dir: path or URL of the folder of the results.
      identity: JSON-serializable dict of everything but the images that the labels depend on.

    Raises:
      InputError: if the folder holds the labels of another job.
    """
    place = join(out_dir, JOB)
    identity = json.loads(json.dumps(identity))  # tuples become lists, as in a file
    if is_file(place):
        try:
            known = parse_json(read_place(place))
        except ValueError:
            raise InputError(f"{place}: not the record of a job; delete it") from None
        known = known if isinstance(known, dict) else {}
        differ = [key for key in identity if known.get(key) != identity[key]]
        if differ:
            raise InputError(
                f"{place}: the labels there were made with another {' and '.join(differ)}; give "
                "the same settings to go on, or another --out_dir"
            )
        return
    write_place(place, f"{json.dumps(identity, indent=1)}\n".encode())


def clean(out_dir):
    """Delete what killed workers of an earlier run have left of files in the table's folder."""
    if is_url(out_dir):  # a store shows only whole files
        return
    _, path = open_place(join(out_dir, TABLE))
    remove_leftovers(path)
