"""python -m keras_gen: the `keras-gen` command."""

import sys

from keras_gen.commands.main import main

sys.exit(main())
