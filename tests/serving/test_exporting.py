"""An export, read by clients that are not ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import CGAN, VAE, CNNClassifier, LSTMTextGenerator, MeanFlow
from keras_gen.serving import exporting
from keras_gen.tokenizers import CharacterTokenizer

SAVED_MODEL_CLI = Path(sys.executable).parent / "saved_model_cli"


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(latent_dim=4, widths=(4, 8), hidden_units=12, seed=3)


@pytest.fixture(scope="module")
def conditional() -> VAE:
    return VAE(latent_dim=4, widths=(4, 8), hidden_units=12, num_classes=10, seed=3)


def test_versions_are_added_and_never_overwritten(model, tmp_path):
    serving = tmp_path / "serving"
    first = exporting.export_next_version(model, serving, "tf_saved_model")
    assert first == serving / "1"
    (serving / "7").mkdir()
    (serving / "notes").mkdir()
    assert exporting.export_next_version(model, serving, "tf_saved_model") == serving / "8"
    with pytest.raises(ValueError, match="exists already, and existing paths are never overwritten"):
        model.export(first)
    assert sorted(path.name for path in serving.iterdir()) == ["1", "7", "8", "notes"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        exporting.export_next_version(model, tmp_path / "file", "tf_saved_model")


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def broken(model, path, verbose):
        path.mkdir()
        (path / "half.pb").write_text("")
        raise OSError("disk full")

    monkeypatch.setattr(exporting, "write_saved_model", broken)
    with pytest.raises(OSError, match="disk full"):
        model.export(tmp_path / "out" / "1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("there", "version"),
    [
        ((), "1"),
        (("1", "2.onnx", "9.old", "x", "-3", "\uff12"), "3"),
        (("01", "007"), "8"),
        (("1.5", "1e3", " 4 ", "5 copy"), "1"),
        (("99999999999999999999", "3"), "4"),  # beyond int64, which TensorFlow Serving passes over
        ((str(2**63 - 2),), str(2**63 - 1)),
    ],
)
def test_the_next_version_is_the_one_after_the_newest(model, there, version, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "write_saved_model", lambda model, draft, verbose: draft.mkdir())
    folder = tmp_path / "names with spaces"
    for name in there:
        (folder / name).mkdir(parents=True)
    assert exporting.export_next_version(model, folder, "tf_saved_model") == folder / version


def test_no_version_comes_after_the_largest(model, tmp_path):
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(ValueError, match="version 9223372036854775807, after which"):
        exporting.export_next_version(model, tmp_path, "tf_saved_model")


def test_places_that_an_export_refuses(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for place in ("", None, 3, ["x"]):
        with pytest.raises(ValueError, match="must be a"):
            model.export(place)
    with pytest.raises(ValueError, match="exists already, and existing paths are never overwritten"):
        model.export("dangling")
    with pytest.raises(ValueError, match="verbose must be True or False. Received: 'loud'"):
        model.export("x", verbose="loud")
    assert [path.name for path in tmp_path.iterdir()] == ["dangling"]


def test_an_export_that_another_overtook_is_refused(model, tmp_path, monkeypatch):
    def slow(model, draft, verbose):
        draft.write_bytes(b"second")
        (tmp_path / "1").write_bytes(b"first")

    monkeypatch.setattr(exporting, "write_saved_model", slow)
    with pytest.raises(ValueError, match="exists already"):
        exporting.export_next_version(model, tmp_path, "tf_saved_model")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"first"]


def test_unknown_format_and_suffix(model, tmp_path):
    with pytest.raises(ValueError, match="must be one of tf_saved_model, onnx, openvino, litert"):
        model.export(tmp_path / "x", format="pickle")
    with pytest.raises(ValueError, match="must end in .onnx"):
        model.export(tmp_path / "decoder", format="onnx")


@pytest.fixture(scope="module")
def saved_model(conditional, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "1"
    conditional.export(path)
    return tf.saved_model.load(str(path))


NAN = np.full((2, 4), np.nan, "float32")


@pytest.mark.parametrize(
    ("signature", "change", "message"),
    [
        ("serving_default", {"labels": [3, 10]}, "labels must be from 0 to 9. Received:"),
        ("serving_default", {"labels": [-1, 0]}, "labels must be from 0 to 9. Received:"),
        ("serving_default", {"labels": [1]}, "must have as many rows as"),
        ("serving_default", {"seeds": [], "labels": []}, "must have at least one row"),
        ("serving_default", {"seeds": [0, -1]}, "seeds must be 0 or more"),
        ("decode", {"z": NAN}, "z must be finite"),
        ("decode", {"z": np.zeros((0, 4)), "labels": np.zeros(0)}, "z must have at least one row"),
        ("decode", {"labels": [1]}, "labels must have as many rows as z"),
        ("encode", {"images": np.full((2, 28, 28, 1), 255.0)}, "images must be finite and in .0, 1."),
        ("reconstruct", {"images": np.full((2, 28, 28, 1), np.nan)}, "images must be finite and in .0, 1."),
        ("encode", {"images": np.zeros((0, 28, 28, 1))}, "images must have at least one row"),
        ("encode", {"labels": [0, 10]}, "labels must be from 0 to 9"),
    ],
)
def test_a_saved_model_says_what_is_wrong(saved_model, signature, change, message):
    right = {
        "serving_default": {"seeds": [0, 1], "labels": [1, 2]},
        "decode": {"z": np.zeros((2, 4)), "labels": [1, 2]},
        "encode": {"images": np.zeros((2, 28, 28, 1)), "labels": [1, 2]},
        "reconstruct": {"images": np.zeros((2, 28, 28, 1)), "labels": [1, 2]},
    }[signature]
    floats = ("z", "images")

    def call(inputs):
        types = {name: tf.float32 if name in floats else tf.int32 for name in inputs}
        return saved_model.signatures[signature](
            **{name: tf.constant(value, types[name]) for name, value in inputs.items()}
        )

    outputs = call(right)
    assert all(np.isfinite(output).all() for name, output in outputs.items() if name != "png_bytes")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call({**right, **change})


def test_signatures_agree_with_the_verbs(conditional, saved_model, garments):
    images, labels = garments[0][:4], garments[1][:4]
    served = saved_model.signatures
    assert set(served) == {"serving_default", "decode", "encode", "log_prob", "reconstruct"}
    pixels = tf.constant(images[..., None] / np.float32(255))
    y = tf.constant(labels)
    z = served["encode"](images=pixels, labels=y)
    np.testing.assert_allclose(z["z_mean"], conditional.encode(images, labels), atol=1e-5)
    assert z["z_log_var"].shape == (4, 4)
    decoded = served["decode"](z=z["z_mean"], labels=y)["images"]
    np.testing.assert_allclose(decoded, conditional.decode(z["z_mean"], labels), atol=1e-5)
    again = served["reconstruct"](images=pixels, labels=y)["images"]
    np.testing.assert_allclose(again, conditional.reconstruct(images, labels), atol=1e-5)
    bounds = served["log_prob"](images=pixels, labels=y)["log_prob"]
    # Each has the noise of the first place, whatever it is batched with.
    alone = [conditional.log_prob(images[i : i + 1], labels[i : i + 1])[0] for i in range(len(y))]
    np.testing.assert_allclose(bounds, alone, rtol=1e-5)


def test_a_served_image_depends_on_its_seed_alone(conditional, saved_model):
    generate = saved_model.signatures["serving_default"]
    seeds, labels = [1, 2, 2, 7, 1], [3, 3, 3, 0, 4]
    served = generate(seeds=tf.constant(seeds), labels=tf.constant(labels))
    for i, (seed, label) in enumerate(zip(seeds, labels, strict=True)):
        alone = conditional.generate(1, seed=seed, labels=[label])
        np.testing.assert_allclose(served["images"][i], alone[0], atol=1e-6)
    png = tf.io.decode_png(served["png_bytes"][3])
    np.testing.assert_array_equal(png, np.round(255 * served["images"][3].numpy()))
    np.testing.assert_array_equal(served["images"][1], served["images"][2])
    assert not np.allclose(served["images"][0], served["images"][1])


def test_image_i_of_a_seed_does_not_depend_on_how_many_there_are(conditional, model):
    many = model.generate(model.chunk_size + 3, seed=5)
    np.testing.assert_allclose(many[:3], model.generate(3, seed=5), atol=1e-6)
    assert len(np.unique(many.reshape(len(many), -1), axis=0)) == len(many)
    random_labels = conditional.generate(20, seed=5)
    np.testing.assert_allclose(random_labels[:2], conditional.generate(2, seed=5), atol=1e-6)


ALONE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ("keras", "keras_gen"):
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
import tensorflow as tf

served = tf.saved_model.load(sys.argv[1])
images = served.signatures["serving_default"](seeds=tf.constant([9, 10]))
np.save(sys.argv[2], images["images"].numpy())
assert "keras_gen" not in sys.modules and "keras" not in sys.modules
"""


@pytest.mark.slow
def test_served_without_keras_and_without_keras_gen(model, tmp_path):
    model.export(tmp_path / "1")
    command = [sys.executable, "-c", ALONE, tmp_path / "1", tmp_path / "out.npy"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), [model.generate(1, seed=seed)[0] for seed in (9, 10)], atol=1e-5
    )


@pytest.mark.slow
def test_saved_model_cli(model, tmp_path):
    model.export(tmp_path / "1")
    command = [SAVED_MODEL_CLI, "show", "--dir", tmp_path / "1", "--all"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("serving_default", "decode", "encode", "reconstruct"):
        assert f"signature_def['{name}']" in shown
    command = [SAVED_MODEL_CLI, "run", "--dir", tmp_path / "1", "--tag_set", "serve"]
    command += ["--signature_def", "serving_default", "--outdir", tmp_path]
    command += ["--input_exprs", "seeds=[9,10]"]
    subprocess.run(command, capture_output=True, check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "images.npy"), [model.generate(1, seed=seed)[0] for seed in (9, 10)], atol=1e-5
    )


SLOW_CASE = pytest.param("mean_flow", marks=pytest.mark.slow)


@pytest.fixture(params=("unconditional", "conditional", "classifier", "gan", SLOW_CASE, "text"))
def case(request, model, conditional, garments):
    """A model, and inputs and outputs of its portable network."""
    if request.param == "classifier":
        classifier = CNNClassifier(widths=(4, 8), hidden_units=12, seed=0)
        x = garments[0][:5, ..., np.newaxis] / np.float32(255)
        return classifier, {"images": x}, classifier.classify(x)
    if request.param == "text":
        return text_case()
    if request.param == "mean_flow":
        return mean_flow_case()
    z = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    if request.param == "unconditional":
        return model, {"z": z}, model.decode(z)
    labels = np.array([0, 3, 9, 9, 1])
    one_hot = np.eye(10, dtype="float32")[labels]
    if request.param == "gan":  # whose average draws in float32 whatever it trains in
        sizes = {"latent_dim": 4, "generator_widths": (8, 4), "discriminator_widths": (4, 8)}
        gan = CGAN(**sizes, dtype="mixed_bfloat16", seed=0)
        return gan, {"z": z, "labels": one_hot}, gan.decode(z, labels)
    return conditional, {"z": z, "labels": one_hot}, conditional.decode(z, labels)


def mean_flow_case():
    """Images in one step, from a network whose last layer is not that of zeros which it begins with."""
    flow = MeanFlow(image_shape=(12, 12, 1), num_classes=3, widths=(8, 16), attention=True, seed=0)
    flow.ema_network.set_weights([w + 0.02 for w in flow.ema_network.get_weights()])
    z = np.random.default_rng(0).normal(size=(5, 12, 12, 1)).astype("float32")
    labels = np.array([0, 2, 1, 1, 0])
    one_hot = np.eye(3, dtype="float32")[labels]
    return flow, {"z": z, "labels": one_hot}, flow.decode(z, labels, num_steps=1)


def text_case():
    """A token's step from a state in the midst of a text."""
    sizes = {"embedding_dim": 6, "widths": (12, 8), "tie_weights": True, "dropout": 0.1}
    writer = LSTMTextGenerator(CharacterTokenizer("abcdef"), **sizes, seed=0)
    random = np.random.default_rng(0)
    states = [[random.normal(size=(5, n)).astype("float32") for _ in range(2)] for n in (12, 8)]
    token_ids = np.array([3, 4, 5, 6, 7], "int32")
    given = {"token_ids": token_ids}
    for number, (output, cell) in enumerate(states):
        given |= {f"output_{number}": output, f"cell_{number}": cell}
    return writer, given, writer.step(token_ids, states)[0].numpy()


def test_onnx_runtime_reads_it(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
    pytest.importorskip("tf2onnx", reason="extra onnx is not installed")
    model, inputs, expected = case
    path = exporting.export_next_version(model, tmp_path, "onnx")
    assert path.name == "1.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {i.name for i in session.get_inputs()} == set(inputs)
    np.testing.assert_allclose(session.run(None, inputs)[0], expected, atol=1e-5)


@pytest.mark.slow
def test_openvino_reads_it(case, tmp_path):
    openvino = pytest.importorskip("openvino", reason="extra onnx is not installed")
    model, inputs, expected = case
    path = exporting.export_next_version(model, tmp_path, "openvino")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}  # its default rounds to bfloat16 on some CPUs
    compiled = core.compile_model(core.read_model(path / "model.xml"), "CPU", options)
    np.testing.assert_allclose(compiled(inputs)[0], expected, atol=1e-5)


@pytest.mark.slow
def test_litert_reads_it(case, tmp_path):
    model, inputs, expected = case
    path = exporting.export_next_version(model, tmp_path, "litert")
    with pytest.warns() as _:  # the interpreter's own notice that it moves to another package
        interpreter = tf.lite.Interpreter(str(path))
    details = interpreter.get_input_details()
    for detail in details:
        name = next((name for name in inputs if name in detail["name"]), next(iter(inputs)))
        interpreter.resize_tensor_input(detail["index"], inputs[name].shape)
    interpreter.allocate_tensors()
    for detail in details:
        name = next((name for name in inputs if name in detail["name"]), next(iter(inputs)))
        interpreter.set_tensor(detail["index"], inputs[name])
    interpreter.invoke()
    outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    found = next(output for output in outputs if output.shape == expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_trained_in_bfloat16_is_read_in_float32(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
    pytest.importorskip("tf2onnx", reason="extra onnx is not installed")
    model = VAE(latent_dim=4, widths=(4, 8), hidden_units=12, seed=3, dtype="mixed_bfloat16")
    z = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    path = exporting.export_next_version(model, tmp_path, "onnx")
    images = onnxruntime.InferenceSession(path).run(None, {"z": z})[0]
    np.testing.assert_allclose(images, model.decode(z), atol=2e-2)


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tf2onnx, which is not installed.*keras_gen\[onnx\]"):
        model.export(tmp_path / "a.onnx", format="onnx")
