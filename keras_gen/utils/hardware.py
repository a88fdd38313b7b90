"""Hardware of this machine, and its load. Values that cannot be read are None, never an error."""

import functools
import os
import platform
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_gen.utils.arguments import checked, received

GIB = 2**30
PCI_DEVICES = Path("/sys/bus/pci/devices")  # Linux


def readable(read: Callable[[], Any]) -> Any:
    """The result of `read()`, or None if it fails."""
    try:
        return read()
    except Exception:
        return None


@checked
def hardware_info(include_tensorflow: bool = True) -> dict[str, Any]:
    """Describes this machine.

    Args:
        include_tensorflow: Include the GPUs that TensorFlow sees, which imports TensorFlow.

    Returns:
        A dictionary that JSON can hold. `system`, `release`, `version`, `architecture`,
        `processor`, `python`; `cpu` (`name`, `physical_cores`, `logical_cores`, `frequency_mhz`,
        `load_percent`); `ram` (`total_gib`, `available_gib`, `load_percent`); `gpus`, a list of
        (`name`, `memory_total_mib`, `memory_used_mib`, `load_percent`); `nvidia_on_pci` (whether Linux
        lists an NVIDIA GPU, with or without a driver). With TensorFlow also `tensorflow`, `keras` (their
        versions), `tensorflow_gpus` (how many GPUs TensorFlow sees), `tensorflow_gpu_details`, a list of
        (`name`, `compute_capability`, as `[9, 0]`), `tensorflow_built_with_cuda`,
        `cuda_visible_devices` (the environment variable). What cannot be read is None.

    Example:

    >>> info = hardware_info(include_tensorflow=False)
    >>> info["cpu"]["logical_cores"] >= 1
    True
    """
    info: dict[str, Any] = {
        "system": readable(platform.system),
        "release": readable(platform.release),
        "version": readable(platform.version),
        "architecture": readable(platform.machine),
        "processor": readable(platform.processor) or readable(cpu_name),
        "python": platform.python_version(),
        "cpu": cpu_info(),
        "ram": ram_info(),
        "gpus": gpu_info(),
        "nvidia_on_pci": readable(nvidia_on_pci),
    }
    if include_tensorflow:
        info.update(tensorflow_info())
    return info


@functools.cache
def cpu_facts() -> dict[str, Any]:
    """cpuinfo's description of the processor, read once, since it takes a second."""

    def read() -> dict[str, Any]:
        import cpuinfo

        return cpuinfo.get_cpu_info()

    return readable(read) or {}


def cpu_name() -> str | None:
    """The processor's full name."""
    return cpu_facts().get("brand_raw")


def cpu_info() -> dict[str, Any]:
    """Name, cores, frequency (MHz) and load (percent over 0.1 s) of the processor."""
    import psutil

    return {
        "name": readable(cpu_name),
        "physical_cores": readable(lambda: psutil.cpu_count(logical=False)),
        "logical_cores": readable(psutil.cpu_count) or os.cpu_count(),
        "frequency_mhz": readable(lambda: round(psutil.cpu_freq().current)),
        "load_percent": readable(lambda: psutil.cpu_percent(interval=0.1)),
    }


def computes_in_bfloat16() -> bool:
    """Whether TensorFlow computes on a processor that has instructions for bfloat16 products."""

    if tensorflow_info()["tensorflow_gpus"]:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpu_facts().get("flags", ()))


def ram_info() -> dict[str, Any]:
    """Total and available memory (GiB) and load (percent)."""
    import psutil

    memory = readable(psutil.virtual_memory)
    return {
        "total_gib": readable(lambda: round(memory.total / GIB, 1)),
        "available_gib": readable(lambda: round(memory.available / GIB, 1)),
        "load_percent": readable(lambda: memory.percent),
    }


def gpu_info() -> list[dict[str, Any]] | None:
    """Each NVIDIA GPU's name, memory (MiB) and load (percent); empty without one."""

    def read() -> list[dict[str, Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GPUtil imports distutils, which is deprecated
            import GPUtil

            found = GPUtil.getGPUs()
        return [
            {
                "name": gpu.name,
                "memory_total_mib": round(gpu.memoryTotal),
                "memory_used_mib": round(gpu.memoryUsed),
                "load_percent": round(100 * gpu.load, 1),
            }
            for gpu in found
        ]

    return readable(read)


def nvidia_on_pci() -> bool:
    """Whether there is an NVIDIA display or compute controller, even where its driver is missing."""

    def is_nvidia_gpu(device: Path) -> bool:
        vendor, kind = ((device / fact).read_text() for fact in ("vendor", "class"))
        return vendor.startswith("0x10de") and kind.startswith("0x03")

    return any(is_nvidia_gpu(device) for device in PCI_DEVICES.iterdir())


def tensorflow_info() -> dict[str, Any]:
    """Versions of TensorFlow and Keras, and the GPUs that TensorFlow can use."""

    def gpus() -> list[dict[str, Any]]:
        import tensorflow

        return [gpu_details(gpu) for gpu in tensorflow.config.list_physical_devices("GPU")]

    def gpu_details(gpu: Any) -> dict[str, Any]:
        import tensorflow

        details = readable(lambda: tensorflow.config.experimental.get_device_details(gpu)) or {}
        return {
            "name": details.get("device_name"),
            "compute_capability": readable(lambda: list(details["compute_capability"])),
        }

    def built_with_cuda() -> bool:
        import tensorflow

        return tensorflow.test.is_built_with_cuda()

    def version(package: str) -> str:
        import importlib.metadata

        return importlib.metadata.version(package)

    details = readable(gpus)
    return {
        "tensorflow": readable(lambda: version("tensorflow")),
        "keras": readable(lambda: version("keras")),
        "tensorflow_gpus": None if details is None else len(details),
        "tensorflow_gpu_details": details,
        "tensorflow_built_with_cuda": readable(built_with_cuda),
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def gpu_advice(info: dict[str, Any]) -> str | None:
    """The remedy if TensorFlow does not use an NVIDIA GPU, or None.

    Args:
        info: `hardware_info()`, or that in the `config.json` of a run.
    """
    if info["tensorflow_gpus"] != 0 or not (info["gpus"] or info.get("nvidia_on_pci")):
        return None
    if info["system"] == "Windows":
        return "TensorFlow has no GPU build for native Windows: use WSL2 (see the README)"
    if not info["gpus"]:
        return (
            "its driver does not answer: install NVIDIA's driver, until nvidia-smi lists the GPU "
            "(in a container: start it with --gpus all)"
        )
    hidden = info.get("cuda_visible_devices")
    if hidden in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides it: unset that variable"
    if info.get("tensorflow_built_with_cuda") is False:
        return (
            "this TensorFlow is built for the CPU only: "
            'pip install --force-reinstall "tensorflow[and-cuda]"'
        )
    return 'install its CUDA libraries: pip install "tensorflow[and-cuda]"'


def hardware_report(info: dict[str, Any] | None = None) -> str:
    """Formats `info` (`hardware_info()` by default) as lines of text.

    Raises:
        ValueError: `info` is not what `hardware_info` gives.

    Example:

    >>> "Logical cores" in hardware_report(hardware_info(include_tensorflow=False))
    True
    """
    info = hardware_info() if info is None else info
    try:
        return _report(info)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"info must be what hardware_info() gives ({type(error).__name__}: {error}). "
            f"Received: {received(info)}"
        ) from None


def _report(info: dict[str, Any]) -> str:
    cpu, ram, gpus = info["cpu"], info["ram"], info["gpus"]
    system = [
        ("Operating system", info["system"]),
        ("Release", info["release"]),
        ("Version", info["version"]),
        ("Architecture", info["architecture"]),
        ("Processor", info["processor"]),
        ("Python", info["python"]),
    ]
    sections = [("System", system), ("CPU", _cpu_lines(cpu)), ("Memory", _ram_lines(ram))]
    if not gpus:
        sections.append(("GPU", [("Found", "unreadable" if gpus is None else "none")]))
    for number, gpu in enumerate(gpus or []):
        used, total = gpu["memory_used_mib"], gpu["memory_total_mib"]
        lines = [
            ("Name", gpu["name"]),
            ("Memory used", f"{used:,} of {total:,} MiB"),
            ("Load", f"{gpu['load_percent']} %"),
        ]
        sections.append((f"GPU {number}", lines))
    if "tensorflow" in info:
        seen = info["tensorflow_gpus"]
        answer = {None: None, 0: "no (it runs on the CPU)"}.get(seen, f"yes ({seen})")
        lines = [
            ("TensorFlow", info["tensorflow"]),
            ("Keras", info["keras"]),
            ("Sees a GPU", answer),
            *[
                (f"GPU {number}", _details(gpu))
                for number, gpu in enumerate(info.get("tensorflow_gpu_details") or [])
            ],
        ]
        if advice := gpu_advice(info):
            lines.append(("To use the GPU", advice))
        sections.append(("TensorFlow", lines))
    blocks = []
    for title, lines in sections:
        body = [f"  {name:<17} {'unknown' if value is None else value}" for name, value in lines]
        blocks.append("\n".join([title, *body]))
    return "\n".join(blocks)


def _cpu_lines(cpu: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("Name", cpu["name"]),
        ("Physical cores", cpu["physical_cores"]),
        ("Logical cores", cpu["logical_cores"]),
        ("Frequency", _with_unit(cpu["frequency_mhz"], "MHz")),
        ("Load", _with_unit(cpu["load_percent"], "%")),
    ]


def _ram_lines(ram: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("Total", _with_unit(ram["total_gib"], "GiB")),
        ("Available", _with_unit(ram["available_gib"], "GiB")),
        ("Load", _with_unit(ram["load_percent"], "%")),
    ]


def _details(gpu: dict[str, Any]) -> str | None:
    capability = gpu["compute_capability"]
    known = [gpu["name"], capability and "compute capability " + ".".join(map(str, capability))]
    return ", ".join(filter(None, known)) or None


def _with_unit(value: Any, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"
