"""Suggestions for misspelt names. It imports nothing else, so that the command responds at once."""

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(text: str, names: Iterable[Any]) -> str:
    """A question that suggests the most similar of some names; empty if none is similar.

    Example:

    >>> did_you_mean("trian", ["train", "resume"])
    '. Did you mean train?'
    """
    known = {str(name).lower().lstrip("-"): str(name) for name in names}
    text = text.lower().lstrip("-")
    near = [name for name in known if len(text) > 2 and name.startswith(text)]
    near = near or difflib.get_close_matches(text, known, 1)
    return f". Did you mean {known[near[0]]}?" if near else ""
