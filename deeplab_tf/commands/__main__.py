"""`python -m deeplab_tf.commands NAME ...`: a command in a process of its own."""

import sys

from deeplab_tf.commands.app import main

sys.exit(main(sys.argv[1:]))
