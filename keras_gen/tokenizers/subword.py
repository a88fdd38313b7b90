"""Subwords: frequent words whole, rare ones in parts; a small vocabulary that spells nearly everything."""

import base64
import importlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_gen.tokenizers.tokenizer import SPECIAL, Tokenizer

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # by which SentencePiece marks a space
# It is then no character of its own. (With no rule at all, each load of a tokenizer would be logged.)
NORMALIZATION = f"{ord(SPACE):X}\t{ord('_'):X}\n"


@keras.saving.register_keras_serializable("keras_gen")
class SubwordTokenizer(Tokenizer):
    """Cuts a text into byte-pair encoding's pieces [1], by SentencePiece [2].

    The pieces, joined, are the text again, with its line breaks and its indentation; but for the character
    U+2581, which becomes an underscore. A piece never goes on in the next line.

    It needs the packages sentencepiece, to be made of a text, and tensorflow-text, to be used: the extra
    `subword`. So does a SavedModel: import tensorflow_text before it is loaded (TensorFlow Serving has it).

    Args:
        vocabulary: The pieces, each once; 2 or more.
        model: SentencePiece's own, in base64.

    Raises:
        ValueError: There are fewer than two pieces, or one is there twice.
        ImportError: tensorflow-text is not installed.

    References:
        1. Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units,
           arXiv 1508.07909.
        2. Kudo & Richardson 2018, SentencePiece, arXiv 1808.06226.

    Example:

    >>> texts = ["low lower lowest new newer newest wide wider widest " * 20]
    >>> tokenizer = SubwordTokenizer.adapted(texts, vocabulary_size=24)
    >>> pieces = tokenizer.pieces(["the newest"])[0].numpy()
    >>> b"".join(pieces).decode(), len(pieces) < 10
    ('the newest', True)
    """

    def __init__(self, vocabulary: Sequence[str], model: str):
        super().__init__(vocabulary)
        self._model = model
        text = required("tensorflow_text")
        self._splitter = text.SentencepieceTokenizer(base64.b64decode(model), out_type=tf.string)

    @classmethod
    def adapted(
        cls, texts: Iterable[str], vocabulary_size: int | None = None, least_count: int = 1
    ) -> "SubwordTokenizer":
        """The tokenizer whose pieces are learned from some texts.

        Args:
            texts: Read once, one after another.
            vocabulary_size: How many ids there are at most, the first three included; 2,000 by default.
            least_count: Without effect, since a piece is learned for being frequent.

        Raises:
            ValueError: The texts have fewer than two different characters, or `vocabulary_size` is too
                small for their characters.
            ImportError: sentencepiece is not installed.
        """
        size = 2000 if vocabulary_size is None else vocabulary_size
        trainer = required("sentencepiece")
        written = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder:
            rules = Path(folder) / "rules.tsv"
            rules.write_text(NORMALIZATION)
            try:
                trainer.SentencePieceTrainer.train(
                    sentence_iterator=lines(texts),
                    model_writer=written,
                    model_type="bpe",
                    vocab_size=size - len(SPECIAL) + 1,  # its own for what is unknown
                    hard_vocab_limit=False,
                    character_coverage=1.0,
                    normalization_rule_tsv=str(rules),
                    add_dummy_prefix=False,
                    remove_extra_whitespaces=False,
                    allow_whitespace_only_pieces=True,
                    user_defined_symbols=["\n"],
                    bos_id=-1,
                    eos_id=-1,
                    minloglevel=3,
                    num_threads=1,  # the same pieces on every machine
                )
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"Subwords could not be learned with vocabulary_size={size}: {error}"
                ) from None
        processor = trainer.SentencePieceProcessor(model_proto=written.getvalue())
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        known = [piece.replace(SPACE, " ") for i, piece in enumerate(pieces) if i != processor.unk_id()]
        return cls(known, base64.b64encode(written.getvalue()).decode())

    def pieces(self, texts: Any) -> tf.RaggedTensor:
        marked = self._splitter.tokenize(texts)
        return tf.ragged.map_flat_values(tf.strings.regex_replace, marked, SPACE, " ")

    def get_config(self) -> dict:
        return {**super().get_config(), "model": self._model}


def lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of texts, without their ends."""
    for text in texts:
        yield from filter(None, text.split("\n"))


def required(package: str) -> Any:
    """A package of the extra `subword`."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"Subwords need the package {package.replace('_', '-')}, which is not installed. Install it "
            f'with: pip install "keras_gen[subword]" ({error})'
        ) from None
