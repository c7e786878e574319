"""A machine for the pickles of PyTorch's files, which runs nothing of them.

A pickle is a program: its instructions build objects, import functions and call them. The machine
here knows only the instructions that a state dictionary needs, and imports and calls nothing: a
"call" of one of the few known names becomes a record of it, and any other name is refused.

A tensor is a view of a storage: an offset, sizes and strides, in numbers.
"""

import pickletools
from typing import NamedTuple

from deeplab_tf.errors import InputError, one_line

DTYPES = {  # names of storages; bfloat16 is read as the upper half of a float32
    **{"torch.FloatStorage": "f4", "torch.DoubleStorage": "f8", "torch.HalfStorage": "f2"},
    **{"torch.LongStorage": "i8", "torch.IntStorage": "i4", "torch.BFloat16Storage": "u2"},
}
REMEDY = "save the weights alone, with torch.save(model.state_dict(), FILE)"
_DICT = "collections.OrderedDict"
_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_KNOWN = {_DICT, _TENSOR, _PARAMETER, *DTYPES}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS_AND_TEXTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(NamedTuple):
    """The name of a function or class, which is never imported."""

    text: str


class Storage(NamedTuple):
    """The type of its numbers, the key that finds them in the file, and their count."""

    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    sizes: tuple
    strides: tuple


def run_pickle(path, pickle):
    """Run a pickle on the machine here.

    Args:
      path: of the file, for messages.
      pickle: bytes, or an open file, which is read to the end of the pickle.

    Returns:
      (the object, {key: `Storage`}); tensors in it are of class `Tensor`.

    Raises:
      InputError: for an instruction or a name that no state dictionary needs.
      ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError: for damaged pickles.
    """
    machine = _Machine(path)
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name == "STOP":
            return machine.pop(), machine.storages
        machine.step(opcode.name, argument)
    raise EOFError("no end")


class _Machine:
    """The stack, the marks and the memory of a pickle; nothing outside of them is touched."""

    def __init__(self, path):
        self.path = path
        self.stack, self.marks, self.memory, self.storages = [], [], {}, {}

    def pop(self):
        return self.stack.pop()

    def since_mark(self):
        """What was pushed since the last mark, taken from the stack."""
        place = self.marks.pop()
        values, self.stack[place:] = self.stack[place:], []
        return values

    def step(self, name, argument):
        """Do one instruction; those without a branch here are refused."""
        push = self.stack.append
        if name in ("PROTO", "FRAME"):
            return
        if name in _NUMBERS_AND_TEXTS:
            push(argument)
        elif name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "TUPLE":
            push(tuple(self.since_mark()))
        elif name in _SHORT_TUPLES:
            push(tuple([self.pop() for _ in range(_SHORT_TUPLES[name])][::-1]))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memory[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            push(self.memory[argument])
        elif name in ("APPEND", "APPENDS"):
            values = [self.pop()] if name == "APPEND" else self.since_mark()
            self.stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.since_mark()
            keys = map(_plain, values[::2])
            self.stack[-1].update(zip(keys, values[1::2], strict=True))
        else:
            self.call(name, argument)

    def call(self, name, argument):
        """The instructions with which a pickle makes objects."""
        if name == "GLOBAL":
            self.stack.append(self.known(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            last, module = _plain(self.pop()), _plain(self.pop())
            self.stack.append(self.known(f"{module}.{last}"))
        elif name == "REDUCE":
            arguments, function = self.pop(), self.pop()
            self.stack.append(_record(function.text, arguments))
        elif name == "BUILD":  # attributes of a dictionary, such as the versions of layers
            self.pop()
            _ = self.stack[-1].keys
        elif name == "BINPERSID":
            self.stack.append(self.storage(*self.pop()))
        else:
            raise InputError(
                f"{self.path}: holds the instruction {name}, which no state dictionary needs; "
                f"nothing of it was run; {REMEDY}"
            )

    def known(self, name):
        """The name of a function or class, if it is one that a state dictionary needs."""
        if name not in _KNOWN:
            raise InputError(
                f"{self.path}: asks for {one_line(name, 80)}, which is no tensor; nothing of it "
                f"was run; {REMEDY}"
            )
        return _Name(name)

    def storage(self, word, kind, key, _place, count, view=None):
        """The storage of a persistent id; `view` was a part of another storage before 2018."""
        if word != "storage" or view is not None or not isinstance(count, int):
            raise ValueError("a storage of an unknown kind")
        key = str(_plain(key))
        return self.storages.setdefault(key, Storage(kind.text, key, count))


def _record(name, arguments):
    """What a call of a known function stands for."""
    if name == _DICT:
        return {_plain(key): value for pairs in arguments for key, value in pairs}
    if name == _PARAMETER:
        return arguments[0]
    if name == _TENSOR:
        storage, offset, sizes, strides = arguments[:4]
        if isinstance(storage, Storage) and storage.kind in DTYPES:
            return Tensor(storage, offset, tuple(sizes), tuple(strides))
    raise ValueError(f"a call of {name} with other arguments than a tensor's")


def _plain(key):
    """A key, if it is a text or a number; tuples in tuples would exhaust the stack when hashed."""
    if not isinstance(key, str | int):
        raise ValueError(f"a key of the type {type(key).__name__}")
    return key
