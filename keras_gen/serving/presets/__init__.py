"""Trained models: what is in the package, where others come from, and how one is made.

A preset is a folder with `model.keras`, `card.json` (how it was made, and how good it is) and
`samples.png`.
"""

from keras_gen.serving.presets.folders import find_preset, list_presets, read_card

__all__ = ["find_preset", "list_presets", "read_card"]
