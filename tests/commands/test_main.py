"""The command, as typed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import keras_gen as kg
from keras_gen.commands import information, main, options, sampling
from keras_gen.utils import pictures

KERAS_GEN = Path(sys.executable).parent / "keras-gen"
SMALL = ["--epochs", "1", "--latent-dim", "3", "--widths", "[4]", "--hidden-units", "8"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A trained conditional and a trained unconditional run."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe in ("vae", "cvae"):
        assert main.main(["train", recipe, *SMALL, "--out", str(folder / recipe)]) == 0
    return {recipe: folder / recipe for recipe in ("vae", "cvae")}


def test_help_and_lists_answer_at_once_without_tensorflow():
    lists = (["list", what] for what in ("models", "datasets", "presets"))
    for arguments in (["--help"], ["--version"], *lists):
        result = subprocess.run([KERAS_GEN, *arguments], capture_output=True, text=True, check=True)
        assert result.stdout and not result.stderr
    code = """
import sys
sys.argv[0] = "bin/keras-gen"
from keras_gen.commands import main
main.build_parser().format_help()
assert not {"tensorflow", "keras", "numpy", "pydantic"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lists(capsys):
    assert main.main(["list", "models"]) == 0
    assert "vae " in capsys.readouterr().out
    assert main.main(["list", "datasets"]) == 0
    assert "cifar10 " in capsys.readouterr().out
    assert main.main(["list", "presets"]) == 0
    assert "vae_fashion_mnist " in (shown := capsys.readouterr().out) and "FD " in shown


def test_hardware(capsys):
    assert main.main(["hardware"]) == 0
    assert "Logical cores" in capsys.readouterr().out
    assert main.main(["hardware", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cpu"]["logical_cores"] >= 1


def test_train_prints_the_run_last_and_repeats_from_its_config(runs, tmp_path, capsys):
    config = runs["vae"] / "config.json"
    out = str(tmp_path / "again")
    assert main.main(["train", "vae", "--config", str(config), "--out", out]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == out and "epoch 1/1" in printed[0] and "images/s" in printed[0]
    first, again = (Path(run) / "metrics.csv" for run in (runs["vae"], out))
    assert first.read_text() == again.read_text()


@pytest.mark.parametrize(("recipe", "has_one"), (("cgan", True), ("cdiffusion", False)))
def test_a_rate_of_the_discriminator_is_offered_where_there_is_one(recipe, has_one, capsys):
    with pytest.raises(SystemExit):
        main.main(["train", recipe, "--help"])
    assert ("--discriminator-learning-rate" in capsys.readouterr().out) == has_one


def test_every_constructor_argument_is_an_option(capsys):
    import inspect

    from keras_gen.models import VAE

    with pytest.raises(SystemExit) as left:
        main.main(["train", "vae", "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for name in inspect.signature(VAE).parameters:
        if name not in ("image_shape", "encoder", "decoder", "kwargs"):
            assert f"--{name.replace('_', '-')} " in shown, name
    assert "Weight of the KL term" in shown  # the docstring's words


def test_sample_png_npy_gif(runs, tmp_path, capsys):
    source = str(runs["vae"])
    for name in ("grid.png", "images.npy", "walk.gif"):
        out = str(tmp_path / name)
        assert main.main(["sample", source, "--num", "5", "--seed", "3", "--out", out]) == 0
        assert capsys.readouterr().out.strip() == out
    images = np.load(tmp_path / "images.npy")
    assert images.shape == (5, 28, 28, 1) and images.dtype == np.uint8
    from keras_gen.runs.loading import load_model

    expected = load_model(runs["vae"]).generate(5, seed=3)
    np.testing.assert_array_equal(images, np.round(expected * 255))
    with PIL.Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames == 5 * sampling.GIF_FRAMES_PER_STEP
        assert min(walk.size) >= sampling.GIF_TILE  # of 28 pixels nobody sees much
    # From a .keras file, the same.
    out = str(tmp_path / "again.npy")
    source = str(runs["vae"] / "model.keras")
    assert main.main(["sample", source, "--num", "5", "--seed", "3", "--out", out]) == 0
    np.testing.assert_array_equal(np.load(out), images)


@pytest.mark.slow
def test_a_mean_flow_starts_from_a_run_and_is_shown_as_a_film(tmp_path, capsys):
    flow, run = str(tmp_path / "flow"), str(tmp_path / "fast")
    small = ["--widths", "[4,8]", "--num-blocks", "1", "--steps", "4", "--batch-size", "64"]
    assert main.main(["train", "cdiffusion", *small, "--out", flow]) == 0
    # The network's sizes are those of the flow, and so are its classes.
    arguments = ["train", "mean_flow", "--flow", flow, "--guidance", "1.5", "--steps", "4"]
    assert main.main([*arguments, "--out", run]) == 0
    model = kg.load_model(run)
    assert model.widths == (4, 8) and model.class_names[7] == "sneaker" and model.guidance == 1.5
    config = json.loads((tmp_path / "fast" / "config.json").read_text())
    assert config["run"]["own_networks"] == ["flow"]
    repeated = ["train", "mean_flow", "--config", f"{run}/config.json"]
    assert main.main([*repeated, "--out", str(tmp_path / "other")]) == 1
    assert (
        "a run that had --flow, a trained model that is not in the file: give it again"
        in capsys.readouterr().err
    )
    assert main.main([*repeated, "--flow", flow, "--out", str(tmp_path / "again")]) == 0
    weights = [kg.load_model(path).get_weights() for path in (run, tmp_path / "again")]
    for first, again in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, again)
    film = tmp_path / "film.gif"
    arguments = ["sample", flow, "--num", "4", "--num-steps", "6", "--sampler", "heun", "--out", str(film)]
    assert main.main(arguments) == 0
    with PIL.Image.open(film) as frames:
        shown = [np.asarray(frames.convert("RGB")) for _ in iter(lambda: next_frame(frames), None)]
    last = pictures.grid(kg.load_model(flow).generate(4, num_steps=6, sampler="heun", seed=0))
    assert len(shown) >= 6 and np.abs(shown[-1].astype(int) - last).mean() < 8  # of a palette's colours


def next_frame(frames: PIL.Image.Image) -> bool | None:
    """Goes to the next frame; None at the end."""
    try:
        frames.seek(frames.tell() + 1)
    except EOFError:
        return None
    return True


def test_labels_by_name_and_number_repeat(runs, tmp_path):
    arrays = []
    for labels in ("sneaker,3", "7,dress", "7,3,7,3,7,3"):
        out = str(tmp_path / "images.npy")
        arguments = ["sample", str(runs["cvae"]), "--num", "6", "--labels", labels, "--out", out]
        assert main.main(arguments) == 0
        arrays.append(np.load(out))
    np.testing.assert_array_equal(arrays[0], arrays[1])
    np.testing.assert_array_equal(arrays[0], arrays[2])
    # Without --num, one image for each.
    assert main.main(["sample", str(runs["cvae"]), "--labels", "7,7,3", "--out", out]) == 0
    from keras_gen.runs.loading import load_model

    expected = load_model(runs["cvae"]).generate(3, seed=0, labels=[7, 7, 3])
    np.testing.assert_array_equal(np.load(out), np.round(expected * 255))
    walk = str(tmp_path / "walk.gif")
    assert main.main(["sample", str(runs["cvae"]), "--num", "2", "--labels", "bag", "--out", walk]) == 0


def test_export_and_resume(runs, tmp_path, capsys):
    assert main.main(["export", str(runs["vae"]), str(tmp_path / "serving")]) == 0
    assert main.main(["export", str(runs["vae"]), str(tmp_path / "serving")]) == 0
    assert (tmp_path / "serving" / "2" / "saved_model.pb").exists()
    assert main.main(["resume", str(runs["vae"])]) == 0
    assert "finished" in capsys.readouterr().err
    (tmp_path / "damaged").mkdir()
    shutil.copy(runs["vae"] / "config.json", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.keras").write_bytes(b"damaged")
    assert main.main(["resume", str(tmp_path / "damaged")]) == 1
    assert "finished" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch, capsys):
    def in_a_library(_):
        np.zeros(2).reshape(3)

    with monkeypatch.context() as patch:
        patch.setattr(information, "list_names", in_a_library)
        assert main.main(["list", "models"]) == 1
    with monkeypatch.context() as patch:
        patch.setattr("keras_gen.recipes.RECIPES", {})  # of which there is no widest name
        assert main.main(["list", "models"]) == 1
    errors = capsys.readouterr().err
    assert errors.count("Traceback") == errors.count("please report it") == 2
    assert "cannot reshape" in errors and "max()" in errors


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path):
    import signal

    out = tmp_path / "run"
    command = [KERAS_GEN, "train", "vae", "--out", str(out), "--epochs", "500", *SMALL[2:]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("epoch   1/500")
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Continue with: keras-gen resume {out}" in errors and "Traceback" not in errors
    assert "TensorFlow" not in errors and "oneDNN" not in errors  # no start-up chatter
    assert printed.splitlines()[-1] == str(out)


def test_a_reader_that_has_seen_enough_is_no_error():
    """As in `keras-gen list models | head -1`, where the pipe closes before all is written."""
    command = [sys.executable, "-m", "keras_gen", "list", "models"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_backend_gets_one_clear_line():
    code = "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras_gen"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "ImportError: keras_gen runs on Keras' TensorFlow backend, but KERAS_BACKEND=jax"
    )


def test_settings_of_keras_that_are_no_file_are_refused(tmp_path):
    """Keras would wait for whoever writes to a pipe."""
    os.mkfifo(tmp_path / "keras.json")
    command = [sys.executable, "-c", "import keras_gen"]
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ") and "must be a file of Keras' settings. Received: " in last


def test_public_names_are_what_they_say():
    import keras_gen
    from keras_gen.recipes import RECIPES

    assert set(keras_gen._PUBLIC) | {"VAE", "BaseModel"} < set(keras_gen.__all__)
    assert {recipe.model for recipe in RECIPES.values()} < set(keras_gen.__all__)
    for name in keras_gen.__all__:
        assert getattr(keras_gen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'GAM'"):
        keras_gen.GAM  # noqa: B018


# === Text ===


@pytest.fixture(scope="module")
def writer(tmp_path_factory) -> Path:
    """A run of a text generator."""
    folder = tmp_path_factory.mktemp("writer")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 60)
    arguments = ["--data", folder / "text.txt", "--sequence-length", 16, "--widths", "[24]"]
    arguments += ["--epochs", 2, "--learning-rate", 1e-2, "--dropout", 0, "--out", folder / "run"]
    assert main.main(["train", "lstm", *map(str, arguments)]) == 0
    return folder / "run"


def test_text_streams_to_the_terminal_or_goes_into_a_file(writer, tmp_path, capsys):
    from keras_gen.runs.loading import load_model

    model = load_model(writer)
    options = ["--prompt", "The", "--max-tokens", "30", "--temperature", "0.5", "--seed", "4"]
    assert main.main(["sample", str(writer), *options]) == 0
    expected = model.generate("The", max_tokens=30, temperature=0.5, seed=4)
    assert capsys.readouterr().out == f"{expected}\n"
    out = tmp_path / "text.txt"
    assert main.main(["sample", str(writer), *options, "--num", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    another = model.generate("The", max_tokens=30, temperature=0.5, seed=5)
    assert out.read_text() == f"----- 1 -----\n{expected}\n\n----- 2 -----\n{another}\n"
    assert main.main(["sample", str(writer), "--prompt", "The €", "--max-tokens", "2"]) == 0
    assert capsys.readouterr().err == "keras-gen: Not in the vocabulary, treated as unknown: '€'.\n"


def test_options_follow_the_kind_of_data(capsys):
    shown = {}
    for recipe in ("vae", "lstm"):
        with pytest.raises(SystemExit):
            main.main(["train", recipe, "--help"])
        shown[recipe] = capsys.readouterr().out
    for name in ("tokenizer", "vocabulary-size", "sequence-length", "per-document", "encoding"):
        assert f"--{name} " in shown["lstm"] and f"--{name} " not in shown["vae"]
    for name in ("data-dir", "image-size", "label", "skip-broken"):
        assert f"--{name} " in shown["vae"] and f"--{name} " not in shown["lstm"]


def test_the_options_of_sample_are_those_of_generate(capsys):
    found = options.verb_options(kg.from_preset("lstm_python_docs").generate)
    assert set(found.defaults) == {"max_tokens", "temperature", "top_k", "top_p", "stop"}
    assert all(found.docs[name] for name in found.defaults)
    with pytest.raises(SystemExit) as left:
        main.main(["sample", "lstm_python_docs", "--help"])
    assert left.value.code == 0 and "--top-p TOP_P" in capsys.readouterr().out
    written = ["--prompt", "The ", "--max-tokens", "40", "--seed", "3", "--stop", "e"]
    assert main.main(["sample", "lstm_python_docs", *written]) == 0
    text = capsys.readouterr().out
    assert text.startswith("The ") and "e" not in text[4:]
    assert main.main(["sample", "lstm_python_docs", *written[:-1], '["zzz", "e"]']) == 0
    assert capsys.readouterr().out == text


def test_a_general_help_needs_no_source(capsys):
    assert main.main(["sample", "--help"]) == 0
    assert "keras-gen sample SOURCE --help lists the options" in " ".join(capsys.readouterr().out.split())
