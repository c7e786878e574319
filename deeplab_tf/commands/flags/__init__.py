"""Groups of flags that commands share, and functions that turn them into objects.

`define_X_flags(values)` adds a group to a command's flags; the other functions take the parsed
flags.
"""
