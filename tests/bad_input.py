"""Tries bad input on everything public, and judges what becomes of it.

    python tests/bad_input.py                        # all, which takes long: what was not met, and a table
    python tests/bad_input.py "vae: *" "metrics.*"   # the calls whose names match

`public_calls.py` finds everything public and calls it with valid arguments; here one of them at a time, or
two, are replaced by what `hostile_values.py` has for their kinds. Each input must end in a ValueError or
TypeError that keras_gen itself raises, of one line that says "Received", or in a right result: in seconds,
in little memory, without a warning, and without a file that is left where it was refused.
"""

import atexit
import collections
import contextlib
import dataclasses
import dis
import faulthandler
import fnmatch
import functools
import inspect
import io
import itertools
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import types
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras
import numpy as np
import PIL.Image
import psutil
from hostile_values import (
    SENTENCE,
    N,
    are_images,
    are_labels,
    are_token_rows,
    images,
    is_number,
    kind_of_data,
    value_of,
)
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from public_calls import (
    Call,
    Command,
    RefusedError,
    all_calls,
    is_of_text,
    parameters_of,
    right_callback,
    sample,
)

import keras_gen as kg
from keras_gen.recipes import RECIPES
from keras_gen.runs import training

SECONDS = 60  # that one input may take, where other tests run beside it
MEGABYTES = 1000  # by which it may make the process grow
FEW, MANY = 7, 25  # inputs of a call that hypothesis draws in the fast and in the slow suite
LONGEST_MESSAGE = 1000
# A large number of these is not wrong, and takes as long as it takes.
TAKE_LONG = (
    "epochs",
    "steps",
    "initial_epoch",
    "validation_freq",
    "patience",
    "window",
    "every",
    "seconds",
)
LAST_LONG = ("minutes", "max_minutes")  # as long as was asked for
LOG = Path(os.environ.get("BAD_INPUT_LOG", os.devnull))  # which `main` continues
LAST = Path(f"{LOG}.last" if "BAD_INPUT_LOG" in os.environ else os.devnull)  # should it end the process
set_hypothesis_home_dir(tempfile.gettempdir())  # else it is the folder that must stay empty


# === The attempt and its judgement ===


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one input; `complaint` is None where it was met as it should be."""

    call: str
    arguments: str
    kind: str
    repeat: str
    complaint: str | None
    seconds: float
    result: Any = dataclasses.field(default=None, repr=False)


class TooLong(BaseException):
    """The time for one input is up."""


@contextlib.contextmanager
def limits(seconds: int) -> Iterator[None]:
    """Ends what takes too long or too much memory."""

    def ring(*_: Any) -> None:
        raise TooLong

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # What hangs outside of Python hears no signal.
    faulthandler.dump_traceback_later(3 * seconds, exit=True)
    space = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + 4 * MEGABYTES * 10**6
    resource.setrlimit(resource.RLIMIT_AS, (most, space[1]))
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, space)


def complaint_about(error: BaseException) -> str | None:
    """What is wrong with an error: it must be ours, of one line, and say what was received."""
    if isinstance(error, TooLong):
        return f"took more than {SECONDS} s"
    if isinstance(error, RefusedError):
        return complaint_about_command(error.status, str(error))
    if isinstance(error, ZeroDivisionError) and "caller's own" in str(error):
        return None
    try:
        text = str(error)
    except Exception as other:
        return f"{type(error).__name__} without a message: {type(other).__name__}"
    what = f"{type(error).__name__}: {text[:300]!r}"
    if not isinstance(error, (ValueError, TypeError)):
        return what
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    assert innermost is not None
    module = innermost.tb_frame.f_globals.get("__name__", "")
    raised = innermost.tb_frame.f_code.co_code[innermost.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    if not (module.startswith("keras_gen") and raised):
        return f"not raised by keras_gen: {what}"
    if "\n" in text:
        return f"more than one line: {what}"
    if len(text) > LONGEST_MESSAGE:
        return f"{len(text)} characters: {what}"
    if "Received" not in text:
        return f"does not say what was received: {what}"
    return None


def complaint_about_command(status: Any, said: str) -> str | None:
    """What is wrong with how a command refused: it must be with one line, and a status of 1 or 2."""
    if status not in (1, 2):
        return f"ended with status {status}: {said[:300]!r}"
    if "Traceback" in said:
        return f"a traceback that ends with {' '.join(said.splitlines()[-2:])[-300:]!r}"
    if said.count("\n") != 1 or len(said) > LONGEST_MESSAGE:
        return f"{said.count(chr(10))} lines of {len(said)} characters: {said[:300]!r}"
    return None


def attempt(call: Call, changed: Mapping[str, str]) -> Outcome:
    """Calls with changed arguments, in an empty folder that must be empty again where it is refused."""
    result = None
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), folder() as before:
        warnings.simplefilter("ignore")
        names = call.names()
        expected = fits_the_call(call, changed)
        arguments = {
            name: value_of(expression, **names) for name, expression in call.given(changed).items()
        }
        function = call.function(names)
        repeat = call.repeat(changed).encode("utf-8", "backslashreplace").decode()
        LAST.write_text(f"{call.name}\n{repeat}")
        context = {**arguments, "_model": call.model, "_function": function}
        memory, start = psutil.Process().memory_info().rss, time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with limits(SECONDS if changed else 5 * SECONDS):  # the first call compiles
                    result = function(**arguments)
                    if isinstance(result, types.GeneratorType):
                        result = list(itertools.islice(result, 8))
                    late = call.right is right_callback  # which only knows its model in `fit`
                    complaint = call.right(result, context) if expected or late else "was accepted"
                refused = False
                if complaint is None and not expected:
                    complaint = "was accepted"
            except (Exception, TooLong, SystemExit) as error:
                complaint = complaint_about(error)
                refused = "was not finite at step" not in str(error)  # of a run that began, and diverged
                if complaint is None and all(call.arguments.get(name) == changed[name] for name in changed):
                    complaint = f"was refused, though it is right: {error}"
        seconds = time.monotonic() - start
        grown = (psutil.Process().memory_info().rss - memory) / 1e6
        left = {str(path) for path in Path("..").rglob("*")} - before
        strange = [str(each.message) for each in caught if is_strange(each)]
        if complaint is None and grown > MEGABYTES:
            complaint = f"took {grown:,.0f} MB of memory"
        if complaint is None and refused and left:
            complaint = f"was refused, and left {sorted(left)[:3]}"
        if complaint is None and strange:
            complaint = f"warned: {strange[0][:300]!r}"
        forget_spoiled(call)
    kinds = " and ".join(call.kinds[name].name for name in changed)
    return Outcome(call.name, " and ".join(changed), kinds, repeat, complaint, seconds, result)


def is_strange(warning: warnings.WarningMessage) -> bool:
    """A warning that stands where a refusal or nothing should.

    A prompt's unknown characters are told, and by Keras, that there were fewer batches than steps.
    """
    known = ("Not in the vocabulary", "Your input ran out of data")
    is_known = any(words in str(warning.message) for words in known)
    return issubclass(warning.category, (UserWarning, RuntimeWarning)) and not is_known


def fits_the_call(call: Call, changed: Mapping[str, str]) -> bool:
    """Whether values are what their arguments are declared to be."""
    names = call.names()
    try:
        return all(fits(call, name, value_of(value, **names)) for name, value in changed.items())
    except Exception:  # a value that cannot even be looked at
        return False


def fits(call: Call, name: str, value: Any) -> bool:
    """The same of one value; of a data set, all of its batches."""
    kind, model = call.kinds[name], call.model
    if kind.name == "validation data" and value is None:
        return True
    if kind.name not in ("training images", "training tokens", "validation data"):
        return kind.fits(value, model)
    is_one_array = are_token_rows(value) if is_of_text(model) else are_images(value)
    return (is_one_array and kind.name != "validation data") or are_batches(value, model)


def are_batches(value: Any, model: Any) -> bool:
    """Whether a data set's batches are what the model learns from."""
    if isinstance(value, tuple):
        return len(value) in (2, 3) and is_batch(value, model)
    if kind_of_data(value) is None:
        return False
    count = 0
    try:
        for batch in iterate(value):
            count += 1
            if count > 20 or not is_batch(batch, model):
                return False
    except Exception:
        return False
    return count > 0


def iterate(value: Any) -> Iterator[Any]:
    if isinstance(value, keras.utils.PyDataset):
        return (value[index] for index in range(len(value)))
    return iter(value)


def is_batch(batch: Any, model: Any) -> bool:
    x, y = batch[:2] if isinstance(batch, tuple) and len(batch) in (2, 3) else (batch, None)
    if isinstance(x, (tuple, dict)):
        return False
    if is_of_text(model):
        return are_token_rows(x) and are_token_rows(y)
    if not len(x):
        return True
    uses_labels = model.num_classes is not None
    return are_images(x) and (not uses_labels or (y is not None and are_labels(y) and len(y) == len(x)))


@contextlib.contextmanager
def folder() -> Iterator[set[str]]:
    """The working folder is a new one, with files to read, good and bad ones; gives what there is."""
    old = os.getcwd()
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer, "work")
        shutil.copytree(files_to_read(), inner)
        for name in ("pipe", "pipe.npz", "pipe.keras", "pipe.txt"):
            os.mkfifo(inner / name)
        os.chdir(inner)
        try:
            yield {str(path) for path in Path("..").rglob("*")}
        finally:
            os.chdir(old)


@functools.cache
def files_to_read() -> Path:
    """A folder with what the loaders take, and with what looks as if they did: see `FILES`."""
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for recipe, name in (("mlp_classifier", "model"), ("vae", "vae"), ("cvae", "cvae"), ("lstm", "lstm")):
        sample(recipe).save(place / f"{name}.keras")
    (place / "text.txt").write_text(SENTENCE * 30)
    for number in range(40):
        part = place / "pictures" / "ab"[number % 2]
        part.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(images[number % N, ..., 0]).save(part / f"{number}.png")
    (place / "afile").write_text("neither a model nor a picture")
    (place / "empty").mkdir()
    for name in ("empty.npz", "empty.keras", "empty.txt"):
        (place / name).touch()
    (place / "torn.keras").write_bytes((place / "vae.keras").read_bytes()[:5000])
    (place / "latin.txt").write_bytes("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1") * 3000)
    np.savez(place / "strings.npz", images=np.full((40, 8, 8), "a"))
    np.savez(place / "scalar.npz", images=np.uint8(3))
    np.savez(place / "short.npz", images=np.repeat(images, 10, axis=0), labels=np.zeros(3, int))
    np.savez(place / "nan.npz", images=np.full((2000, 8, 8), np.nan, "float32"))
    header = (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000, 3600, 3600), }".ljust(117) + b"\n"
    )
    with zipfile.ZipFile(place / "claims.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    training.train(
        "mlp_classifier", data=str(place / "pictures"), epochs=1, batch_size=2, out=str(place / "done")
    )
    (place / "run").mkdir()
    (place / "run" / "config.json").write_text("[]")
    return place


def forget_spoiled(call: Call) -> None:
    """Weights that an input spoiled are no trouble for the next."""
    if call.recipe is None:
        return
    model = call.model
    if not all(np.isfinite(weight.numpy()).all() for weight in model.weights):
        sample.cache_clear()


# === Inputs ===


def skipped(name: str, expression: str) -> bool:
    """Large numbers of what takes long are right."""
    name = name.strip("-").replace("-", "_")
    if name not in (*TAKE_LONG, *LAST_LONG, "num_blocks"):
        return False
    try:
        number = float(value_of(expression))
    except Exception:
        return False
    if name == "num_blocks":
        return 8 < number <= 64  # more are refused
    return math.isfinite(number) and number > (60 if name in TAKE_LONG else 0)


def inputs_of(call: Call) -> list[dict[str, str]]:
    """What always counts, for each argument."""
    return [
        {name: expression}
        for name, kind in call.kinds.items()
        for expression in kind.expressions()
        if not skipped(name, expression)
    ]


def drawn(call: Call) -> Any:
    """A strategy: what always counts, or another value, in one argument or in two."""
    one = [
        st.sampled_from(kind.expressions()).map(lambda value, name=name: {name: value})
        | kind.drawn.map(lambda value, name=name: {name: value})
        for name, kind in call.kinds.items()
    ]
    some = st.one_of(one)
    both = st.tuples(some, some).map(lambda two: {**two[0], **two[1]})
    return (some | both).filter(lambda changed: not any(skipped(*each) for each in changed.items()))


def try_drawn(call: Call, count: int, only_wrong: bool = False) -> list[Outcome]:
    """What becomes of `count` inputs that hypothesis draws, the same in each run.

    `only_wrong` leaves out what an argument may be, which takes longer.
    """
    outcomes: list[Outcome] = []
    tried: set[str] = set()

    @hypothesis.seed(zlib.crc32(call.name.encode()))  # the same in each run, and another for each call
    @hypothesis.settings(
        max_examples=4 * count,
        database=None,
        deadline=None,  # `attempt` has its own
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn(call))
    def each(changed: dict[str, str]) -> None:
        if len(outcomes) == count or call.repeat(changed) in tried:
            return
        if only_wrong and fits_the_call(call, changed):
            return
        tried.add(call.repeat(changed))
        outcomes.append(attempt(call, changed))

    with warnings.catch_warnings():  # a callback's thread may draw a number of Python's, too
        warnings.simplefilter("ignore", hypothesis.errors.HypothesisDeprecationWarning)
        each()
    return outcomes


def try_all(call: Call) -> list[Outcome]:
    """What becomes of everything that always counts, and of many drawn inputs."""
    return [attempt(call, changed) for changed in inputs_of(call)] + try_drawn(call, MANY)


def try_numpy(call: Call) -> list[Outcome]:
    """What becomes of each number that the call has, or takes by default, as one of NumPy's."""
    outcomes = []
    for name, number in numbers_of(call).items():
        plain = attempt(call, {name: repr(number)})
        outcomes.append(plain)
        for dtype in ("int64", "uint8") if isinstance(number, int) else ("float64", "float32"):
            outcome = attempt(call, {name: f"np.{dtype}({number!r})"})
            if outcome.complaint is None and not same(plain.result, outcome.result):
                outcome = dataclasses.replace(outcome, complaint="gave another result than Python's number")
            outcomes.append(outcome)
    return outcomes


def numbers_of(call: Call) -> dict[str, int | float]:
    """The numbers among a call's arguments, and among those that it has by default."""
    names = call.names()
    if isinstance(call, Command):
        return {}
    function = call.function(names)
    function = getattr(kg, RECIPES[call.recipe].model) if call.code == "build" else function
    found = {name: parameter.default for name, parameter in parameters_of(function).items()}
    if call.code == "build":
        found |= RECIPES[call.recipe].smoke
    found |= {name: value_of(expression, **names) for name, expression in call.arguments.items()}
    kinds = {name: kind.name for name, kind in call.kinds.items()}
    return {
        name: value
        for name, value in found.items()
        if kinds.get(name) in ("integer", "number") and is_number(value) and 0 <= value < 256
    }


def same(one: Any, other: Any) -> bool:
    """Whether two results are alike, as far as they can be compared."""
    if isinstance(one, keras.Model):
        configs = [{**model.get_config(), "name": "", "tokenizer": ""} for model in (one, other)]
        return all(same(value, configs[1][name]) for name, value in configs[0].items())
    if isinstance(one, (float, np.ndarray, np.generic)):
        return np.allclose(one, other, rtol=1e-4)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other if isinstance(one, (int, str, list)) else type(one) is type(other)


def try_valid(call: Call) -> Outcome:
    """The call as it should be, so that a refusal is not for another reason."""
    return attempt(call, {})


# === The table ===


def table(outcomes: list[Outcome]) -> str:
    """How many inputs of which kind, and how many were met."""
    tried, met = collections.Counter(), collections.Counter()
    for outcome in outcomes:
        kind = "two arguments" if " and " in outcome.arguments else outcome.kind or "as it should be"
        tried[kind] += 1
        met[kind] += outcome.complaint is None
    lines = [f"{'argument':<40} {'inputs':>7} {'met':>7}"]
    lines += [f"{kind:<40} {count:>7} {met[kind]:>7}" for kind, count in sorted(tried.items())]
    return "\n".join([*lines, f"{'all':<40} {sum(tried.values()):>7} {sum(met.values()):>7}"])


def describe(outcomes: list[Outcome]) -> str:
    """What was not met, each with the line that repeats it."""
    return "\n".join(f"{each.repeat[:400]}\n    {each.complaint}" for each in outcomes if each.complaint)


def watch_memory() -> None:
    """Ends the process before the machine is out of memory, which one input can bring about."""
    most = psutil.Process().memory_info().rss + 6e9

    def watch() -> None:
        while True:
            if psutil.Process().memory_info().rss > most:
                sys.stderr.write("Memory ran out: the input that was tried last took more than 5 GB.\n")
                os._exit(3)
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()


def file_of(call: Call) -> str:
    """Where the function is, for whoever mends it."""
    if isinstance(call, Command):
        return "cli.py"
    if call.code == "build":
        return f"models/{getattr(kg, RECIPES[call.recipe].model).__module__.split('.')[-1]}.py"
    function = inspect.unwrap(value_of(call.code, **call.names()))
    place = inspect.getsourcefile(
        function if not isinstance(function, functools.partial) else function.func
    )
    return str(place).split("keras_gen/")[-1]


def main(words: list[str]) -> None:
    """Prints what was not met, and the table; `--few` draws as many inputs as the fast suite."""
    faulthandler.enable()
    watch_memory()
    few = "--few" in words
    patterns = [word for word in words if not word.startswith("--")] or ["*"]
    done = {json.loads(line)["call"] for line in LOG.read_text().splitlines()} if LOG.is_file() else set()
    outcomes: list[Outcome] = []
    for call in all_calls().values():
        if call.name in done or not any(fnmatch.fnmatch(call.name, pattern) for pattern in patterns):
            continue
        print(call.name, file=sys.stderr, flush=True)
        found = [try_valid(call), *(try_drawn(call, FEW) if few else try_all(call))]
        outcomes += found
        print(describe(found), flush=True)
        with LOG.open("a") as log:
            for each in found:
                fields = {name: value for name, value in vars(each).items() if name != "result"}
                log.write(json.dumps({**fields, "file": file_of(call)}) + "\n")
        met = sum(each.complaint is None for each in found)
        seconds = sum(each.seconds for each in found)
        print(
            f"# {call.name}: {len(found)} inputs, {len(found) - met} not met, {seconds:.0f} s", flush=True
        )
    print(table(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
