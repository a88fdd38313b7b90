import json
import sys
import types

import psutil
import pytest
import tensorflow as tf

from keras_gen.utils import hardware
from keras_gen.utils.hardware import hardware_info, hardware_report


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


def test_compute_capability_of_each_gpu(monkeypatch):
    details = {"one": {"compute_capability": (9, 0), "device_name": "H100"}, "two": {}}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(details))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
    info = json.loads(json.dumps(hardware.tensorflow_info()))
    assert info["tensorflow_gpus"] == 2
    assert info["tensorflow_gpu_details"] == [
        {"name": "H100", "compute_capability": [9, 0]},
        {"name": None, "compute_capability": None},
    ]


NVIDIA = {"name": "H", "memory_total_mib": 1000, "memory_used_mib": 250, "load_percent": 50.0}


@pytest.mark.parametrize(
    ("facts", "advice"),
    (
        ({"tensorflow_gpus": 1}, None),
        ({"tensorflow_gpus": None}, None),
        ({"gpus": []}, None),
        ({}, 'install its CUDA libraries: pip install "tensorflow[and-cuda]"'),
        ({"tensorflow_built_with_cuda": False}, "pip install --force-reinstall"),
        ({"cuda_visible_devices": "-1"}, "CUDA_VISIBLE_DEVICES='-1' hides it"),
        ({"system": "Windows"}, "native Windows: use WSL2"),
        ({"gpus": [], "nvidia_on_pci": True}, "its driver does not answer"),
        ({"gpus": None, "nvidia_on_pci": True}, "its driver does not answer"),
    ),
)
def test_a_gpu_that_tensorflow_does_not_use_comes_with_the_remedy(facts, advice):
    info = hardware_info(include_tensorflow=False)
    info |= {"system": "Linux", "gpus": [NVIDIA], "nvidia_on_pci": None, "tensorflow": "2.21.0"}
    info |= {"keras": "3.15.1", "tensorflow_gpus": 0, "tensorflow_gpu_details": []}
    info |= {"tensorflow_built_with_cuda": True, "cuda_visible_devices": None, **facts}
    found = hardware.gpu_advice(info)
    if advice is None:
        assert found is None and "To use the GPU" not in hardware_report(info)
    else:
        assert advice in found and f"To use the GPU    {found}" in hardware_report(info)


def test_an_nvidia_card_without_a_driver_is_found_on_the_pci_bus(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "PCI_DEVICES", tmp_path)
    assert hardware.nvidia_on_pci() is False
    for slot, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):  # its sound
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "vendor").write_text(vendor + "\n")
        (tmp_path / slot / "class").write_text(kind + "\n")
    assert hardware.nvidia_on_pci() is False
    (tmp_path / "1" / "class").write_text("0x030200\n")
    assert hardware.nvidia_on_pci() is True


@pytest.mark.parametrize("info", ({}, [], "x", 3, {"cpu": None, "ram": 1, "gpus": 2}, {"system": "Linux"}))
def test_a_report_is_of_hardware_info_alone(info):
    with pytest.raises(ValueError, match=r"info must be what hardware_info\(\) gives .*Received: "):
        hardware.hardware_report(info)
    with pytest.raises(ValueError, match="include_tensorflow must be True or False. Received: 3"):
        hardware.hardware_info(3)
