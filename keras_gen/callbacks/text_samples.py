"""Generated texts and predicted next tokens after every epoch, for the same prompts."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tensorflow as tf
from annotated_types import MinLen, doc

from keras_gen.callbacks.sample_callback import SampleCallback
from keras_gen.tokenizers import END
from keras_gen.utils.arguments import Count, Natural, NonNegative, Seed, checked
from keras_gen.utils.files import atomic_write

PROMPT_TOKENS = 24  # of the held-out text


class TextSamples(SampleCallback):
    """Shows continuations of the same prompts, from the same noise, after every epoch.

    Each prompt has one text per temperature, followed by a table of the most likely next tokens: Markdown,
    in TensorBoard's text tab and as a file.

    Args:
        log_dir: TensorBoard's directory; the texts are in its run `train`.
        prompts: Texts to continue; `""` is the beginning of a text.
        temperatures: See `TextGenerator.generate`; 0 or more.
        max_tokens: Maximum number of tokens to generate, 1 or more.
        num_likeliest: Number of rows of the table; 0 for no table.
        text_dir: Folder of the files `epoch-0001.md` and so on; `log_dir/samples` by default.
        every: Show texts every so many epochs, 1 or more, and after the last one.
        seed: Integer that determines the noise.

    Raises:
        ValueError: A number is out of range, or there is no prompt or no temperature; or as for
            `SampleCallback`.

    Example:

    >>> import tempfile
    >>> samples = TextSamples(tempfile.mkdtemp(), prompts=["The class"], temperatures=(0.5, 1.0))
    """

    suffix = ".md"
    verbs = ("generate", "next_token_probabilities")
    kind = "models that generate text"

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        prompts: Annotated[Sequence[str], MinLen(1), doc("a list of one or more strings")] = ("",),
        temperatures: Annotated[
            Sequence[NonNegative], MinLen(1), doc("a list of one or more numbers, each 0 or more")
        ] = (0.5, 0.8, 1.0),
        max_tokens: Count = 200,
        num_likeliest: Natural = 8,
        text_dir: str | os.PathLike | None = None,
        every: Count = 1,
        seed: Seed = 0,
    ):
        super().__init__(log_dir, "samples", text_dir, every)
        self.prompts = list(prompts)
        self.temperatures = tuple(temperatures)
        self.max_tokens = max_tokens
        self.num_likeliest = num_likeliest
        self.seed = seed

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int, folder: Path) -> "TextSamples | None":
        """The callback of a run directory; None if the model does not generate text."""
        if not hasattr(model, "next_token_probabilities"):
            return None
        return cls(logs, prompts_from(data), text_dir=folder, every=every)

    def check_model(self) -> None:
        super().check_model()
        for prompt in self.prompts:
            self.model.next_token_probabilities(prompt, 1)  # refuses a prompt that it cannot read

    def shown(self) -> list[str]:
        """The continuations of each prompt, as Markdown."""
        texts = [
            self.model.generate(self.prompts, self.max_tokens, temperature=temperature, seed=self.seed)
            for temperature in self.temperatures
        ]
        found = []
        for number, prompt in enumerate(self.prompts):
            parts = [f"## After {in_code(prompt)}" if prompt else "## From the beginning"]
            for temperature, written in zip(self.temperatures, texts, strict=True):
                parts += [f"**Temperature {temperature:g}**", fenced(written[number])]
            if self.num_likeliest:
                parts.append(table(self.model.next_token_probabilities(prompt, self.num_likeliest)))
            found.append("\n\n".join(parts) + "\n")
        return found

    def write(self, path: Path, shown: Any) -> None:
        with atomic_write(path) as draft:
            draft.write_text("\n".join(shown), encoding="utf-8")

    def summarize(self, shown: Any, step: int) -> None:
        for number, text in enumerate(shown):
            tf.summary.text(f"{self.tag}/prompt_{number + 1}", text, step=step)


def prompts_from(data: Any) -> list[str]:
    """The beginning of a text, and the held-out text's first line as far as its tokens are known."""
    held_out = data.test_ids[int(data.per_document) :][:PROMPT_TOKENS]
    known = list(itertools.takewhile(lambda token_id: token_id > END, held_out))
    line = data.tokenizer.decode([known]).numpy()[0].decode().strip().split("\n")[0] if known else ""
    return list(dict.fromkeys(["", line]))


def table(likeliest: list[tuple[str, float]]) -> str:
    """The most likely next tokens, as Markdown."""
    rows = [f"| {in_code(piece)} | {probability:.1%} |" for piece, probability in likeliest]
    return "\n".join(["| next token | probability |", "|---|---|", *rows])


def in_code(piece: str) -> str:
    """A piece of text in code style, with visible spaces: `"\\n    if"`."""
    if not piece:
        return "*the end*"
    quoted = repr(piece).replace("|", "\\|")
    return f"{longer_than_any(quoted, 1)} {quoted} {longer_than_any(quoted, 1)}"


def fenced(text: str) -> str:
    """A text as a code block, even if it contains Markdown."""
    fence = longer_than_any(text, 3)
    return f"{fence}\n{text}\n{fence}"


def longer_than_any(text: str, least: int) -> str:
    """More backquotes than the longest sequence in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
