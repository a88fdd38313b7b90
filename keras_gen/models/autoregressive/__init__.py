"""Explicit density, tractable: one token at a time."""
