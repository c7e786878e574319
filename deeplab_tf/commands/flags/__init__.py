"""Groups of flags that commands share, and what is made of them.

`define_X_flags(values)` adds a group to a command's flags; the other functions take the parsed
flags.
"""
