"""Trains the recipes on full Fashion-MNIST, or Python's reference, and writes README's tables.

    python scripts/reproduce.py [MODEL ...] [--minutes 15] [--epochs N] [--data-dir FOLDER] [--presets]

Each model is trained with its recipe's settings and seed 0, for as many steps as fit into the minutes; with
--epochs, until these or the minutes are over. It is measured as by `keras-gen evaluate`. Rows go into
`.readme/results.json`, strips of samples beside it, and both into README. A run that is there already is
resumed, or measured again where it is finished. Mean flows start from the run of cdiffusion, whose minutes
count in theirs. With --presets the trained models become the package's own presets.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import keras_gen as kg
from keras_gen.metrics import Report
from keras_gen.recipes import RECIPES
from keras_gen.runs import evaluating, training
from keras_gen.runs.run import StoppedEarly
from keras_gen.serving.presets.folders import ASSETS
from keras_gen.utils import pictures
from keras_gen.utils.files import atomic_write

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".readme" / "results.json"
SEED = 0
FLOW = "cdiffusion"  # what mean flows start from
NUM_TIMED = 4000  # images, for samples per second
NUM_SHOWN = 8  # images in a strip
# What presets are made of; the smaller embedded set stands for all of Fashion-MNIST.
LICENCES = {
    "fashion_mnist_12k": "MIT; trained on Fashion-MNIST (Zalando SE, MIT)",
    "python_docs": "MIT; trained on Python's reference (Python Software Foundation, PSF-2.0)",
}
START, END = "<!-- results -->", "<!-- end of results -->"


def main() -> None:
    names = [name for name, recipe in RECIPES.items() if recipe.dataset in LICENCES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--minutes", type=float, default=15.0, help="of training each (default: 15)")
    parser.add_argument(
        "--epochs", type=int, help="along which the learning rate falls (default: the recipe's)"
    )
    parser.add_argument("--data-dir", help="folder with Fashion-MNIST's own files")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="where the runs are kept")
    parser.add_argument("--presets", action="store_true", help="make the package's presets of them")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(names)
    if unknown:
        parser.error(f"unknown models: expected some of {', '.join(names)}. Received: {sorted(unknown)}")
    chosen = sorted(arguments.models or names, key=needs_flow)
    for name in filter(needs_flow, chosen):
        if FLOW not in chosen and not (arguments.runs / FLOW / "model.keras").exists():
            parser.error(f"{name} starts from {FLOW}: name it, too, or finish its run in {arguments.runs}")
    for name in chosen:
        run = train(name, arguments)
        row = facts(name, run)
        row["made_by"] = command(name, arguments)
        # A preset's weights are rounded, so that the last digits differ from the run's.
        source = make_preset(name, run, row) if arguments.presets else run
        row |= measure(name, source, data_options(name, arguments))
        if arguments.presets:
            add_metrics(source / "card.json", row["metrics"])
        write_results(name, row)
        print(f"{name}: {json.dumps(row)}", flush=True)


def train(name: str, arguments: argparse.Namespace) -> Path:
    """The finished run of a recipe, or what it came to in its minutes."""
    run = arguments.runs / name

    def progress(data, steps, epoch, step):
        return kg.callbacks.ProgressBar(
            steps, data.steps_per_epoch, data.units_per_step, epoch, step, data.unit
        )

    try:
        if (run / "config.json").exists():
            spent = seconds_of(run) / 60
            if spent < arguments.minutes:
                training.resume(run, arguments.minutes - spent, progress)
        else:
            training.train(
                name,
                data=full_name(name),
                data_options=data_options(name, arguments),
                epochs=arguments.epochs,
                **{"max_minutes" if arguments.epochs else "minutes": arguments.minutes},
                seed=SEED,
                hyperparameters={"flow": kg.load_model(arguments.runs / FLOW)} if needs_flow(name) else {},
                out=str(run),
                progress=progress,
            )
    except StoppedEarly as stopped:
        print(f"{name}: {stopped}", flush=True)
    return run


def data_options(name: str, arguments: argparse.Namespace) -> dict:
    return {} if of_text(name) else {"data_dir": arguments.data_dir}


def full_name(name: str) -> str:
    """The data that a recipe is reproduced on."""
    return RECIPES[name].dataset.removesuffix("_12k")


def needs_flow(name: str) -> bool:
    return "flow" in getattr(kg.models, RECIPES[name].model).own_networks


def of_text(name: str) -> bool:
    return issubclass(getattr(kg.models, RECIPES[name].model), kg.TextGenerator)


def command(name: str, arguments: argparse.Namespace) -> str:
    """What makes a row, and its preset."""
    epochs = f" --epochs {arguments.epochs}" if arguments.epochs else ""
    after = f", after that of {FLOW}" if needs_flow(name) else ""
    return f"python scripts/reproduce.py {name} --minutes {arguments.minutes:g}{epochs} --presets{after}"


def seconds_of(run: Path) -> float:
    """What training has taken, validation and pictures included."""
    path = run / "time.json"
    return json.loads(path.read_text())["training_seconds"] if path.exists() else 0.0


def facts(name: str, run: Path) -> dict:
    """What a row says of the training."""
    config = json.loads((run / "config.json").read_text())
    model = kg.load_model(run)
    seconds = seconds_of(run)
    rows = int(model.optimizer.iterations.numpy()) * config["train"]["batch_size"]
    if of_text(name):
        epochs = len((run / "metrics.csv").read_text().splitlines()) - 1
        speed = {
            "epochs": epochs,
            "tokens_per_second": round(rows * config["data"]["sequence_length"] / seconds),
        }
    else:
        speed = {"epochs": round(rows / 60_000, 1), "images_per_second": round(rows / seconds)}
    flow_seconds = seconds_of(run.parent / FLOW) if needs_flow(name) else 0.0
    return {
        "parameters": model.count_params(),
        "minutes": round((seconds + flow_seconds) / 60, 1),
        **speed,
        "hardware": hardware(config),
    }


def measure(name: str, source: Path, options: dict) -> dict:
    """What a row says of the model of a run or of a preset; `options` are those of the data."""
    report = evaluating.evaluate_source(source, **options)
    model = kg.load_model(source)
    row: dict = {
        "metrics": numbers(report),
        "extractor_sha256": next(
            (r.extractor_sha256 for r in report.results.values() if r.extractor), None
        ),
    }
    if of_text(name):
        row["baselines"] = {key: r.baselines for key, r in report.results.items() if r.baselines}
    elif hasattr(model, "generate"):
        row["floor"] = {key: r.floor for key, r in report.results.items() if r.floor is not None}
        row["samples_per_second"] = round(samples_per_second(model))
        pictures.write_png(RESULTS.parent / f"{name}.png", strip(model))
    return row


def strip(model: kg.ImageGenerator):
    """A few samples in a row; of a conditional model, one of each of its first classes."""
    labels = [number % model.num_classes for number in range(NUM_SHOWN)] if model.conditional else None
    return pictures.grid(model.generate(NUM_SHOWN, seed=SEED, labels=labels), NUM_SHOWN)


def numbers(report: Report) -> dict[str, float]:
    return {name: result.value for name, result in report.results.items()}


def hardware(config: dict) -> str:
    cpu, gpus = config["run"]["hardware"]["cpu"], config["run"]["hardware"]["gpus"]
    return gpus[0]["name"] if gpus else f"{cpu['physical_cores']} cores of {cpu['name']}"


def samples_per_second(model: kg.ImageGenerator) -> float:
    model.generate(1, seed=0)  # traces
    start = time.monotonic()
    model.generate(NUM_TIMED, seed=1)
    return NUM_TIMED / (time.monotonic() - start)


# === Presets ===


def make_preset(name: str, run: Path, row: dict) -> Path:
    """Makes the package's preset of a run, without metrics in its card; returns its folder."""
    folder = ASSETS / f"{name}_{full_name(name)}"
    if folder.exists():
        shutil.rmtree(folder)
    config = json.loads((run / "config.json").read_text())
    card = {
        "recipe": name,
        "data": full_name(name),
        **{key: config["data"][key] for key in ("tokenizer", "sequence_length") if key in config["data"]},
        "epochs": row["epochs"],
        "minutes": row["minutes"],
        "made_by": row["made_by"],
        "hyperparameters": {key: config["model"][key] for key in RECIPES[name].hyperparameters},
        "licence": LICENCES[RECIPES[name].dataset],
        "metrics": {},
    }
    model = kg.load_model(run)
    picture = None if hasattr(model, "generate") else final_picture(run)
    model.save_preset(folder, card, picture)
    return folder


def add_metrics(path: Path, metrics: dict[str, float]) -> None:
    """Puts a preset's numbers into its card."""
    card = {**json.loads(path.read_text()), "metrics": metrics}
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(card, indent=2) + "\n")


def final_picture(run: Path):
    import numpy as np
    import PIL.Image

    return np.asarray(PIL.Image.open(run / "samples" / "final.png").convert("RGB"))


# === README ===


def write_results(name: str, row: dict) -> None:
    """Puts a row into the file, and all rows into README."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows[name] = row
    rows = {known: rows[known] for known in RECIPES if known in rows}
    with atomic_write(RESULTS) as path:
        path.write_text(json.dumps(rows, indent=2) + "\n")
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    with atomic_write(readme) as path:
        path.write_text(f"{before}{START}\n{tables(rows)}\n{END}{after}")


def tables(rows: dict[str, dict]) -> str:
    """README's tables, of models of images, of models of text and of classifiers."""
    generative = {name: row for name, row in rows.items() if "fd" in row["metrics"]}
    writers = {name: row for name, row in rows.items() if "perplexity" in row["metrics"]}
    classifiers = {name: row for name, row in rows.items() if "accuracy" in row["metrics"]}
    lines = []
    if generative:
        lines += [
            "| model | parameters | minutes | images/s | FD | KID | precision | recall | "
            "cross-entropy, nats | samples/s | samples |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *[generative_line(name, row) for name, row in generative.items()],
            floor_line(next(iter(generative.values()))["floor"]),
        ]
    if writers:
        lines += [
            "",
            "| text generator | tokens | parameters | minutes | tokens/s | perplexity | trigram model | "
            "bits per character | trigram model |",
            "|---|---|---|---|---|---|---|---|---|",
            *[writer_line(name, row) for name, row in writers.items()],
        ]
    if classifiers:
        lines += [
            "",
            "| classifier | parameters | minutes | images/s | accuracy |",
            "|---|---|---|---|---|",
            *[
                f"| {name} | {row['parameters']:,} | {row['minutes']:.1f} | {row['images_per_second']:,} | "
                f"{row['metrics']['accuracy']:.2%} |"
                for name, row in classifiers.items()
            ],
        ]
    return "\n".join(lines)


def generative_line(name: str, row: dict) -> str:
    metrics = row["metrics"]
    nats = f"{metrics['cross_entropy_bound']:.2f}" if "cross_entropy_bound" in metrics else ""
    cells = [
        name,
        f"{row['parameters']:,}",
        f"{row['minutes']:.1f}",
        f"{row['images_per_second']:,}",
        *distances(metrics),
        nats,
        f"{row['samples_per_second']:,}",
        f"![{name}](.readme/{name}.png)",
    ]
    return f"| {' | '.join(cells)} |"


def writer_line(name: str, row: dict) -> str:
    cells = [name, RECIPES[name].data_options.get("tokenizer", "char"), f"{row['parameters']:,}"]
    cells += [f"{row['minutes']:.1f}", f"{row['tokens_per_second']:,}"]
    for key, form in (("perplexity", ".2f"), ("bits_per_character", ".3f")):
        cells += [f"{row['metrics'][key]:{form}}", f"{row['baselines'][key]['trigram']:{form}}"]
    return f"| {' | '.join(cells)} |"


def floor_line(floor: dict[str, float]) -> str:
    """What real images score."""
    return f"| *training images* | | | | {' | '.join(distances(floor))} | | | |"


def distances(metrics: dict[str, float]) -> list[str]:
    names = {"fd": ".2f", "kid": ".4f", "precision": ".3f", "recall": ".3f"}
    return [f"{metrics[name]:{form}}" for name, form in names.items()]


if __name__ == "__main__":
    main()
