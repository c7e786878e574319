"""Readers that do what none should, for the tests of the campaign itself."""

import os
import time


class Refused(Exception):
    pass


def _refuse(given, target):
    raise Refused(f"{given / 'file'}: \x1b[31mdamaged")


def _write(given, target):
    (target.parent / "out").write_bytes(b"x")


def _spin(given, target):
    while True:
        pass


def _fill(given, target):
    held = bytearray(400 << 20)
    time.sleep(60)
    return len(held)


READERS = {
    "result": lambda given, target: (given / "file").read_bytes(),
    "line": lambda given, target: _raise(Refused(f"{given / 'file'}: damaged; copy it again")),
    "message": _refuse,
    "exception": lambda given, target: {}["key"],
    "outside": _write,
    "code": lambda given, target: os.system("true"),
    "crash": lambda given, target: os.abort(),
    "time": _spin,
    "sleep": lambda given, target: time.sleep(60),
    "memory": _fill,
}


def _raise(error):
    raise error


def is_own_error(reader, error):
    return isinstance(error, Refused)
