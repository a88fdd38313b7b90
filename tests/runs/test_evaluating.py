"""`keras-gen evaluate`, as typed, on runs, files and presets."""

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_gen as kg
from keras_gen.commands import evaluate as evaluate_command
from keras_gen.commands import main
from keras_gen.runs.evaluating import evaluate_source
from keras_gen.runs.training import train

SMALL = {"latent_dim": 3, "widths": [4], "hidden_units": 8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, garments):
    folder = tmp_path_factory.mktemp("runs")
    images, labels = garments
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:200], "y_test": labels[:200]}
    np.savez(folder / "small.npz", **arrays)
    data = str(folder / "small.npz")
    options = {"data": data, "epochs": 1, "batch_size": 64}
    train("cvae", **options, out=str(folder / "cvae"), hyperparameters=SMALL)
    sizes = {"widths": [4], "hidden_units": 8}
    train("cnn_classifier", **options, out=str(folder / "cnn"), hyperparameters=sizes)
    return folder


def evaluate(capsys, *arguments) -> str:
    assert main.main(["evaluate", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_run_keeps_its_numbers(runs, capsys):
    printed = evaluate(capsys, runs / "cvae", "--num", 150, "--extractor", "fashion_mnist", "--json")
    report = json.loads(printed)
    kept = json.loads((runs / "cvae" / "evaluation.json").read_text())
    assert kept == report
    # The run's own data, without being told.
    assert report["data"].endswith("small.npz") and report["results"]["fd"]["num_real"] == 150
    assert (runs / "cvae" / "samples" / "neighbours.png").exists()
    logs = EventAccumulator(str(runs / "cvae" / "logs" / "validation" / "evaluation")).Reload()
    assert len(logs.Tags()["tensors"]) == len(report["results"])
    (event,) = logs.Tensors("metrics/FD")
    assert tf.make_ndarray(event.tensor_proto) == pytest.approx(report["results"]["fd"]["value"])
    assert event.step == 1  # the epoch


@pytest.mark.slow
def test_images_are_measured_as_the_options_of_the_command_generate_them(runs, capsys):
    model = kg.DiffusionModel(widths=(4, 8), num_blocks=1, guide_steps=0, seed=0)
    model.save(file := runs / "diffusion.keras")
    data = runs / "small.npz"
    common = [file, "--data", data, "--num", 150, "--extractor", "fashion_mnist", "--seed", 3]
    report = json.loads(evaluate(capsys, *common, "--num-steps", 1, "--sampler", "euler", "--json"))
    options = {"num_steps": 1, "sampler": "euler"}
    assert report["options"] == options  # and no guidance, which has no effect on this model
    images = model.generate(150, seed=3 * 100_003, **options)
    real = kg.load_dataset(str(data)).test_images(150)[0]
    extractor = kg.metrics.load_extractor("fashion_mnist")
    distance = kg.metrics.frechet_distance(extractor(real)[0], extractor(images)[0])
    assert report["results"]["fd"]["value"] == pytest.approx(distance, rel=1e-4)
    table = evaluate(capsys, *common)
    assert "150 generated images (seed 3, num_steps 20, sampler dpm_solver_2m) against" in table
    with pytest.raises(SystemExit):
        main.main(["evaluate", str(file), "--data", str(data), "--num-steps", "0"])
    assert "--num-steps must be an integer from 1 to 1000" in capsys.readouterr().err


def test_options_of_other_models_are_refused(runs, capsys):
    with pytest.raises(SystemExit) as left:
        main.main(["evaluate", str(runs / "cvae"), "--num-steps", "3"])
    assert left.value.code == 2 and "no such option" in capsys.readouterr().err
    data = kg.load_dataset(str(runs / "small.npz"))
    for name in ("cvae", "cnn"):
        with pytest.raises(ValueError, match="generate_options must be left out: .*Received: 'num_steps'"):
            kg.metrics.measure(kg.load_model(runs / name), data, generate_options={"num_steps": 3})
    model = kg.DiffusionModel(widths=(4,), num_blocks=1)
    with pytest.raises(ValueError, match="among num_steps, sampler, guidance. Received: 'steps'"):
        kg.metrics.measure(model, data, generate_options={"steps": 3})
    with pytest.raises(ValueError, match="num_steps must be an integer from 1 to 1000. Received: 0"):
        kg.metrics.measure(model, data, generate_options={"num_steps": np.int64(0)})


def test_a_run_keeps_the_numbers_of_the_defaults_alone(runs, capsys, monkeypatch):
    run = runs / "cvae"
    kept = (run / "evaluation.json").read_bytes()
    seen = {}
    monkeypatch.setattr("keras_gen.runs.evaluating.measure", lambda *_, **options: seen.update(options))
    evaluate_source(run, generate_options={"temperature": 0.5})
    assert seen["generate_options"] == {"temperature": 0.5}
    assert (run / "evaluation.json").read_bytes() == kept


def test_a_run_that_cannot_keep_its_numbers_is_seen_before_they_are_measured(runs, tmp_path, monkeypatch):
    run = shutil.copytree(runs / "cnn", tmp_path / "run")
    (run / "metrics.csv").write_text("epoch;loss\n1;2\n")
    monkeypatch.setattr("keras_gen.runs.evaluating.measure", lambda *_, **__: 1 / 0)
    with pytest.raises(
        ValueError, match="metrics.csv must begin with the column epoch. Received: .*epoch;loss"
    ):
        evaluate_source(run)
    for arguments, message in (
        ({"num": 0}, "num must be an integer from 1 to .* Received: 0"),
        ({"seed": 2**31}, "seed must be an integer from 0 to .* Received: 2147483648"),
        ({"data": ""}, "data must be a data set, a file or a folder. Received: ''"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_source(run, **arguments)
    shutil.rmtree(run / "logs")
    (run / "logs").touch()
    monkeypatch.setattr("keras_gen.runs.evaluating.measure", lambda *_, **__: "measured")
    with pytest.warns(UserWarning, match="logs cannot be written to: the numbers are not kept there"):
        assert evaluate_source(run) == "measured"


def test_the_table(runs, capsys):
    table = evaluate(capsys, runs / "cvae", "--num", 150, "--seed", 2, "--extractor", "fashion_mnist")
    lines = table.splitlines()
    assert lines[0].startswith("150 generated images (seed 2) against 150 test images of ")
    rows = {line.split("  ")[0] for line in lines}
    assert {
        "FD-fashion_mnist",
        "KID",
        "precision",
        "recall",
        "label accuracy",
        "cross-entropy, importance-weighted (nats per image)",
    } <= rows


def test_a_trained_classifier_is_an_extractor(runs, capsys):
    printed = evaluate(capsys, runs / "cvae", "--num", 150, "--extractor", runs / "cnn", "--json")
    result = json.loads(printed)["results"]["fd"]
    assert result["extractor"] == "cnn" and result["label"] == "FD-cnn"


def test_a_classifier(runs, capsys):
    table = evaluate(capsys, runs / "cnn")
    assert "accuracy" in table and "FD" not in table and "real images" not in table


def test_what_keras_says_of_downloads_stays_out_of_the_json(runs, capsys, monkeypatch):
    from keras_gen.runs import evaluating

    real = evaluating.datasets.load_dataset

    def load_dataset(*arguments, **options):
        print("Downloading data from https://host/train.gz")
        return real(*arguments, **options)

    monkeypatch.setattr(evaluating.datasets, "load_dataset", load_dataset)
    assert main.main(["evaluate", str(runs / "cnn"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["seed"] == 0 and "Downloading" in printed.err


def test_a_file_needs_to_be_told_its_data_and_keeps_nothing(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = str(runs / "cnn" / "model.keras")
    assert main.main(["evaluate", source]) == 1
    assert "choose the data with --data" in capsys.readouterr().err
    table = evaluate(capsys, source, "--data", "fashion_mnist_12k", "--num", 300)
    assert table.startswith("300 test images of fashion_mnist_12k")
    assert list(tmp_path.iterdir()) == []


def test_other_data_is_loaded_as_in_training_where_that_applies(runs, tmp_path, monkeypatch):
    from keras_gen.runs import evaluating

    run = tmp_path / "run"
    shutil.copytree(runs / "cnn", run)
    trained = {"data": "celeba", "data_dir": "D", "image_size": [28, 28], "channels": 1, "label": "Smiling"}
    config = json.loads((run / "config.json").read_text())
    trained["background"] = "black"
    (run / "config.json").write_text(json.dumps({**config, "data": {**config["data"], **trained}}))
    seen = []

    @functools.wraps(evaluating.datasets.load_dataset)
    def load_dataset(data, **options):
        seen.append({"data": data, **options})
        raise ValueError("seen")

    monkeypatch.setattr(evaluating.datasets, "load_dataset", load_dataset)
    trained = {**trained, "skip_broken": False, "test_fraction": 0.1}
    folder, moved = str(tmp_path), {"label": "Male", "data_dir": "E"}
    of_folder = {"data": folder, "image_size": [28, 28], "channels": 1, "background": "black"}
    of_folder["skip_broken"] = False
    for arguments, expected in (
        ([], trained),
        (["--data", "celeba", "--label", "Male", "--data-dir", "E"], {**trained, **moved}),
        (["--data", folder], of_folder),
        (["--data", folder, "--image-size", "[8,9]"], {**of_folder, "image_size": (8, 9)}),
        (["--data", "mnist"], {"data": "mnist"}),
    ):
        assert main.main(["evaluate", str(run), *arguments]) == 1
        assert seen.pop() == {**expected, "batch_size": 16}


def test_the_options_of_the_data_are_those_of_its_loaders():
    from keras_gen.datasets import loader_options

    of_the_model = {"tokenizer", "vocabulary_size", "per_document"}
    names = {*loader_options("load_dataset"), *loader_options("load_text")}
    assert set(evaluate_command.DATA_OPTIONS) == names - of_the_model


def test_a_preset(capsys):
    report = json.loads(
        evaluate(capsys, "cnn_classifier_fashion_mnist", "--data", "fashion_mnist_12k", "--json")
    )
    assert report["results"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (["--num", "100"], "needs 129 or more images of each kind (num). Received: 100"),
        (["--data", "nowhere"], "'nowhere', which does not exist"),
    ),
)
def test_mistakes_get_one_line(runs, arguments, message, capsys):
    assert main.main(["evaluate", str(runs / "cvae"), "--extractor", "fashion_mnist", *arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
