"""Which of some names is probably meant. Nothing else is imported, so that the command answers at once."""

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(text: str, names: Iterable[Any]) -> str:
    """A question that names the nearest of some names; nothing if none is near.

    Example:

    >>> did_you_mean("trian", ["train", "resume"])
    '. Did you mean train?'
    """
    known = {str(name).lower().lstrip("-"): str(name) for name in names}
    text = text.lower().lstrip("-")
    near = [name for name in known if len(text) > 2 and name.startswith(text)]
    near = near or difflib.get_close_matches(text, known, 1)
    return f". Did you mean {known[near[0]]}?" if near else ""
