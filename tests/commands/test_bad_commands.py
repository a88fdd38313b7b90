"""Command lines that cannot be right: each is refused in one line, says what it got, and leaves nothing."""

import contextlib
import functools
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal, get_origin

import numpy as np
import PIL.Image
import pytest

import keras_gen as kg
from keras_gen.commands import errors, main, parsing, tensorflow_import, train_options
from keras_gen.recipes import RECIPES
from keras_gen.runs import evaluating, loading
from keras_gen.tokenizers import CharacterTokenizer

SMALL = {"image_shape": (8, 8, 1), "widths": (4,), "hidden_units": 8, "seed": 0}


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> dict[str, Path]:
    """What command lines name: models of each kind, data, and files that are neither."""
    folder = tmp_path_factory.mktemp("things")
    names = ("Sneaker", "bag", "Ankle boot")
    models = {
        "vae": kg.VAE(latent_dim=3, **SMALL),
        "cvae": kg.VAE(latent_dim=3, num_classes=3, class_names=names, **SMALL),
        "cnn": kg.CNNClassifier(num_classes=3, **SMALL),
        "lstm": kg.LSTMTextGenerator(CharacterTokenizer("abcdé \n"), embedding_dim=4, widths=(6,), seed=0),
    }
    for name, model in models.items():
        model.compile()
        model.save(folder / f"{name}.keras")
    pixels, labels = np.random.default_rng(0).integers(0, 256, (32, 8, 8), "uint8"), np.arange(32) % 3
    np.savez(folder / "data.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    (folder / "broken.keras").write_bytes(b"PK\x03\x04")
    (folder / "file").write_text("text")
    (folder / "folder").mkdir()
    (folder / "folder" / "x.png").mkdir()
    os.mkfifo(folder / "pipe.keras")
    return {"here": folder, "data": folder / "data.npz", **{n: folder / f"{n}.keras" for n in models}}


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Models are loaded once for all command lines."""
    load = functools.cache(loading.load_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_model", load)
        patch.setattr(evaluating, "load_model", load)
        yield


def refused(capsys, *arguments: str) -> tuple[int, str]:
    """The status of a command that must be refused, and the one line that it says."""
    try:
        status = main.main(list(arguments))
    except SystemExit as left:
        status = left.code
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert status in (1, 2) and said.out == "", (status, said)
    assert len(lines) == 1 and lines[0].startswith("keras-gen: "), said.err
    assert (status == 2) == lines[0].endswith("--help)")
    return status, lines[0]


@contextlib.contextmanager
def nothing_left(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def row(line: str, message: str):
    return pytest.param(line, message, id=line or "nothing")


# === Refused before TensorFlow is there ===

INTEGERS = "'0' '-1' 1.5 ten nan null true '' 2147483648 1000000000000 1e3 []"
COUNT, SEED = "must be an integer from 1 to 2**31 - 1", "must be an integer from 0 to 2**31 - 1"
NUMBERS = [
    *[(f"sample X --num={value}", f"--num {COUNT}") for value in shlex.split(INTEGERS)],
    *[(f"evaluate X --num={value}", f"--num {COUNT}") for value in shlex.split(INTEGERS)],
    *[(f"sample X --seed={value}", f"--seed {SEED}") for value in shlex.split(INTEGERS)[1:]],
    *[(f"evaluate X --seed={value}", f"--seed {SEED}") for value in shlex.split(INTEGERS)[1:]],
    *[
        (f"resume X --max-minutes={value}", "more than 0")
        for value in ("0", "-1", "nan", "inf", "soon", "")
    ],
    *[(f"evaluate X --test-fraction={value}", "less than 1") for value in ("0", "1", "nan", "-1", "half")],
    *[
        (f"evaluate X --image-size={value}", "a list of 2")
        for value in ("8", "8,8,8", "0,8", "8x8", "[[8,8]]")
    ],
]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        row("", "a command is missing: expected one of train, resume"),
        row("''", "COMMAND must be one of train, resume"),
        row("dance", "Received: 'dance' (see keras-gen --help)"),
        row("trian vae", "Received: 'trian'. Did you mean train?"),
        row("--foo", "Received: '--foo'"),
        row("list", "WHAT must be given (see keras-gen list --help)"),
        row("list model", "Received: 'model'. Did you mean models?"),
        row("list models extra", "no such option or argument. Received: 'extra'"),
        row("hardware --jsno", "Received: '--jsno'. Did you mean --json?"),
        row("hardware --json=3", "'3'"),
        row("train", "expected one of autoencoder, vae, cvae"),
        row("train gan3", "MODEL must be one of autoencoder, vae"),
        row("train vea", "Received: 'vea'. Did you mean vae?"),
        row("resume", "RUN must be given"),
        row("resume ''", "RUN must be a string, and not empty (is a shell variable unset?). Received: ''"),
        row("sample '' --out x.png", "SOURCE must be a string, and not empty"),
        row("sample X --out ''", "--out must be a string, and not empty"),
        row(
            "sample X --out x.bmp",
            "--out must end in .png, .npy, .gif or, for text, .txt. Received: 'x.bmp'",
        ),
        row("sample X --labels ''", "--labels must be a string, and not empty"),
        row("sample X --num", "--num must have a value"),
        row("evaluate X --data ''", "--data must be a string, and not empty"),
        row("evaluate X --data-dir ''", "--data-dir must be a string, and not empty"),
        row("evaluate X --extractor ''", "--extractor must be a string, and not empty"),
        row("evaluate X --channels 2", "--channels must be one of 1, 3. Received: '2'"),
        row("evaluate X --skip-broken maybe", "--skip-broken must be true or false. Received: 'maybe'"),
        row("export X ''", "DIR must be a string, and not empty"),
        row("export X", "DIR must be given"),
        row("export X out --format ONNX", "Received: 'ONNX'. Did you mean onnx?"),
        *[row(*number) for number in NUMBERS],
    ],
)
def test_wrong_usage(line, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tensorflow_import, "import_tensorflow", lambda: pytest.fail("TensorFlow"))
    with nothing_left(monkeypatch, tmp_path):
        status, said = refused(capsys, *shlex.split(line))
    assert status == 2 and message in said


# The options of a model's own generate.
OF_MODEL = [
    *[(f"--max-tokens={value}", f"--max-tokens {COUNT}") for value in shlex.split(INTEGERS)],
    *[(f"--temperature={value}", "0 or more") for value in ("-1", "nan", "inf", "-inf", "hot", "")],
    *[(f"--top-p={value}", "more than 0, at most 1") for value in ("0", "1.1", "nan", "-0.1", "")],
    *[(f"--top-k={value}", "--top-k must be an integer") for value in ("-1", "1.5", "3000000000")],
    ("--temp 1", "Received: '--temp'. Did you mean --temperature?"),
    ("extra", "no such option or argument. Received: 'extra'"),
]


@pytest.mark.parametrize(("options", "message"), [row(*each) for each in OF_MODEL])
def test_wrong_options_of_a_model(options, message, things, capsys, monkeypatch, tmp_path):
    writer = load_once(things["lstm"])
    monkeypatch.setattr(loading, "load_model", lambda source: writer)
    with nothing_left(monkeypatch, tmp_path):
        status, said = refused(capsys, "sample", str(things["lstm"]), *shlex.split(options))
    assert status == 2 and message in said


load_once = functools.cache(loading.load_model)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        row("sample nowhere --out x.png", "nowhere does not exist: expected a run directory"),
        row("sample vae_fashion_mnits --out x.png", "Did you mean vae_fashion_mnist?"),
        row("sample {here}/pipe.keras --out x.png", "is not a regular file"),
        row("sample /dev/zero --out x.png", "/dev/zero is not a regular file"),
        row("sample ftp://host/x --out x.png", "ftp://host/x does not exist"),
        row("sample X --out {here}/file/x.png", "--out must be in a directory. Received: "),
        row("sample X --out {here}/file/y/x.png", "/file is a file"),
        row("sample X --out {here}/folder/x.png", "--out must be a file. Received: "),
        row("sample X --out /dev/null/x.png", "/dev/null is a file"),
        row("evaluate nowhere --data mnist", "nowhere does not exist"),
        row("export nowhere out", "nowhere does not exist"),
        row("export {vae} {here}/file", "DIR must be a directory. Received: "),
        row("export {vae} {here}/file/x", "DIR must be a directory. Received: "),
        row("export {vae} /dev/null", "DIR must be a directory. Received: /dev/null"),
    ],
)
def test_what_is_not_there(line, message, things, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tensorflow_import, "import_tensorflow", lambda: pytest.fail("TensorFlow"))
    with nothing_left(monkeypatch, tmp_path):
        status, said = refused(capsys, *shlex.split(line.format(**things)))
    assert status == 1 and message in said


# === Refused by what is loaded ===


@pytest.mark.parametrize(
    ("line", "message"),
    [
        row("sample {here}/folder --out x.png", "holds neither model.keras nor a checkpoint"),
        row("sample {here}/file --out x.png", "Received: "),
        row("sample {here}/broken.keras --out x.png", "broken.keras"),
        row("sample {cnn} --out x.png", "a CNNClassifier, which generates nothing"),
        row(
            "sample {vae}",
            "Images need a file: --out grid.png (a grid), images.npy, or film.gif. Received: no",
        ),
        row("sample {vae} --out x.txt", "Received: x.txt"),
        row("sample {vae} --out x.png --labels 1", "this model has no classes. Received: '1'"),
        row("sample {vae} --out x.png --prompt ''", "--prompt is for models of text"),
        row("sample {vae} --out x.png --num 2147483647", "--num 2147483647, which takes"),
        row("sample {vae} --out x.npy --num 2147483647", "--num 2147483647, which takes"),
        row("sample {vae} --out x.gif --num 2147483647", "--num 2147483647, which takes"),
        row("sample {vae} --out /proc/x.png", "/proc: "),
        *[
            row(f"sample {{cvae}} --out x.png --labels={labels}", f"Received: {received!r}")
            for labels, received in (
                (",", ""),
                ("' '", ""),
                ("3", "3"),
                ("-1", "-1"),
                ("1.0", "1.0"),
                ("1e0", "1e0"),
                ("\uff11", "\uff11"),  # full width
                ("1,,2", ""),
                ("'1;2'", "1;2"),
                ("[1]", "[1]"),
                ("99999999999999999999", "99999999999999999999"),
            )
        ],
        row("sample {cvae} --out x.png --labels sneakers", "'sneakers'. Did you mean Sneaker?"),
        row("sample {cvae} --out x.png --labels 1,2 --num 3", "Received: 3 and 2 labels"),
        row("sample {lstm} --out x.png", "--out must end in .txt for a model that writes text"),
        row("sample {lstm} --labels 1", "--labels is for conditional models of images"),
        row("sample {lstm} --seed 2147483647 --num 2", "Received: --seed 2147483647 --num 2"),
        row("evaluate {vae}", "choose the data with --data"),
        row("evaluate {vae} --data nowhere", "'nowhere', which does not exist"),
        row("evaluate {vae} --data {data} --extractor resnet", "Received: 'resnet'"),
        row("evaluate {vae} --extractor fashion_mnits", "Did you mean fashion_mnist?"),
        row("evaluate {vae} --extractor {here}/pipe.keras", "Received: "),
        row("evaluate {vae} --data {data} --extractor {here}/broken.keras", "broken.keras"),
        row("evaluate {vae} --data {data} --extractor {lstm}", "Received: <LSTMTextGenerator"),
        row("evaluate {vae} --data {data} --sequence-length 4", "sequence_length is not an option"),
        row("evaluate {lstm} --data {data}", "data.npz"),
        row("resume nowhere", "nowhere"),
        row("train vae --data nowhere", "'nowhere', which does not exist"),
        row("train vae --epochs 1 --steps 1", "Received: epochs=1, steps=1"),
        row("train vae --data {here}/file", "file"),
        row("train vae --out {here}/folder", "is not empty"),
        row("train lstm --data {data}", "data.npz"),
    ],
)
def test_what_does_not_fit(line, message, things, capsys, monkeypatch, tmp_path):
    with nothing_left(monkeypatch, tmp_path):
        status, said = refused(capsys, *shlex.split(line.format(**things)))
    assert status == 1 and message in said


def test_names_of_classes_are_found_whatever_their_capitals(things, tmp_path, capsys):
    drawn = []
    for labels in ("sneaker, ANKLE BOOT", "0, 2"):
        out = tmp_path / "x.npy"
        assert main.main(["sample", str(things["cvae"]), "--labels", labels, "--out", str(out)]) == 0
        drawn.append(np.load(out))
    np.testing.assert_array_equal(*drawn)


# === train: each option of each model, with values that are never right ===

NEVER = {
    int: ("1.5", "x", "nan", "true", "[3]", "{}", "", "9" * 5000, "99999999999999999999x", "&a [*a]"),
    float: ("nan", "inf", "-inf", "1e999", "x", "true", "[1]", "", "{}", "\udcff"),
    bool: ("maybe", "2", "yes", "", "null", "[true]"),
    list: ("x", "", "[4,x]", "[[4]]", "4,,8", "{}", "1.5", "[" * 3000, "true"),
    Literal: ("no such name", "", "7", "[]"),
    str: ("",),
}


def kinds_of(hint) -> list:
    """What a type is made of, of the keys of NEVER."""
    text = str(parsing.without_none(hint))
    if "Literal" in text:
        return [Literal]
    if "Sequence" in text or "tuple" in text:
        return [list]
    return [kind for kind in (int, float, bool, str) if kind.__name__ in text][:1]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_option_of_training_refuses_what_is_never_right(recipe, capsys):
    groups = train_options.options_of(recipe)
    parser = train_options.train_parser(recipe, groups)
    tried = 0
    for group in groups:
        for name, default in group.defaults.items():
            option = f"--{name.replace('_', '-')}"
            for kind in kinds_of(parsing.of_text(group.hints[name])):
                for value in NEVER[kind]:
                    if (value == "" and default == "") or (value == "null" and default is None):
                        continue
                    with pytest.raises(SystemExit) as left:
                        parser.parse_args([f"{option}={value}"])
                    line = capsys.readouterr().err
                    assert left.value.code == 2 and line.count("\n") == 1, (option, value, line)
                    assert line.startswith(f"keras-gen: {option} must be ") and "Received: '" in line, line
                    assert line.endswith(f"(see keras-gen train {recipe} --help)\n") and len(line) < 500
                    tried += 1
    assert tried > 100


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_takes_all_of_its_options(recipe):
    """Also where a class hands on to its bases what it does not fix itself: see `fixed_arguments`."""
    *_, of_model = train_options.options_of(recipe)
    chosen = RECIPES[recipe]
    model = getattr(kg, chosen.model)
    given = {**of_model.defaults, **chosen.smoke, **({"num_classes": 3} if chosen.uses_labels else {})}
    if "tokenizer" in model.from_data:
        given["tokenizer"] = CharacterTokenizer("ab")
    assert set(of_model.defaults) <= set(model(**given).get_config())


def test_the_defaults_of_every_model_are_taken_back():
    """As from the config.json of a run."""
    for recipe in RECIPES:
        groups = train_options.options_of(recipe)
        values = {name: value for group in groups for name, value in group.defaults.items()}
        hints = {name: hint for group in groups for name, hint in group.hints.items()}
        for name, value in json.loads(json.dumps(values)).items():
            assert train_options.check(name, value, parsing.of_text(hints[name])) == value or value == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        row("--beat 1", "no such option or argument. Received: '--beat'. Did you mean --beta?"),
        row("extra", "Received: 'extra'"),
        row("--lat 3", "Received: '--lat'. Did you mean --latent-dim?"),
        row("--latent_dim 3", "Did you mean --latent-dim?"),
        row("--latent-dim", "--latent-dim must have a value"),
        row("--print-config", "Received: '--print-config'"),
        row("--image-shape 8,8,1", "Received: '--image-shape'"),
        row("--hyperparameters x", "Received: '--hyperparameters'"),
        row("--mlflow ''", "--mlflow must be a string, and not empty"),
        row("--likelihood gausian", "Received: 'gausian'. Did you mean gaussian?"),
    ],
)
def test_options_that_train_does_not_have(line, message, capsys, monkeypatch, tmp_path):
    with nothing_left(monkeypatch, tmp_path):
        status, said = refused(capsys, "train", "vae", *shlex.split(line))
    assert status == 2 and message in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON"),
        (b"[1]", "Received: [1]"),
        (b"null", "Received: None"),
        (bytes(range(256)), "expected JSON"),
        (b'{"beta":' + b"[" * 100_000, "expected JSON"),
        (b"a: &a [x, x]\nb: [*a, *a]", "expected JSON"),
        ('{"beta": 1}'.encode("utf-16"), "expected JSON"),
        (b'{"beta": ' + b"9" * 5000 + b"}", "Received: "),
        (b'{"beta": "1"}', "beta must be"),
        (b'{"beta": NaN}', "Received: nan"),
        (b'{"beta": true}', "Received: True"),
        (b'{"epochs": 1.5}', "Received: 1.5"),
        (b'{"widths": 4}', "Received: 4"),
        (b'{"data": ""}', "data must not be empty"),
        (b'{"btea": 1}', "Received: 'btea', in a file of 'no model'. Did you mean beta?"),
        (b'{"ema": 0.5, "run": {"recipe": "gan"}}', "Received: 'ema', in a file of 'gan'"),
        (b'{"run": 3}', "run must be a dictionary. Received: 3"),
        (b'{"run": {"own_networks": 3}}', "run.own_networks must be"),
        (b'{"run": {"own_networks": ["encoder"]}}', "networks of its own (encoder)"),
        (None, "must be a file. Received: a directory"),
    ],
)
def test_a_wrong_config_is_named(content, message, capsys, tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    path.mkdir() if content is None else path.write_bytes(content)
    (tmp_path / "cwd").mkdir()
    with nothing_left(monkeypatch, tmp_path / "cwd"):
        status, said = refused(capsys, "train", "vae", "--config", str(path))
    assert status == 1 and message in said


# === Texts of options ===


def test_options_read_what_people_write():
    def read(hint, text):
        return parsing.Option(hint)(text)

    assert read("Size", "64,48") == read("Size", "[64, 48]") == read("Size", "(64,48)") == (64, 48)
    assert read("Widths", "32") == [32] and read("Widths", "32,64") == [32, 64]
    assert read(int | None, "null") is None and read(int, "1_000") == 1000
    assert read(float, ".5") == read(float, "5e-1") == 0.5
    assert read("bool", "True") is True and read("bool", "false") is False
    assert read(str, "7") == "7" and read(str | None, "[]") == "[]"
    assert get_origin(parsing.of_text(str | os.PathLike)) is None


# === The machine ===


@pytest.mark.parametrize(
    "line",
    [
        "sample {vae} --num 200 --out new/x.npy",
        pytest.param("export {vae} new/serving", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_line(line, things, tmp_path, capsys, monkeypatch):
    """As by the limit on the size of files, which the system enforces in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with nothing_left(monkeypatch, tmp_path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            status, said = refused(capsys, *shlex.split(line.format(**things)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 1 and "File too large: raise the limit" in said


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("8 GiB"), "there is not enough memory"),
        (
            OSError(28, "No space left on device", "a/.x.draft-1-2-3.png"),
            "a: No space left on device: free",
        ),
        (OSError(28, "No space left on device"), "keras-gen: No space left on device: free some space"),
        (PermissionError(13, "Permission denied", "x"), "x: Permission denied: choose a place"),
        (OSError(36, "File name too long", "x"), "choose a shorter name"),
        (OSError("something in a library"), None),
        (OSError(9, "Bad file descriptor"), None),
        (ValueError("of a library"), None),
        (TypeError("of a library"), None),
        (KeyError("x"), None),
    ],
)
def test_errors_of_the_system_are_told_and_bugs_keep_their_traceback(error, message, capsys):
    def library(_=None):
        raise error

    assert errors.guarded(library) == 1
    said = capsys.readouterr().err
    assert ("Traceback" in said) == ("please report it" in said) == (message is None)
    assert message is None or message in said


def test_errors_of_tensorflow_are_one_line(capsys):
    import tensorflow as tf

    def fail(kind, text):
        def command():
            raise kind(None, None, text)

        return command

    for kind, text, message in (
        (tf.errors.ResourceExhaustedError, "{{node x}} OOM of [9]\nmore", "smaller --num"),
        (tf.errors.OutOfRangeError, "x.data; File too large [Op:SaveV2]", "raise the limit"),
        (tf.errors.PermissionDeniedError, "logs; Permission denied", "choose a place"),
    ):
        assert errors.guarded(fail(kind, text)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("keras-gen: TensorFlow") and message in line
    assert errors.guarded(fail(tf.errors.InvalidArgumentError, "shapes")) == 1
    assert "please report it" in capsys.readouterr().err


def test_a_file_that_goes_while_training_is_named(tmp_path, capsys):
    for number in range(8):
        PIL.Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    data = kg.load_dataset(tmp_path, batch_size=2)
    for path in tmp_path.iterdir():
        path.unlink()
    assert errors.guarded(lambda: next(iter(data.train)) and None) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-gen: ") and ".png" in line and len(line) < 300


def test_debug_keeps_the_traceback(monkeypatch):
    monkeypatch.setenv("KERAS_GEN_DEBUG", "1")
    with pytest.raises(ValueError, match="nowhere does not exist"):
        main.main(["sample", "nowhere", "--out", "x.png"])


# === In processes of their own ===


ENVIRONMENT = {
    **os.environ,
    "KG": f"{sys.executable} -m keras_gen",
    "PYTHONPATH": str(Path(main.__file__).parents[2]),
}


def shell(line: str) -> subprocess.CompletedProcess:
    """A command line in a shell, where $KG is `keras-gen`."""
    return subprocess.run(["bash", "-c", line], capture_output=True, env=ENVIRONMENT, timeout=60)


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("$KG list models >&-", 1, b"keras-gen: standard output is closed"),
        ("$KG list models >/dev/full", 1, b"keras-gen: No space left on device: free some space"),
        ("$KG list model 2>&-", 2, b""),
        ("$KG list model 2>/dev/full", 2, b""),
        ("$KG sample $'\\xff' --out x.png", 1, b"keras-gen: \\udcff does not exist"),
        ("$KG train $'\\xff'", 2, b"Received: '\\udcff'"),
        ("PYTHONIOENCODING=ascii $KG sample \u00e9 --out x.png", 1, b"keras-gen: \\xe9 does not exist"),
        ("KERAS_BACKEND=jax $KG hardware", 1, b"KERAS_BACKEND=jax: set KERAS_BACKEND=tensorflow"),
    ],
)
def test_streams_and_names(line, status, message, tmp_path, monkeypatch):
    with nothing_left(monkeypatch, tmp_path):
        done = shell(line)
    assert done.returncode == status and done.stdout == b"" and message in done.stderr
    assert done.stderr.count(b"\n") == (1 if message else 0)


WRITES_FOR_EVER = """
import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore

sys.argv[0] = "keras-gen"
from keras_gen.commands import information, main
from keras_gen.utils import files


def write(_):
    with files.atomic_write("new/x.txt") as draft:
        draft.write_text("half")
        print("writing", flush=True)
        while True:
            pass


information.list_names = write
sys.exit(main.main(["list", "models"]))
"""


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), ids=lambda n: n.name)
def test_a_signal_ends_a_command_in_one_line_and_leaves_no_draft(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout.readline() == "writing\n"
        time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    expected = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert (process.returncode, said) == (128 + number, f"keras-gen: {expected}\n")
    assert list(tmp_path.iterdir()) == []


def test_mlflow_without_a_uri_is_its_own_default():
    from keras_gen.commands import train_options

    assert train_options.parse("vae", ["--mlflow"])[0]["mlflow"] == ""
    assert train_options.parse("vae", ["--mlflow", "sqlite:///a.db"])[0]["mlflow"] == "sqlite:///a.db"
    assert train_options.parse("vae", [])[0]["mlflow"] is None
