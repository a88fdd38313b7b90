"""CelebA from a folder as Kaggle's archive and the authors' own unpack, and from a server on loopback."""

import http.server
import io
import os
import subprocess
import sys
import threading
import zipfile

import numpy as np
import PIL.Image
import pytest

from keras_gen.datasets import load_dataset

BLOND = [True, False, False, True, True, False, True, False]


def picture(number: int) -> PIL.Image.Image:
    """A colour image whose red says whether it is blond, and whose green says which it is."""
    pixels = np.zeros((22, 18, 3), np.uint8)
    pixels[..., 0] = 200 if BLOND[number] else 20
    pixels[..., 1] = number * 30
    return PIL.Image.fromarray(pixels)


def name(number: int) -> str:
    return f"{number + 1:06d}.png"


def attribute_rows() -> list[str]:
    return [f"{name(n)},{-1 if n % 2 else 1},{1 if BLOND[n] else -1}" for n in range(8)]


@pytest.fixture
def celeba(tmp_path):
    """Eight images, and their rows in another order."""
    images = tmp_path / "celeba" / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    for number in range(8):
        picture(number).save(images / name(number))
    rows = np.random.default_rng(1).permutation(attribute_rows()).tolist()
    table = "\n".join(["image_id,Smiling,Blond_Hair", *rows]) + "\n"
    (tmp_path / "celeba" / "list_attr_celeba.csv").write_text(table)
    return tmp_path / "celeba"


def everything(data):
    batches = [*data.train, *data.test]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def assert_labels_match(data):
    assert data.class_names == ("no Blond_Hair", "Blond_Hair")
    images, labels = everything(data)
    assert len(images) == 8 and len(np.unique(images[:, 0, 0, 1])) == 8
    np.testing.assert_array_equal(labels == 1, images[:, 0, 0, 0] == 200)


def test_rows_are_matched_to_file_names(celeba):
    data = load_dataset("celeba", data_dir=celeba, label="Blond_Hair", batch_size=1, test_fraction=0.25)
    assert data.image_shape == (22, 18, 3) and data.num_test == 2
    assert_labels_match(data)


def test_the_authors_text_files_and_their_split(celeba):
    (celeba / "list_attr_celeba.csv").unlink()
    rows = [row.replace(",", "  ") for row in attribute_rows()]
    (celeba / "list_attr_celeba.txt").write_text("\n".join(["8", "Smiling Blond_Hair ", *rows]) + "\n")
    parts = "\n".join(f"{name(n)} {2 if n in (1, 4) else 0}" for n in reversed(range(8)))
    (celeba / "list_eval_partition.txt").write_text(parts + "\n")
    data = load_dataset("celeba", data_dir=celeba, label="Blond_Hair", batch_size=1)
    assert_labels_match(data)
    tested = sorted(int(x[0, 0, 0, 1]) for x, _ in data.test)
    assert tested == [30, 120]


def test_without_a_label_and_with_another_size(celeba):
    data = load_dataset("celeba", data_dir=celeba, batch_size=2, image_size=(16, 16), channels=1)
    assert data.class_names is None and data.image_shape == (16, 16, 1)
    assert next(iter(data.train)).shape == (2, 16, 16, 1)


def test_tables_as_spreadsheets_save_them(celeba):
    table = celeba / "list_attr_celeba.csv"
    text = table.read_text()
    for changed in (
        "\ufeff" + text,
        text.replace(",", ";"),
        text.replace("\n", "\r\n"),
        text + text.split("\n")[1],
    ):
        table.write_text(changed, encoding="utf-8", newline="")
        assert_labels_match(load_dataset("celeba", data_dir=celeba, label="Blond_Hair", batch_size=1))


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (b"", "has no column 'Blond_Hair': expected a table with a row of names"),
        (b"\n\n", "has no column 'Blond_Hair': expected a table with a row of names"),
        (b"\xff\xfe\0\0", "must be utf-8 text. Received: 0xff at byte 0"),
        (b"image_id,Blond_Hair,Blond_Hair\n", "has several columns 'Blond_Hair': expected one"),
        (b"image_id,Blond_Hair\n000001.png\n", "Received: '' for '000001.png'"),
        (
            b"image_id,Blond_Hair\n000001.png,1\n000001.png,-1\n",
            "two rows that differ. Received: '000001.png'",
        ),
        (b"image_id,Blond_Hair\n000001.png," + b"9" * 5000, "Received: '999.*' for '000001.png'"),
        (b"image_id,Blond_Hair\n" + b"x" * 200_000 + b",1\n", "is not a table of values"),
        (None, "must be a file. Received: a named pipe"),
    ),
)
def test_broken_tables(celeba, content, message):
    table = celeba / "list_attr_celeba.csv"
    table.unlink()
    if content is None:
        os.mkfifo(table)
    else:
        table.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset("celeba", data_dir=celeba, label="Blond_Hair", batch_size=1)
    assert str(table) in str(caught.value) and "\n" not in str(caught.value)


def test_a_split_with_other_numbers_or_a_fraction_beside_it(celeba):
    split = celeba / "list_eval_partition.csv"
    split.write_text("image_id,partition\n" + "".join(f"{name(n)},{n // 6}\n" for n in range(8)))
    with pytest.raises(ValueError, match=r"names none of the images in .* for testing \(2\)"):
        load_dataset("celeba", data_dir=celeba, batch_size=1)
    with pytest.raises(ValueError, match="test_fraction is for images without a test part"):
        load_dataset("celeba", data_dir=celeba, batch_size=1, test_fraction=0.5)
    split.write_text(f"image_id,partition\n{name(0)},7\n")
    with pytest.raises(ValueError, match="partition to be one of 0, 1, 2. Received: '7' for '000001.png'"):
        load_dataset("celeba", data_dir=celeba, batch_size=1)


def test_refusals(celeba, tmp_path, garments):
    def load(**options):
        return load_dataset("celeba", **{"data_dir": celeba, "batch_size": 1, **options})

    with pytest.raises(ValueError, match="no column 'Blond': expected one of Smiling, Blond_Hair"):
        load(label="Blond")
    with pytest.raises(ValueError, match="does not hold CelebA"):
        load(data_dir=tmp_path)
    with pytest.raises(ValueError, match="label is for celeba: leave it out. Received: 'Blond_Hair' with"):
        load_dataset("mnist", label="Blond_Hair")
    with pytest.raises(ValueError, match="label is for celeba"):
        load_dataset(celeba, label="Blond_Hair")
    table = celeba / "list_attr_celeba.csv"
    text = table.read_text()
    table.write_text(text.replace(name(3), "other.png"))
    with pytest.raises(ValueError, match="has no row for 1 of the images, for one 000004.png"):
        load(label="Blond_Hair")
    table.write_text(text.replace(f"{name(3)},-1,1", f"{name(3)},-1,yes"))
    with pytest.raises(
        ValueError, match="Blond_Hair to be one of 1, -1, 0. Received: 'yes' for '000004.png'"
    ):
        load(label="Blond_Hair")
    table.write_text(text.replace(f"{name(3)},-1,1", f"{name(3)},-1,7"))
    with pytest.raises(ValueError, match="to be one of 1, -1, 0. Received: '7' for '000004.png'"):
        load(label="Blond_Hair")
    table.unlink()
    with pytest.raises(ValueError, match="has no list_attr_celeba.csv"):
        load(label="Blond_Hair")


# === Kaggle, played by a server on loopback ===

LOAD = """
import os
from kagglesdk import kaggle_env
from keras_gen.datasets import load_dataset
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = os.environ["SERVER"]
data = load_dataset("celeba", label="Blond_Hair", batch_size=1)
print(data.num_train, data.num_test, data.class_names)
"""


class Kaggle(http.server.BaseHTTPRequestHandler):
    """Answers every download with one archive, to whoever shows credentials."""

    archive = b""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        allowed = "Authorization" in self.headers
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Last-Modified", "Sun, 01 Nov 2020 00:00:00 GMT")
        self.send_header("Content-Length", str(len(self.archive) if allowed else 0))
        self.end_headers()
        if allowed:
            self.wfile.write(self.archive)

    do_GET = do_POST  # noqa: N815 (the server's own convention)

    def log_message(self, *arguments):
        pass


def load_from_kaggle(home, server: str, **environment) -> subprocess.CompletedProcess:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KAGGLE")}
    settings = {"HOME": str(home), "KERAS_HOME": str(home / "keras"), "SERVER": server}
    settings["KAGGLE_API_ENVIRONMENT"] = "LOCALHOST"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        env={**inherited, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_download_from_kaggle(celeba, tmp_path):
    pytest.importorskip("kaggle")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(celeba.rglob("*")):
            archive.write(path, path.relative_to(celeba))
    Kaggle.archive = buffer.getvalue()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    credentials = {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "0" * 32}
    try:
        done = load_from_kaggle(tmp_path, address, **credentials)
        assert done.returncode == 0, done.stderr
        assert "7 1 ('no Blond_Hair', 'Blond_Hair')" in done.stdout
    finally:
        server.shutdown()
        server.server_close()
    again = load_from_kaggle(tmp_path, address, **credentials)  # no server, and none needed
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_kaggle_without_credentials(tmp_path):
    pytest.importorskip("kaggle")
    done = load_from_kaggle(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ConnectionError: celeba could not be downloaded from Kaggle")
    assert "~/.kaggle/kaggle.json" in last and "pass data_dir=" in last
