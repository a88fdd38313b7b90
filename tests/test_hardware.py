import json
import sys
import types

import psutil
import tensorflow as tf

from keras_gen import hardware
from keras_gen.hardware import hardware_info, hardware_report


def test_what_this_machine_says_is_what_its_sources_say():
    info = json.loads(json.dumps(hardware_info()))
    assert info["cpu"]["logical_cores"] == psutil.cpu_count()
    assert abs(info["ram"]["total_gib"] - psutil.virtual_memory().total / 2**30) < 0.06
    assert info["processor"]  # Linux does not say; then it is the name of the CPU
    assert info["tensorflow"] == tf.__version__
    assert info["tensorflow_gpus"] == len(tf.config.list_physical_devices("GPU"))


def test_everything_unreadable_is_none_and_still_a_report(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("not here")

    for name in ("virtual_memory", "cpu_count", "cpu_freq", "cpu_percent"):
        monkeypatch.setattr(psutil, name, refuse)
    for name in ("system", "release", "version", "machine", "processor"):
        monkeypatch.setattr(hardware.platform, name, refuse)
    monkeypatch.setattr(hardware, "cpu_name", refuse)
    monkeypatch.setitem(sys.modules, "GPUtil", types.SimpleNamespace(getGPUs=refuse))
    monkeypatch.setattr(tf.config, "list_physical_devices", refuse)
    info = hardware_info()
    assert info["system"] is None and info["gpus"] is None and info["tensorflow_gpus"] is None
    assert info["cpu"]["physical_cores"] is None and info["ram"]["total_gib"] is None
    report = hardware_report(info)
    assert "Operating system  unknown" in report and "Found             unreadable" in report
    assert "Sees a GPU        unknown" in report


def test_gpus_are_reported(monkeypatch):
    gpu = types.SimpleNamespace(name="H", memoryTotal=1000.0, memoryUsed=250.0, load=0.5)
    monkeypatch.setitem(sys.modules, "GPUtil", types.SimpleNamespace(getGPUs=lambda: [gpu, gpu]))
    info = hardware_info(include_tensorflow=False)
    assert info["gpus"][1] == {
        "name": "H",
        "memory_total_mib": 1000,
        "memory_used_mib": 250,
        "load_percent": 50.0,
    }
    assert "GPU 1" in hardware_report(info) and "250 of 1,000 MiB" in hardware_report(info)


def test_gputil_itself_imports_here():
    """It needs distutils, which Python 3.12 dropped."""
    assert hardware.gpu_info() is not None
