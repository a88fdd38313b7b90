"""Classifiers, whose features generated images are measured with."""
