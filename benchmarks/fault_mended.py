"""The faults that the campaign of benchmarks/faults.py has found, and the tests that hold them."""

# What was wrong, and the test that would find it again.
MENDED = ()
