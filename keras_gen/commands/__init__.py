"""The `keras-gen` command: argv and stdout."""
