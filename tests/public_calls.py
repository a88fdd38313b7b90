"""Everything public with valid arguments, found by its signatures, and what is right as a result.

The models come from the recipes table. A new one needs nothing here, unless a method of its has an argument
of a new name whose annotation does not say what it takes: then `KIND_BY_NAME` must say it.
"""

import contextlib
import dataclasses
import functools
import inspect
import io
import json
import os
import re
import shlex
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from hostile_values import (
    KINDS,
    NUM_CLASSES,
    SHAPE,
    Kind,
    N,
    choice,
    class_names,
    images,
    labels,
    next_tokens,
    tokenizer,
    tokens,
    value_of,
)

import keras_gen as kg
from keras_gen.commands import main
from keras_gen.recipes import RECIPES
from keras_gen.runs import training

# === Models at their smoke size ===


def build(recipe: str, **arguments: Any) -> Any:
    """The recipe's model for the images, or the sentence, of `hostile_values.py`."""
    found = RECIPES[recipe]
    model = getattr(kg, found.model)
    if model.loader == "load_text":
        needed: dict[str, Any] = {"tokenizer": tokenizer}
    else:
        needed = {"image_shape": SHAPE}
        if found.uses_labels:
            needed |= {"num_classes": NUM_CLASSES, "class_names": class_names}
    return model(**{"seed": 7, **needed, **found.smoke, **arguments})


def distinct_recipes() -> list[str]:
    """Those that differ from an earlier one in more than their sizes."""
    return list({(what.model, what.uses_labels): name for name, what in reversed(RECIPES.items())}.values())


@functools.cache
def sample(recipe: str) -> Any:
    """One such model, compiled, for all that does not change it."""
    model = build(recipe)
    model.compile(steps_per_execution=1, jit_compile=False)
    return model


def is_of_text(model: Any) -> bool:
    return model.learns_from == "text"


def training_data(model: Any) -> tuple[np.ndarray, np.ndarray]:
    return (tokens, next_tokens) if is_of_text(model) else (images, labels)


# === Calls ===


@dataclasses.dataclass(frozen=True)
class Call:
    """A public function with valid arguments.

    Args:
        name: Of the call.
        code: The function, as an expression.
        arguments: The valid arguments, each as an expression.
        kinds: Of every argument that is attacked.
        recipe: Of the model whose method it is.
        right: What is wrong with a result; None where nothing is. It gets the result and the arguments.
    """

    name: str
    code: str
    arguments: Mapping[str, str]
    kinds: Mapping[str, Kind]
    recipe: str | None
    right: Callable[[Any, dict[str, Any]], str | None]

    @property
    def model(self) -> Any:
        return None if self.recipe is None else sample(self.recipe)

    def names(self) -> dict[str, Any]:
        """What expressions may name beside `hostile_values.py`."""
        names: dict[str, Any] = {
            "sample": sample,
            "build": build,
            "model": self.model,
            "training": training,
        }
        if self.recipe is not None:
            names["x"], names["y"] = training_data(self.model)
            if hasattr(self.model, "latent_shape"):
                size = (N, *self.model.latent_shape)
                names["z"] = np.random.default_rng(0).normal(size=size).astype("float32")
        return names

    def given(self, changed: Mapping[str, str]) -> dict[str, str]:
        """The arguments' expressions, some of them changed."""
        given = {**self.arguments, **changed}
        if is_data(changed.get("x", "")):  # which has targets and batches itself
            given = {name: value for name, value in given.items() if name not in ("y", "batch_size")}
        return given

    def repeat(self, changed: Mapping[str, str]) -> str:
        """The call as somebody would write it."""
        return f"{self.code}({', '.join(f'{name}={value}' for name, value in self.given(changed).items())})"

    def function(self, names: dict[str, Any]) -> Any:
        return value_of(self.code, **names)


def is_data(expression: str) -> bool:
    """Whether an expression is of a data set or of an iterator over batches."""
    words = ("ataset", "Batches(", "iter(", "failing(", " for i in ")
    return any(word in expression for word in words)


# The kinds of arguments whose annotation does not say it, by the names that DESIGN.md gives them.
KIND_BY_NAME = {
    "images": "images",
    "reconstructions": "images",
    "labels": "labels",
    "z": "latents",
    "mask": "mask",
    "z_start": "latents",
    "z_end": "latents",
    "prompts": "prompts",
    "texts": "prompts",
    "prompt": "prompt",
    "token_ids": "token ids",
    "sample_weight": "sample weight",
    "class_weight": "class weight",
    "validation_data": "validation data",
    "callbacks": "callbacks",
    "optimizer": "optimizer",
    "discriminator_optimizer": "optimizer",
    "generator_optimizer": "optimizer",
    "metrics": "metrics",
    "weighted_metrics": "metrics",
    "encoder": "network",
    "decoder": "network",
    "backbone": "network",
    "generator": "network",
    "discriminator": "network",
    "network": "network",
    "flow": "nothing",
    "dtype": "dtype",
    "loss_weights": "nothing",
    "stop": "stop",
    "card": "dictionary",
    "picture": "picture",
    "tokenizer": "tokenizer",
    "learning_rate": "number",
    "progress": "function",
    "say": "function",
    "data": "image data",
    "extractor": "extractor",
    "real_features": "features",
    "generated_features": "features",
    "probabilities": "probabilities",
    "vocabulary": "vocabulary",
}


UNKNOWN: list[str] = []  # arguments of which nothing says what they take; a test finds none


# Of those annotated as `Any`.
MAY_BE_NONE = (
    "validation_data",
    "callbacks",
    "sample_weight",
    "metrics",
    "weighted_metrics",
    "class_weight",
    "dtype",
    "extractor",
    "optimizer",
    "discriminator_optimizer",
    "generator_optimizer",
)


def kinds_of(
    call: str, annotations: Mapping[str, Any], by_name: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, Kind]:
    """The kinds of some parameters, each from its name, or else from its annotation."""
    kinds = {}
    for name, annotation in annotations.items():
        known = {**KIND_BY_NAME, **by_name}
        kind = KINDS[known[name]] if name in known else kind_of_annotation(annotation)
        if kind is None:
            UNKNOWN.append(
                f"{call}: the annotation of {name}, {annotation}, does not say what it takes: add its "
                "name to KIND_BY_NAME in public_calls.py, or its method to HOOKS if it is not for users."
            )
            continue
        optional = type(None) in typing.get_args(annotation) or name in MAY_BE_NONE
        kinds[name] = kind.optional() if optional else kind
    return kinds


def kind_of_annotation(annotation: Any) -> Kind | None:
    annotation = without_range(annotation)
    origin, inside = typing.get_origin(annotation), [*map(without_range, typing.get_args(annotation))]
    if origin in (typing.Union, types.UnionType):
        return kind_of_union([part for part in inside if part is not type(None)])
    if origin is Literal:
        return choice(inside)
    if origin is Callable:
        return KINDS["function"]
    sequences = {int: "integers", str: "texts", float: "sequence of numbers"}
    if inside and inside[0] in sequences:
        return KINDS[sequences[inside[0]]]
    plain = {int: "integer", float: "number", str: "text", bool: "flag", os.PathLike: "path", Path: "path"}
    name = plain.get(annotation, "nothing" if annotation in (None, type(None)) else "")
    return KINDS.get(name)


def kind_of_union(parts: list[Any]) -> Kind | None:
    """The kind of a path, or of what is one of several kinds."""
    if os.PathLike in parts:
        return KINDS["path"]
    kinds = [kind_of_annotation(part) for part in parts]
    known = [kind for kind in kinds if kind is not None]
    if not known or len(known) < len(kinds):
        return None
    return functools.reduce(Kind.union, known)


def without_range(annotation: Any) -> Any:
    return (
        typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    )


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """What a function takes, and what it hands on to its base class."""
    found: dict[str, inspect.Parameter] = {}
    functions = [function]
    if isinstance(function, type):
        functions = [base.__init__ for base in function.__mro__ if base.__module__.startswith("keras_gen")]
    for each in functions:
        parameters = inspect.signature(each).parameters.values()
        for parameter in parameters:
            if parameter.name != "self" and parameter.kind not in (
                parameter.VAR_KEYWORD,
                parameter.VAR_POSITIONAL,
            ):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def annotations_of(function: Any) -> dict[str, Any]:
    return {name: parameter.annotation for name, parameter in parameters_of(function).items()}


# === The calls of a recipe's model ===

# Methods for those who write a model, which get what `fit` or another method has checked.
HOOKS = (
    "arguments_from",
    "call",
    "card_facts",
    "compile_from_config",
    "count_params",
    "default_optimizer",
    "optimizers",
    "next_seed",
    "from_config",
    "from_preset",
    "inputs_of",
    "kl_weight",
    "learning_rate_schedule",
    "loader_arguments",
    "logs",
    "losses_of_networks",
    "non_finite_losses",
    "portable_network",
    "predict_step",
    "prepare",
    "preset_copy",
    "probe",
    "rows_per_call",
    "rows_to_draw",
    "signatures",
    "test_step",
    "train_step",
    "unpack",
    "update_metrics",
    "updates_per_step",
    "weight_shapes",
    "save",  # whose paths must end in .keras: see tests/models/test_base_model.py
)
PREFIXES_OF_HOOKS = ("build_", "check", "get_", "load_own", "refuse", "save_own", "to_")


def verbs_of(model: type) -> list[str]:
    """The public methods that take what a user has: neither tensors, nor what Keras alone hands over."""
    found = []
    for name, function in inspect.getmembers(model, callable):
        if name.startswith(("_", *PREFIXES_OF_HOOKS)) or name in HOOKS:
            continue
        if not getattr(function, "__module__", "").startswith("keras_gen"):
            continue
        annotations = [
            parameter.annotation for parameter in inspect.signature(function).parameters.values()
        ]
        if not any("tensorflow" in str(annotation) for annotation in annotations):
            found.append(name)
    return found


def constructor(recipe: str) -> Call:
    model_class = getattr(kg, RECIPES[recipe].model)
    parameters = {**annotations_of(model_class), "name": str | None, "dtype": Any}
    kinds = kinds_of(recipe, parameters)
    return Call(f"{recipe}: constructor", "build", {"recipe": repr(recipe)}, kinds, recipe, right_model)


def verb(recipe: str, name: str) -> Call:
    """A public method of the recipe's model."""
    model = getattr(kg, RECIPES[recipe].model)
    annotations = annotations_of(getattr(model, name))
    if name in ("fit", "evaluate", "predict"):
        by_name, valid = kinds_of_data(recipe, name)
    else:
        by_name = {"labels": "labels to generate"} if name == "generate" else {}
        by_name |= {"loss": "nothing"} if name == "compile" else {}
        by_name |= {"images": "latents"} if name == "denoise" else {}  # whose noise leaves [0, 1]
        valid = {each: VALID[each] for each in annotations if each in VALID}
        if not is_conditional(recipe):
            valid.pop("labels", None)
    kinds = kinds_of(f"{recipe}: {name}", annotations, by_name)
    owner = "build" if name == "compile" else "sample"  # the others do not change it for good
    right = RIGHT.get(name, right_numbers)
    return Call(f"{recipe}: {name}", f"{owner}({recipe!r}).{name}", valid, kinds, recipe, right)


def is_conditional(recipe: str) -> bool:
    """Whether labels are an input of the networks."""
    what = RECIPES[recipe]
    return what.uses_labels and hasattr(getattr(kg, what.model), "generate")


def kinds_of_data(recipe: str, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The kinds of x and y of `fit`, `evaluate` and `predict`; and valid arguments."""
    model = getattr(kg, RECIPES[recipe].model)
    kinds = {"x": "training images", "y": "labels" if RECIPES[recipe].uses_labels else "anything"}
    valid = {"x": "x", "y": "y", "batch_size": "2", "verbose": "0"}
    if model.loader == "load_text":
        kinds = {"x": "training tokens", "y": "token ids"}
    if name == "predict":
        del valid["y"]
        if hasattr(model, "decode") and not hasattr(model, "reconstruct"):
            kinds["x"], valid["x"] = "latents", "z"
        if is_conditional(recipe):
            kinds["x"], valid["x"] = "inputs and labels", f"[{valid['x']}, labels]"
    return {**kinds, "verbose": "verbosity"}, valid


# Arguments of methods, as far as they are needed, or make it faster.
VALID = {
    "images": "images",
    "mask": "np.eye(*SHAPE[:2])",
    "noise_rate": "0.2",
    "labels": "labels",
    "z": "z",
    "z_start": "z",
    "z_end": "z[::-1]",
    "prompts": "['The', 'fox']",
    "prompt": "'The'",
    "texts": "['The fox', 'dog']",
    "token_ids": "tokens",
    "num_samples": "4",
    "max_tokens": "5",
    "seed": "0",
    "filepath": "'exported'",
    "directory": "'preset'",
}


# === What is right ===


def right_numbers(result: Any, given: dict[str, Any]) -> str | None:
    """All numbers in a result, of whatever structure, are finite."""
    if isinstance(result, Mapping):
        parts: Any = result.values()
    elif isinstance(result, (list, tuple, set, Iterator)):
        parts = list(result)
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        parts = list(vars(result).values())
    elif isinstance(result, keras.callbacks.History):
        parts = result.history.values()
    elif isinstance(result, (float, int, np.ndarray, np.generic, tf.Tensor)):
        array = np.asarray(result)
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            return "a result that is not finite"
        return None
    else:
        return None
    return next(filter(None, (right_numbers(part, given) for part in parts)), None)


def right_images(result: Any, given: dict[str, Any]) -> str | None:
    """float32 in [0, 1], as many as were asked for."""
    num = given.get("num_samples")
    if num is None and given.get("labels") is not None:
        num = np.atleast_1d(np.asarray(given["labels"])).shape[0]
    if given.get("z") is not None or given.get("images") is not None:
        num = len(np.asarray(given["z"] if given.get("z") is not None else given["images"]))
    return pictures(result, (1 if num is None else int(num), *SHAPE))


def pictures(result: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(result, np.ndarray) or result.dtype != np.float32 or result.shape != shape:
        found = f"{getattr(result, 'dtype', type(result))} of shape {np.shape(result)}"
        return f"{found} instead of float32 of shape {shape}"
    if not (np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1):
        return "images that are not in [0, 1]"
    return None


def right_interpolation(result: Any, given: dict[str, Any]) -> str | None:
    return pictures(result, (len(np.asarray(given["z_start"])), int(given.get("num_steps", 10)), *SHAPE))


def right_text(result: Any, given: dict[str, Any]) -> str | None:
    if "seed" not in given or "prompts" not in given:
        return None
    prompts = given["prompts"]
    if isinstance(prompts, str):
        prompts, result = [prompts], [result]
    if not isinstance(result, list) or len(result) != len(prompts):
        return f"{type(result).__name__} for {len(prompts)} prompts"
    for prompt, text in zip(prompts, result, strict=True):
        if not (isinstance(text, str) and text.startswith(str(prompt))):
            return f"a text that does not begin with its prompt: {text[:80]!r}"
    return None


def right_generated(result: Any, given: dict[str, Any]) -> str | None:
    return right_text(result, given) if "prompts" in given else right_images(result, given)


def right_probabilities(result: Any, given: dict[str, Any]) -> str | None:
    if result.shape != (len(np.asarray(given["images"])), NUM_CLASSES):
        return f"probabilities of shape {result.shape}"
    return None if np.allclose(result.sum(axis=1), 1, atol=1e-4) else "rows that do not sum to 1"


def right_rows(result: Any, given: dict[str, Any]) -> str | None:
    """One row, or number, for each image."""
    if len(result) != len(np.asarray(given["images"])):
        return f"{len(result)} results for {len(np.asarray(given['images']))} images"
    return right_numbers(result, given)


def right_file(result: Any, given: dict[str, Any]) -> str | None:
    path = given.get("filepath", given.get("directory"))
    return None if Path(path).exists() else "nothing was written"


def right_compiled(result: Any, given: dict[str, Any]) -> str | None:
    """A model that was compiled so must train."""
    return trained(given["_function"].__self__)


def right_model(result: Any, given: dict[str, Any]) -> str | None:
    """A model that can be stored, and that learns from one batch."""
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(result)))
    again = keras.saving.deserialize_keras_object(stored)
    if json.loads(json.dumps(keras.saving.serialize_keras_object(again))) != stored:
        return "a model whose configuration does not come back as it was"
    result.compile(run_eagerly=True)
    return trained(result)


def trained(model: Any) -> str | None:
    x, y = training_data(model)
    if not is_of_text(model) and model.image_shape != SHAPE:
        x = np.zeros((N, *model.image_shape), "uint8")
    history = model.fit(x, y, batch_size=N, epochs=1, verbose=0).history
    if not np.isfinite(list(history.values())).all():
        return f"a model whose losses are not finite: {history}"
    return None


RIGHT = {
    "generate": right_generated,
    "decode": right_images,
    "interpolate": right_interpolation,
    "inpaint": right_images,
    "denoise": right_images,
    "reconstruct": right_images,
    "encode": right_rows,
    "log_prob": right_rows,
    "elbo": right_rows,
    "features": right_rows,
    "classify": right_probabilities,
    "export": right_file,
    "save_preset": right_file,
    "compile": right_compiled,
}


# === The calls of everything else that is public ===


def callback(name: str, recipe: str = "vae", **arguments: str) -> Call:
    """A callback with valid arguments, and one epoch of training with it."""
    annotations = annotations_of(getattr(kg.callbacks, name))
    of_base = ("name", "folder")  # arguments which a subclass sets
    annotations = {each: annotation for each, annotation in annotations.items() if each not in of_base}
    kinds = kinds_of(name, annotations, {"x": "images", "labels": "any labels", "prompts": "texts"})
    return Call(f"callbacks.{name}", f"kg.callbacks.{name}", arguments, kinds, recipe, right_callback)


def right_callback(result: Any, given: dict[str, Any]) -> str | None:
    """One epoch with it ends well, and finds what is logged finite."""
    model = given["_model"]
    x, y = training_data(model)
    history = model.fit(x, y, batch_size=2, verbose=0, callbacks=[result]).history
    return None if np.isfinite(list(history.values())).all() else f"logs that are not finite: {history}"


def plain(
    code: str,
    kinds: Mapping[str, str] = types.MappingProxyType({}),
    right: Any = right_numbers,
    **arguments: str,
) -> Call:
    """A function or class of the package with valid arguments; `kinds` of arguments by their names."""
    function = value_of(code, training=training)
    parameters = {
        name: annotation
        for name, annotation in annotations_of(function).items()
        if name in kinds or not (annotation is inspect.Parameter.empty or "tensorflow" in str(annotation))
    }
    found = kinds_of(code, parameters, kinds)
    return Call(code.removeprefix("kg."), code, arguments, found, None, right)


def right_run(result: Any, given: dict[str, Any]) -> str | None:
    return None if (Path(result) / "model.keras").exists() else "no model.keras"


# The functions of tensors, and their arguments.
LOSSES = {
    "gaussian_kl": ("z_mean", "z_log_var"),
    "gaussian_log_prob": ("x", "mean", "log_var"),
    "bernoulli_log_prob": ("images", "logits"),
    "mean_over_batch": ("values",),
    "non_saturating": ("logits",),
}


def other_calls() -> list[Call]:
    """Loaders, callbacks, metrics, layers, optimizers, tokenizers, and what trains and loads."""
    feature_sets = {"real_features": "features", "generated_features": "features[::-1]"}
    return [
        plain("kg.load_dataset", {"name_or_path": "source"}, batch_size="100"),
        plain("kg.load_dataset", {"name_or_path": "source"}, name_or_path="'pictures'", batch_size="2"),
        plain(
            "kg.load_text",
            {"source": "many texts", "tokenizer": "kind of tokenizer"},
            source="[SENTENCE * 30]",
            sequence_length="24",
            batch_size="4",
        ),
        plain("kg.load_model", {"source": "source"}, source="'model.keras'"),
        plain("kg.from_preset", {"source": "source"}, source="'vae_fashion_mnist'"),
        plain("kg.hardware_info"),
        plain("kg.hardware_report", {"info": "dictionary"}),
        callback("ConfusionMatrix", "mlp_classifier", log_dir="'logs'", x="images", labels="labels"),
        callback("SampleGrid", log_dir="'logs'", num_samples="4", samples_per_class="2"),
        callback("ReconstructionGrid", "cvae", log_dir="'logs'", x="images", labels="labels"),
        callback("LatentProjector", log_dir="'logs'", x="images", labels="labels"),
        callback("TrainingCurves", log_dir="'logs'"),
        callback("HardwareMonitor", log_dir="'logs'"),
        callback("GANHealth", "gan", log_dir="'logs'"),
        callback(
            "TextSamples",
            "lstm",
            log_dir="'logs'",
            prompts="['The']",
            temperatures="(0.5,)",
            max_tokens="3",
        ),
        callback("TimeBudget", minutes="1"),
        callback("ProgressBar", steps="2", steps_per_epoch="2", units_per_step="2"),
        callback(
            "Evaluation",
            data="kg.load_dataset('pictures', batch_size=2, test_fraction=0.7)",
            num="8",
            metrics="('recall',)",
            extractor="sample('mlp_classifier')",
        ),
        plain("kg.metrics.frechet_distance", **feature_sets),
        plain(
            "kg.metrics.gaussian_frechet_distance",
            {
                "mean": "numbers",
                "covariance": "features",
                "other_mean": "numbers",
                "other_covariance": "features",
            },
            mean="np.zeros(3)",
            covariance="np.eye(3)",
            other_mean="np.ones(3)",
            other_covariance="np.eye(3)",
        ),
        plain("kg.metrics.kernel_distance", **feature_sets, num_subsets="3", subset_size="8"),
        plain("kg.metrics.precision_recall", **feature_sets),
        plain("kg.metrics.density_coverage", **feature_sets),
        plain(
            "kg.metrics.copying",
            {"generated_distances": "distances", "test_distances": "distances"},
            generated_distances="[1.0, 2.0]",
            test_distances="[1.0, 3.0]",
        ),
        plain("kg.metrics.prediction_entropy", probabilities="probabilities"),
        plain("kg.metrics.class_entropy", probabilities="probabilities"),
        plain(
            "kg.metrics.label_accuracy",
            {"labels": "any labels"},
            probabilities="probabilities",
            labels="labels",
        ),
        plain("kg.metrics.bits_per_dim", {"log_prob": "numbers"}, log_prob="[-100.0]", num_dims="64"),
        plain("kg.metrics.reconstruction_error", images="images", reconstructions="images"),
        plain("kg.metrics.load_extractor", {"source": "extractor"}, source="'fashion_mnist'"),
        plain("kg.metrics.default_extractor", data_name="'mnist'"),
        plain(
            "kg.metrics.SetMetrics",
            {"extractor": "extractor", "real_images": "images", "metrics": "set metrics"},
            extractor="build('mlp_classifier')",
            real_images="np.repeat(images, 8, axis=0)",
            metrics="['recall']",
        ),
        plain("kg.metrics.NGramModel", order="2", vocabulary_size="tokenizer.vocabulary_size"),
        plain(
            "kg.metrics.NGramModel(2, tokenizer.vocabulary_size).fit",
            {"token_ids": "running text"},
            token_ids="tokens[0]",
        ),
        plain(
            "kg.metrics.NGramModel(2, tokenizer.vocabulary_size).fit(tokens[0]).log_probs",
            {"token_ids": "running text"},
            token_ids="tokens[0]",
        ),
        plain("kg.metrics.NearestNeighbour", {"queries": "features"}, queries="features"),
        plain(
            "kg.metrics.NearestNeighbour(features).update",
            {"references": "features"},
            references="features",
        ),
        plain("kg.metrics.FeatureExtractor", {"pixel_range": "numbers"}, network="network(SHAPE, 3)"),
        plain(
            "kg.metrics.measure",
            {"model": "model", "extractor": "extractor"},
            model="kg.from_preset('vae_fashion_mnist')",
            data="kg.load_dataset()",
            num="20",
            extractor="build('mlp_classifier', image_shape=(28, 28, 1))",
        ),
        *[
            plain(
                f"kg.losses.{name}",
                dict.fromkeys(LOSSES[name], "tensor"),
                **dict.fromkeys(LOSSES[name], "tf.constant(features, tf.float32)"),
            )
            for name in LOSSES
        ],
        plain("kg.load_dataset().test_images", most="5"),
        plain("kg.layers.child_seed", seed="3", name="'noise'"),
        plain("kg.layers.DiffAugment", policy="'translation'", seed="3"),
        plain(
            "kg.layers.Dropout",
            {"rate": "number", "seed": "integer", "noise_shape": "anything"},
            rate="0.5",
            seed="3",
        ),
        plain("kg.layers.Sampling", seed="3"),
        plain("kg.layers.LSTM", {"units": "integer"}, units="4"),
        plain(
            "kg.optimizers.Adam",
            {"learning_rate": "schedule", "beta_1": "number", "beta_2": "number", "epsilon": "number"},
            learning_rate="0.1",
        ),
        plain("kg.optimizers.copy_of", {"optimizer": "optimizer"}, optimizer="keras.optimizers.Adam()"),
        plain("kg.tokenizers.CharacterTokenizer", vocabulary="['a', 'b']"),
        plain("kg.tokenizers.WordTokenizer", vocabulary="['a', 'b']"),
        plain("kg.tokenizers.CharacterTokenizer.adapted", {"texts": "many texts"}, texts="['banana']"),
        plain("kg.tokenizers.WordTokenizer.adapted", {"texts": "many texts"}, texts="['a b c']"),
        plain("tokenizer.encode", {"texts": "strings"}, texts="['The']"),
        plain("tokenizer.decode", {"token_ids": "ids to decode"}, token_ids="tokens"),
        plain("tokenizer.unknown", {"texts": "strings"}, texts="['The']"),
        plain("training.resume", {"directory": "source"}, directory="'done'"),
        *[
            plain(
                "training.train",
                {
                    "data": "source",
                    "data_options": "dictionary",
                    "hyperparameters": "dictionary",
                    "mlflow": "path",
                    "recipe": "text",
                    "started": "number",
                },
                right_run,
                recipe=repr(recipe),
                data="'pictures'",
                data_options="{'test_fraction': 0.5}",
                hyperparameters=repr(found.smoke),
                epochs="1",
                batch_size="2",
                out="'new'",
            )
            for recipe, found in RECIPES.items()
            if recipe == "mlp_classifier"
        ],
    ]


# === Commands ===


class RefusedError(Exception):
    """A command ended with a status other than 0."""

    def __init__(self, status: Any, said: str):
        super().__init__(said)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Command(Call):
    """A command with valid options; `code` is the command's words."""

    def repeat(self, changed: Mapping[str, str]) -> str:
        return " ".join(
            ["keras-gen", *map(shlex.quote, self.words({**changed, **self.arguments, **changed}))]
        )

    def words(self, options: Mapping[str, Any]) -> list[str]:
        """`options` are expressions; those in capitals are positional."""
        values = {
            name: value_of(value) if isinstance(value, str) else value for name, value in options.items()
        }
        positional = [value for name, value in values.items() if name.isupper()]
        named = [f"{name}={value}" for name, value in values.items() if not name.isupper()]
        return [*self.code.split(), *positional, *named]

    def function(self, names: dict[str, Any]) -> Any:
        return self.run

    def run(self, **options: Any) -> None:
        words = self.words({name: repr(value) for name, value in options.items()})
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                status = main.main(words)
            except SystemExit as exit:
                status = exit.code
        if status != 0:
            raise RefusedError(status, said.getvalue())


def right_command(result: Any, given: dict[str, Any]) -> str | None:
    for name, made in (("--out", "model.keras"), ("DIR", "1")):
        path = Path(str(given[name])) if name in given else None
        if path is not None and not (path.is_file() or (path / made).exists()):
            return f"nothing in {path}"
    return None


def command(words: str, **valid: str) -> Command:
    """The `Command` of some words; `valid` has --batch-size as batch_size, and positions in capitals."""
    named = {
        name if name.isupper() else f"--{name.replace('_', '-')}": repr(value)
        for name, value in valid.items()
    }
    kinds = dict.fromkeys([*named, *options_of(words)], KINDS["option"])
    return Command(f"command {words}", words, named, kinds, None, right_command)


def options_of(words: str) -> list[str]:
    """The options of a command that take a value, as its --help has them, but --mlflow."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main.main([*words.split(), "--help"])
    usage = said.getvalue().split("\n\n")[0]
    return [option for option in re.findall(r"\[(--[\w-]+) ", usage) if option != "--mlflow"]


def commands() -> list[Command]:
    """`train` of every recipe, and every other command that takes something."""
    found = []
    for recipe, what in RECIPES.items():
        smoke = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in what.smoke.items()
        }
        data = {"data": "pictures", "test_fraction": "0.5"}
        if getattr(kg, what.model).loader == "load_text":
            data = {"data": "text.txt", "sequence_length": "24"}
        found.append(command(f"train {recipe}", **data, epochs="1", batch_size="2", out="new", **smoke))
    return [
        *found,
        command("resume", RUN="done"),
        command("sample", SOURCE="vae.keras", out="grid.png", num="4"),
        command("sample", SOURCE="cvae.keras", out="grid.png", labels="a,b"),
        command("sample", SOURCE="lstm.keras", prompt="The", max_tokens="5"),
        command("evaluate", SOURCE="model.keras", data="pictures", extractor="model.keras"),
        command("export", SOURCE="vae.keras", DIR="served"),
        command("list", WHAT="models"),
    ]


@functools.cache
def all_calls() -> dict[str, Call]:
    """Every call by its name."""
    found: list[Call] = []
    for recipe in RECIPES:
        found.append(constructor(recipe))
        missing = build(recipe).missing_verbs
        names = [name for name in verbs_of(getattr(kg, RECIPES[recipe].model)) if name not in missing]
        found += [verb(recipe, name) for name in names]
    calls: dict[str, Call] = {}
    for call in [*found, *other_calls(), *commands()]:
        name = call.name
        while name in calls:
            name += "'"
        calls[name] = dataclasses.replace(call, name=name)
    return calls
