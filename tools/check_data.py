"""Runs `deeplab_tf.commands.check_data`; see --help."""

import runpy

if __name__ == "__main__":
    runpy.run_module("deeplab_tf.commands.check_data", run_name="__main__", alter_sys=True)
