"""Makes the embedded feature extractor of a classifier that was trained on full Fashion-MNIST.

    keras-gen train cnn_classifier --data fashion_mnist --out runs/cnn_classifier
    python scripts/make_feature_extractor.py runs/cnn_classifier

It writes `keras_gen/metrics/assets/fashion_mnist.keras`, a network of Keras' own layers (images ->
features and logits), and beside it `fashion_mnist.json`: hash, accuracy, and how it was made.
"""

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import keras_gen as kg
from keras_gen.metrics.extractors import ASSETS, FeatureExtractor
from keras_gen.models.networks import plain_copy
from keras_gen.utils.files import atomic_write

# Written by Keras 3.15 for what the network does not use, and refused by Keras 3.12.
NEWER_OPTIONS = ("quantization_config", "renorm", "renorm_clipping", "renorm_momentum")


def leave_out_newer_options(path: Path) -> None:
    """Rewrites a `.keras` file so that the oldest Keras that the package allows reads it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def without(values: dict) -> dict:
        return {name: value for name, value in values.items() if name not in NEWER_OPTIONS}

    parts["config.json"] = json.dumps(json.loads(parts["config.json"], object_hook=without)).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run directory of a cnn_classifier")
    run = parser.parse_args().run
    config = json.loads((run / "config.json").read_text())
    if config["run"]["recipe"] != "cnn_classifier" or config["data"]["data"] != "fashion_mnist":
        parser.error(f"{run} is not a run of cnn_classifier on full fashion_mnist")
    model = kg.load_model(run)
    data = kg.load_dataset("fashion_mnist", data_dir=config["data"]["data_dir"], batch_size=100)
    target = ASSETS / "fashion_mnist.keras"
    with atomic_write(target) as draft:
        plain_copy(model.network).save(draft)
        leave_out_newer_options(draft)
    extractor = FeatureExtractor(plain_copy(model.network), "fashion_mnist")
    images, labels = data.test_images()
    right = (extractor(images)[1].argmax(axis=1) == labels).mean()
    card = {
        "network": "images (28, 28, 1) in [0, 1] -> features (128,), logits (10,)",
        "sha256_of_weights": extractor.sha256,
        "sha256_of_file": hashlib.sha256(target.read_bytes()).hexdigest(),
        "test_accuracy": round(float(right), 4),
        "data": "Fashion-MNIST, 60,000 training images",
        "epochs": config["train"]["epochs"],
        "seed": config["train"]["seed"],
        "recipe": "cnn_classifier",
        "keras_gen": config["run"]["keras_gen"],
        "made_by": "scripts/make_feature_extractor.py",
        "licence": "MIT",
    }
    with atomic_write(target.with_suffix(".json")) as path:
        path.write_text(json.dumps(card, indent=2) + "\n")
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, {right:.2%} of the test images right")


if __name__ == "__main__":
    main()
