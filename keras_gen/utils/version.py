"""The version of keras_gen."""

__version__ = "0.2.0"
