"""Explicit density, approximate: autoencoders."""
