"""What is decided from a device, tested by pretending one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.layers import LSTM
from keras_gen.models import CNNClassifier
from keras_gen.utils import devices
from keras_gen.utils.devices import Device

CPU, CPU_WITH_BFLOAT16 = Device("CPU"), Device("CPU", bfloat16=True)
TURING, AMPERE, BLACKWELL = (Device("GPU", capability) for capability in ((7, 5), (8, 0), (12, 0)))
OTHER_GPU = Device("GPU")


@pytest.mark.parametrize(
    ("device", "images", "text", "dtype", "cudnn"),
    (
        (CPU, False, True, "float32", False),
        (CPU_WITH_BFLOAT16, False, True, "mixed_bfloat16", False),
        (TURING, True, False, "float32", True),
        (AMPERE, True, False, "mixed_bfloat16", True),
        (BLACKWELL, False, False, "mixed_bfloat16", True),
        (OTHER_GPU, True, False, "float32", True),
    ),
)
def test_decisions(device, images, text, dtype, cudnn):
    assert devices.uses_xla("images", device) is images
    assert devices.uses_xla("text", device) is text
    assert not devices.uses_xla("images", device, num_replicas=2)
    assert not devices.uses_xla("text", device, num_replicas=2)
    assert devices.resolve_dtype("auto", device) == dtype
    assert devices.resolve_dtype("float32", device) == "float32"
    assert devices.uses_cudnn(device) is cudnn


def test_the_current_device_is_the_first_gpu(monkeypatch):
    devices.current_device.cache_clear()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["first", "second"])
    details = {"first": {"compute_capability": (8, 6)}, "second": {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
    assert devices.current_device() == Device("GPU", (8, 6))
    devices.current_device.cache_clear()
    monkeypatch.undo()
    assert devices.current_device().kind == "CPU"


def test_an_lstm_is_left_to_keras_where_there_is_cudnn(monkeypatch):
    layer, x = LSTM(4, return_sequences=True), np.ones((2, 5, 3), "float32")
    ours = layer(x)
    called = []
    monkeypatch.setattr(keras.layers.LSTM, "call", lambda *args, **kw: called.append(1) or ours)
    monkeypatch.setattr(devices, "current_device", lambda: AMPERE)
    layer(x)
    assert called == [1]


def test_batch_statistics_are_global_where_the_layer_runs_not_where_it_was_built(two_replicas):
    from keras_gen.layers import BatchNormalization

    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    plain = BatchNormalization()
    expected = plain(x, training=True)
    with two_replicas.scope():
        layer = BatchNormalization.from_config({**plain.get_config(), "synchronized": False})
        layer.build((None, 3))
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group])
    )
    run = tf.function(lambda part: two_replicas.run(lambda x: layer(x, training=True), (part,)))
    found = two_replicas.experimental_local_results(run(halves))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (lambda: Device("TPU"), "kind must be one of 'CPU', 'GPU'. Received: 'TPU'"),
        (
            lambda: Device("GPU", 8),
            "compute_capability must be a tuple of 2, each an integer, or None. Received",
        ),
        (lambda: devices.uses_xla("audio"), "data must be one of 'images', 'text'. Received: 'audio'"),
        (lambda: devices.uses_xla("text", num_replicas=0), "num_replicas must be an integer from 1"),
        (lambda: devices.uses_cudnn("GPU"), "device must be a Device, or None. Received: 'GPU'"),
    ),
)
def test_refuses_arguments_in_one_line(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


def test_models_refuse_another_order_of_axes(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(
        ValueError, match=r"set image_data_format to channels_last.* Received: channels_first"
    ):
        CNNClassifier((8, 8, 1), 3, widths=(2,), hidden_units=2)


@pytest.mark.parametrize("policy", ("float16", "bfloat16", "mixed_float16"))
def test_any_floating_point_policy_trains(policy):
    x, y = np.random.default_rng(0).random((8, 8, 8, 1), "float32"), np.arange(8) % 3
    model = CNNClassifier((8, 8, 1), 3, widths=(2,), hidden_units=2, seed=0, dtype=policy)
    model.compile()
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    assert model.classify(x).dtype == np.float32
