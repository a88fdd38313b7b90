"""Refuses requests that would not fit into memory, before the system ends the process."""

from pathlib import Path

import psutil

# Of a container: the file of its limit, that of its usage, and what its memory.stat calls files that it has
# read and not used since, which count as usage until their place is needed.
CONTAINERS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def available_bytes() -> int:
    """Available memory of this machine or container."""
    available = psutil.virtual_memory().available
    for limit, usage, cached in CONTAINERS:
        try:
            left = int(Path(limit).read_text()) - int(Path(usage).read_text())
            statistics = Path(usage).with_name("memory.stat").read_text()
            left += int(dict(line.split() for line in statistics.splitlines()).get(cached, 0))
        except (OSError, ValueError):  # ValueError of "max", which means no limit
            continue
        available = min(available, max(0, left))
    return available


def refuse_beyond_memory(num_bytes: int, what: str, remedy: str) -> None:
    """Raises a ValueError if something needs more memory than is available.

    Args:
        num_bytes: Bytes needed.
        what: The request, such as `num_samples=10**12`.
        remedy: What to do, as the last sentence of the error.

    Example:

    >>> refuse_beyond_memory(10**18, "num_samples=10**12", "Draw fewer at a time.")
    Traceback (most recent call last):
    ValueError: Received: num_samples=10**12, which takes 1,000,000,000.0 GB, and ... GB are left. ...
    """
    left = available_bytes()
    if num_bytes > left:
        raise ValueError(
            f"Received: {what}, which takes {num_bytes / 1e9:,.1f} GB, and {left / 1e9:,.1f} GB are left. "
            f"{remedy}"
        )
