"""Reads the inputs of the fuzzing campaign, one after the other, in a process of its own.

    python tests/campaigns/fuzz_worker.py MODULE FOLDER

MODULE has `READERS` and `is_own_error`, see fuzz_readers.py. For every name of a reader on a line
of the standard input, the input in FOLDER/given is read, and what came of it is written as a line
of JSON; see `attempt`.
"""

import hashlib
import importlib
import json
import os
import re
import resource
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS_SPACE = 6 << 30  # bytes beyond what the libraries take
# What no reader of a stranger's file may do.
_NEVER = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen",
          "pty.spawn", "pickle.find_class")  # fmt: skip
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.rmdir",
            "os.truncate", "os.chmod", "shutil.rmtree")  # fmt: skip


class Watch:
    """Notes what the interpreter does outside of a folder while `active`.

    Attributes:
      active: whether anything is noted.
      seen: list of str.
    """

    def __init__(self, folder):
        self.folder, self.active, self.seen = os.path.realpath(folder), False, []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if not self.active:
            return
        if event in _NEVER:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "socket.connect" and arguments[1][0] != "127.0.0.1":
            self.seen.append(f"{event} {arguments[1]!r}")
        elif event == "open":
            path, mode, flags = arguments
            writes = bool(set(mode or "") & set("wax+")) or (flags or 0) & 3
            if writes and not isinstance(path, int):
                self._check(event, path)
        elif event in _CHANGES:
            # A name relative to an open folder is not checked: the folder was.
            given = [one for one in arguments if isinstance(one, str | bytes | os.PathLike)]
            folders = [one for one in arguments if isinstance(one, int) and one > 2]
            for path in [] if folders and event != "os.mkdir" else given:
                self._check(event, path)

    def _check(self, event, path):
        real = os.path.realpath(os.fsdecode(path))
        if not real.startswith((self.folder, "/dev/null")):
            self.seen.append(f"{event} {real}")


def attempt(reader, module, folder, watch=None):
    """Read the input in a folder.

    Args:
      reader: name of the reader.
      module: has `READERS`, functions of the folders `given` and `target`, and `is_own_error`, a
        function of a reader's name and an exception.
      folder: Path that holds `given`, with the input, and the empty folder `target`.
      watch: a `Watch`, or None.

    Returns:
      dict: "kind": "result" or "line", or what is wrong: "exception", "message", "outside" (a file
      was written there) or "code" (was run); "text", the message; "digest", of the result.
    """
    before = _files(folder)
    if watch:
        watch.active, watch.seen = True, []
    try:
        found = {
            "kind": "result",
            "text": "",
            "digest": digest(module.READERS[reader](folder / "given", folder / "target")),
        }
    except BaseException as error:
        found = _failure(error, folder, module.is_own_error(reader, error))
    if watch:
        watch.active = False
        if watch.seen:
            found = {"kind": "code", "text": "; ".join(watch.seen)[:500]}
    if (after := _files(folder)) != before:
        found = {"kind": "outside", "text": f"{sorted(after ^ before)[:5]}"}
    return found


def _failure(error, folder, is_own):
    text = " ".join(str(error).split())
    if not is_own:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if f.filename.startswith((f"{ROOT}/deeplab_tf", f"{ROOT}/crf"))]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "the campaign"
        return {"kind": "exception", "text": f"{type(error).__name__} in {place}: {text[:300]}"}
    # The same in every folder, and whatever the port of the server.
    plain = re.sub(r"127\.0\.0\.1:\d+", "SERVER", text.replace(str(folder), "FOLDER"))
    plain = re.sub(r"\btmp\w{8}\b", "TEMPORARY", plain)
    is_clear = text.isprintable() and len(plain) > 10
    return {"kind": "line" if is_clear else "message", "text": plain[:600]}


def _files(folder):
    """The paths and sizes of everything in a folder, apart from the target's contents."""
    found = set()
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).parts
        if inner[0] != "target":
            found.add((str(path), path.lstat().st_size if path.is_file() else 0))
    return found


def digest(value):
    """A checksum of a result: equal results have equal ones."""
    state = hashlib.sha256()
    _add(state, value)
    return state.hexdigest()[:16]


def _add(state, value):
    if hasattr(value, "get_weights"):  # a network
        _add(state, value.get_weights())
    elif hasattr(value, "tobytes") and hasattr(value, "dtype") and value.dtype.kind != "O":
        state.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, dict):
        _add(state, list(value.items()))
    elif isinstance(value, list | tuple):
        state.update(b"[")
        for item in value:
            _add(state, item)
        state.update(b"]")
    elif isinstance(value, bytes):
        state.update(value)
    else:
        state.update(repr(value).encode("utf-8", "replace"))


def _peak():
    """The largest resident memory since `_forget_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def main(module, folder):
    """Read inputs until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print
    module = importlib.import_module(module)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch = Watch(folder)
    print(json.dumps({"kind": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        name = line.strip()
        _forget_peak()
        start = time.process_time()
        found = attempt(name, module, Path(folder), watch)
        found |= {"seconds": time.process_time() - start, "memory": _peak()}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    main(*sys.argv[1:])
