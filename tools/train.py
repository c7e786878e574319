"""Runs `deeplab_tf.commands.train`; see --help."""

import runpy

if __name__ == "__main__":
    runpy.run_module("deeplab_tf.commands.train", run_name="__main__", alter_sys=True)
