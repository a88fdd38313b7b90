import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.optimizers import Adam, Muon, copy_of

SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 20)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learning_rate": SCHEDULE, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"weight_decay": 0.1, "clipnorm": 1.0},
        {"amsgrad": True},
        {"use_ema": True, "ema_overwrite_frequency": 3},
    ],
)
def test_steps_equal_those_of_keras(options):
    generator = np.random.default_rng(0)
    start = [generator.normal(size=shape).astype("float32") for shape in ((4, 3), (3,))]
    gradients = [[generator.normal(size=w.shape).astype("float32") for w in start] for _ in range(10)]
    results = []
    for optimizer in (Adam(**options), keras.optimizers.Adam(**options)):
        weights = [keras.Variable(w) for w in start]
        for gradient in gradients:
            optimizer.apply([tf.constant(g) for g in gradient], weights)
        results.append([v.numpy() for v in (*weights, *optimizer.variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_of_an_embedding_are_trained_as_by_keras():
    rows = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([0, 2]), dense_shape=(4, 3))
    results = []
    for optimizer in (Adam(0.1), keras.optimizers.Adam(0.1)):
        table = keras.Variable(np.ones((4, 3), "float32"))
        optimizer.apply([rows], [table])
        results.append(table.numpy())
    np.testing.assert_array_equal(*results)
    assert results[0][1, 0] == 1.0


def test_replicas_step_as_one(two_replicas):
    with two_replicas.scope():
        weight = keras.Variable(np.ones(3, "float32"))
        optimizer = Adam(0.1)
        optimizer.build([weight])

    @tf.function
    def step():
        two_replicas.run(lambda: optimizer.apply([tf.constant([1.0, -2.0, 0.5])], [weight]))

    step()
    for replica in two_replicas.experimental_local_results(weight.value):
        np.testing.assert_allclose(replica, [0.9, 1.1, 0.9], rtol=1e-5)


def test_it_is_saved_and_loaded():
    optimizer = Adam(SCHEDULE, beta_1=0.7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is Adam
    assert again.beta_1 == 0.7
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (
            {"learning_rate": -1},
            "learning_rate must be a finite number, 0 or more, or a function. Received: -1",
        ),
        (
            {"learning_rate": float("nan")},
            "learning_rate must be a finite number, 0 or more, or a function. R",
        ),
        (
            {"learning_rate": "0.1"},
            "learning_rate must be a finite number, 0 or more, or a function. Received",
        ),
        ({"beta_1": 1.0}, "beta_1 must be a number from 0 to less than 1. Received: 1.0"),
        ({"epsilon": 0}, "epsilon must be a finite number, more than 0. Received: 0"),
        ({"clipnorm": -1.0}, "clipnorm must be a finite number, more than 0, or None. Received: -1.0"),
        ({"amsgrad": 1}, "amsgrad must be True or False. Received: 1"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps must be an integer, 2 or more"),
        ({"name": "\udce9"}, "name must be a string that UTF-8 can hold, or None. Received: '\\udce9'"),
        ({"momentum": 0.9}, "Adam: got an unexpected keyword argument 'momentum'"),
    ),
)
def test_refuses_arguments_in_one_line(arguments, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        Adam(**arguments)
    assert str(refusal.value).startswith(message) and "Received: " in str(refusal.value)


@pytest.mark.parametrize("rate", (0, 0.1, np.float32(0.1), tf.constant(0.1), SCHEDULE, lambda: 0.1))
def test_takes_any_kind_of_learning_rate(rate):
    assert float(Adam(rate).learning_rate) == pytest.approx(0.1 * bool(rate))


@pytest.mark.parametrize("shape", ((3, 3, 16, 24), (24, 64), (64, 24)))
def test_muon_moves_along_the_orthogonal_factor(shape):
    """The update is U V^T of the momentum's singular value decomposition, up to the iteration's error."""
    weight = keras.Variable(tf.zeros(shape))
    optimizer = Muon(0.1, momentum=0.9)
    gradients = [tf.random.stateless_normal(shape, (0, seed)) for seed in range(2)]
    for gradient in gradients:
        before = weight.numpy()
        optimizer.apply([gradient], [weight])
    mean = 0.9 * gradients[0] + gradients[1]
    ahead = (gradients[1] + 0.9 * mean).numpy().reshape(-1, shape[-1])
    left, _, right = np.linalg.svd(ahead, full_matrices=False)
    wanted = -0.1 * max(1.0, ahead.shape[1] / ahead.shape[0]) ** 0.5 * left @ right
    found = (weight.numpy() - before).reshape(-1, shape[-1])
    cosine = np.sum(found * wanted) / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert cosine > 0.97 and np.linalg.norm(found) == pytest.approx(np.linalg.norm(wanted), rel=0.25)


@pytest.mark.parametrize("shape", ((7,), (3, 3, 1, 64), (64, 10), ()))
def test_muon_leaves_small_weights_to_adam(shape):
    first, second = keras.Variable(tf.ones(shape)), keras.Variable(tf.ones(shape))
    muon, adam = Muon(0.1, adam_ratio=0.5), Adam(0.05)
    for seed in range(3):
        gradient = tf.random.stateless_normal(shape, (0, seed))
        muon.apply([gradient], [first])
        adam.apply([gradient], [second])
    np.testing.assert_array_equal(first, second)


def test_replicas_orthogonalize_the_same_momentum(two_replicas):
    gradient = tf.random.stateless_normal((32, 16), (0, 0))
    with two_replicas.scope():
        weight = keras.Variable(tf.zeros((32, 16)))
        optimizer = Muon(0.1)
        optimizer.build([weight])
    tf.function(lambda: two_replicas.run(lambda: optimizer.apply([0.5 * gradient], [weight])))()
    alone = keras.Variable(tf.zeros((32, 16)))
    Muon(0.1).apply([gradient], [alone])
    for replica in two_replicas.experimental_local_results(weight.value):
        np.testing.assert_allclose(replica, alone, atol=1e-3)


def test_muon_is_restored_from_its_config():
    muon = Muon(keras.optimizers.schedules.CosineDecay(0.1, 9), adam_ratio=0.5, momentum=0.8)
    again = copy_of(muon)
    assert (again.adam_ratio, again.momentum) == (0.5, 0.8)
    assert again.get_config() == muon.get_config()
