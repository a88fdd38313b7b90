"""Data sets of text: names and files -> rows of token ids."""
