"""What suits the device that a model computes on: XLA, number format, kernels. All of it is decided here.

| | images | text |
|---|---|---|
| CPU | no XLA (convolutions are slower with it) | XLA |
| GPU | XLA, but not from Blackwell on, where TensorFlow 2.21 aborts | cuDNN's LSTM, without XLA |

`"auto"` is mixed_bfloat16 where the hardware multiplies in bfloat16 (AVX-512 BF16, AMX, or compute
capability 8.0), else float32. GPU memory grows as it is needed: `keras_gen/__init__.py` sets
`TF_FORCE_GPU_ALLOW_GROWTH`.
"""

import dataclasses
import functools
from typing import Any, Literal

import keras
import tensorflow as tf

from keras_gen.utils.arguments import Count, checked
from keras_gen.utils.hardware import computes_in_bfloat16

FIRST_WITH_BFLOAT16 = (8, 0)  # NVIDIA Ampere
FIRST_WITHOUT_XLA = (12, 0)  # NVIDIA Blackwell: tensorflow issue 111958


@dataclasses.dataclass(frozen=True)
class Device:
    """The properties of a device that decisions depend on.

    Args:
        kind: `"CPU"` or `"GPU"`.
        compute_capability: (major, minor) of an NVIDIA GPU; None if unknown.
        bfloat16: Whether a CPU has instructions for bfloat16 products.

    Raises:
        ValueError: An argument is of another type.
    """

    kind: Literal["CPU", "GPU"]
    compute_capability: tuple[int, int] | None = None
    bfloat16: bool = False


Device.__init__ = checked(Device.__init__)  # type: ignore[method-assign]


def refuse_channels_first() -> None:
    """Raises a ValueError if Keras is set to channels-first images."""
    order = keras.config.image_data_format()
    if order != "channels_last":
        raise ValueError(
            "keras_gen's models take images (n, height, width, channels): set image_data_format to "
            f"channels_last, in keras.json or by keras.config.set_image_data_format. Received: {order}"
        )


@functools.cache
def current_device() -> Device:
    """The device that TensorFlow uses in this process: the first GPU, or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return Device("CPU", bfloat16=computes_in_bfloat16())
    return Device("GPU", tf.config.experimental.get_device_details(gpus[0]).get("compute_capability"))


@checked
def uses_xla(
    data: Literal["images", "text"], device: Device | None = None, num_replicas: Count = 1
) -> bool:
    """Whether training is compiled with XLA by default.

    Args:
        data: What the model learns from.
        device: The device; that of this process by default.
        num_replicas: Number of replicas that train together; TensorFlow fails with XLA on several.

    Example:

    >>> uses_xla("images", Device("CPU")), uses_xla("images", Device("GPU", (8, 6)))
    (False, True)
    """
    device = device or current_device()
    if num_replicas > 1:
        return False
    if data == "text":
        return device.kind == "CPU"
    return device.kind == "GPU" and (device.compute_capability or (0, 0)) < FIRST_WITHOUT_XLA


@checked
def uses_cudnn(device: Device | None = None) -> bool:
    """Whether an LSTM uses cuDNN's kernel.

    Example:

    >>> uses_cudnn(Device("GPU", (8, 0)))
    True
    """
    return (device or current_device()).kind == "GPU"


@checked
def resolve_dtype(policy: Any, device: Device | None = None) -> Any:
    """The dtype policy that `"auto"` stands for on a device; other policies are returned unchanged.

    Example:

    >>> resolve_dtype("auto", Device("GPU", (8, 0))), resolve_dtype("auto", Device("GPU", (7, 5)))
    ('mixed_bfloat16', 'float32')
    """
    if not (isinstance(policy, str) and policy == "auto"):
        return policy
    device = device or current_device()
    if device.kind == "GPU":
        fast = (device.compute_capability or (0, 0)) >= FIRST_WITH_BFLOAT16
    else:
        fast = device.bfloat16
    return "mixed_bfloat16" if fast else "float32"
