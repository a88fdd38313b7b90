"""Data sets of images: names, files and pixel formats -> tf.data."""
