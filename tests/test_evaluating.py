"""`keras-gen evaluate`, as typed, on runs, files and presets."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_gen import cli
from keras_gen.training import train

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
    assert cli.main(["evaluate", *map(str, arguments)]) == 0
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
        "log p(x) (nats per image)",
    } <= rows


def test_a_trained_classifier_is_an_extractor(runs, capsys):
    printed = evaluate(capsys, runs / "cvae", "--num", 150, "--extractor", runs / "cnn", "--json")
    result = json.loads(printed)["results"]["fd"]
    assert result["extractor"] == "cnn" and result["label"] == "FD-cnn"


def test_a_classifier(runs, capsys):
    table = evaluate(capsys, runs / "cnn")
    assert "accuracy" in table and "FD" not in table and "real images" not in table


def test_what_keras_says_of_downloads_stays_out_of_the_json(runs, capsys, monkeypatch):
    from keras_gen import evaluating

    real = evaluating.load_dataset

    def load_dataset(*arguments, **options):
        print("Downloading data from https://host/train.gz")
        return real(*arguments, **options)

    monkeypatch.setattr(evaluating, "load_dataset", load_dataset)
    assert cli.main(["evaluate", str(runs / "cnn"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["seed"] == 0 and "Downloading" in printed.err


def test_a_file_needs_to_be_told_its_data_and_keeps_nothing(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = str(runs / "cnn" / "model.keras")
    assert cli.main(["evaluate", source]) == 1
    assert "choose the data with --data" in capsys.readouterr().err
    table = evaluate(capsys, source, "--data", "fashion_mnist_12k", "--num", 300)
    assert table.startswith("300 test images of fashion_mnist_12k")
    assert list(tmp_path.iterdir()) == []


def test_a_preset(capsys):
    report = json.loads(
        evaluate(capsys, "cnn_classifier_fashion_mnist", "--data", "fashion_mnist_12k", "--json")
    )
    assert report["results"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (["--num", "100"], "needs 129 or more images of each kind (num). Received: 100"),
        (["--num", "0"], "needs 1 or more images"),
        (["--extractor", "resnet"], "Unknown extractor: expected fashion_mnist"),
        (["--data", "nowhere"], "'nowhere' does not exist"),
    ),
)
def test_mistakes_get_one_line(runs, arguments, message, capsys):
    common = [] if "--extractor" in arguments else ["--extractor", "fashion_mnist"]
    assert cli.main(["evaluate", str(runs / "cvae"), *common, *arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_a_classifier_generates_nothing(runs, tmp_path, capsys):
    assert cli.main(["sample", str(runs / "cnn"), "--out", str(tmp_path / "x.png")]) == 1
    assert "A CNNClassifier generates nothing" in capsys.readouterr().err
