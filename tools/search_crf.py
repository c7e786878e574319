"""Runs `deeplab_tf.commands.search_crf`; see --help."""

import runpy

if __name__ == "__main__":
    runpy.run_module("deeplab_tf.commands.search_crf", run_name="__main__", alter_sys=True)
