"""A child process that reads inputs, and is ended if one of them takes too much."""

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple


class Limits(NamedTuple):
    """What one input may take.

    Args:
      seconds: of processor time.
      wall_seconds: by the clock, which on a busy machine goes on while nothing is computed.
      memory: resident memory in bytes, beyond that of the process before its first input.
    """

    seconds: float = 10
    wall_seconds: float = 180
    memory: int = 2 << 30


class Child:
    """A process of fuzz_worker.py, started when it is needed, and again after it has ended.

    Args:
      module: name of the module of the readers.
      limits: `Limits`.
    """

    def __init__(self, module, limits=Limits()):  # noqa: B008
        self.limits, self._module = limits, module
        self._process, self._resident, self._start_memory = None, 0, 0
        self._root = Path(tempfile.mkdtemp(prefix="fuzz_"))
        self.folder = self._root / "run"
        self.starts = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()
        shutil.rmtree(self._root, ignore_errors=True)

    def read(self, reader, files):
        """Let the child read an input.

        Args:
          reader: name of the reader.
          files: {name: bytes}, which are written in this order.

        Returns:
          What `fuzz_worker.attempt` returns; "kind" may also be "crash", "time" or "memory".
        """
        write_input(self.folder, files)
        # What earlier inputs left behind must not count as this one's.
        if self._process and self._resident - self._start_memory > self.limits.memory / 2:
            self._end()
        if self._process is None:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{reader}\n")
            self._process.stdin.flush()
        found = self._wait()
        if found["kind"] in ("crash", "time", "memory"):
            self._end()
        elif found["seconds"] > self.limits.seconds:
            found["kind"], found["text"] = "time", f"{found['seconds']:.1f} s"
        elif found["memory"] - self._start_memory > self.limits.memory:
            found["kind"], found["text"] = "memory", f"{found['memory'] / 1e9:.1f} GB"
        return found

    def _start(self):
        script = Path(__file__).with_name("fuzz_worker.py")
        self._errors = (self._root / "stderr").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, str(script), self._module, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._root,
            env={
                **os.environ,
                "TMPDIR": str(self.folder / "target"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_NUM_INTRAOP_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )
        self.starts += 1
        found = self._wait(loading=True)
        if found["kind"] != "ready":
            raise RuntimeError(f"the child does not start: {found}")
        self._start_memory = self._memory()

    def _end(self):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._errors.close()
            self._process = None

    def _wait(self, loading=False):
        """The child's next answer, or why there is none."""
        start, cpu = time.monotonic(), self._cpu()
        while not select.select([self._process.stdout], [], [], 0.02)[0]:
            if self._process.poll() is not None:
                break
            self._resident = self._memory()
            wall = time.monotonic() - start
            if loading and wall < 300:
                continue
            if self._resident - self._start_memory > self.limits.memory:
                return {"kind": "memory", "text": f"{self._resident / 1e9:.1f} GB"}
            if self._cpu() - cpu > self.limits.seconds or wall > self.limits.wall_seconds:
                return {"kind": "time", "text": f"{wall:.1f} s by the clock"}
        line = self._process.stdout.readline()
        if line:
            self._resident = self._memory()
            return json.loads(line)
        status = self._process.wait()
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        self._errors.seek(0)
        tail = self._errors.read().decode("utf-8", "replace").strip()[-300:]
        return {"kind": "crash", "text": f"{name}: {tail}"}

    def _memory(self):
        return self._numbers("statm")[1] * resource.getpagesize()

    def _cpu(self):
        # The numbers of the processor time come after the name, which is in parentheses.
        fields = self._numbers("stat")
        return sum(fields[:2]) / os.sysconf("SC_CLK_TCK")

    def _numbers(self, name):
        try:
            text = Path(f"/proc/{self._process.pid}/{name}").read_text()
        except OSError:
            return [0, 0]
        if name == "stat":
            return [int(word) for word in text.rpartition(")")[2].split()[11:13]]
        return [int(word) for word in text.split()]


def write_input(folder, files):
    """Write an input below folder/given, next to an empty folder/target."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("given", "target"):
        (folder / name).mkdir(parents=True)
    for name, contents in files.items():
        path = folder / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
