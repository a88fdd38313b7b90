"""Subword tokenizer: frequent words as a whole, rare ones in parts."""

import base64
import importlib
import io
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_gen.tokenizers.tokenizer import SPECIAL, Tokenizer, VocabularySize, each_encodable
from keras_gen.utils.arguments import Count, checked, received

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # by which SentencePiece marks a space
# It is then no character of its own. (With no rule at all, each load of a tokenizer would be logged.)
LONGEST_LINE = 1000  # characters; SentencePiece leaves out what is longer than 4,192 bytes
NORMALIZATION = f"{ord(SPACE):X}\t{ord('_'):X}\n"


@keras.saving.register_keras_serializable("keras_gen")
class SubwordTokenizer(Tokenizer):
    """Splits a text into pieces by byte-pair encoding [1], with SentencePiece [2].

    The pieces, joined, are the text again, including line breaks and indentation, except that the character
    U+2581 becomes an underscore. No piece spans lines. The tokenizer needs the packages sentencepiece (to
    adapt it to a text) and tensorflow-text (to use it): the extra `subword`. So does a SavedModel: import
    tensorflow_text before loading it (TensorFlow Serving includes it).

    Args:
        vocabulary: The pieces, each once; 2 or more.
        model: SentencePiece's model, in base64.

    Raises:
        ValueError: There are fewer than two pieces, one is there twice, or the model is no
            model of SentencePiece's.
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

    @checked
    def __init__(self, vocabulary: Sequence[str], model: str):
        super().__init__(vocabulary)
        self._model = model
        text = required("tensorflow_text")
        try:
            self._splitter = text.SentencepieceTokenizer(base64.b64decode(model), out_type=tf.string)
        except (ValueError, tf.errors.OpError):
            raise ValueError(
                f"model must be a model of SentencePiece's in base64. Received: {received(model)}"
            ) from None

    def are_pieces(self, vocabulary: Sequence[str]) -> list[bool]:
        return [True] * len(vocabulary)  # SentencePiece made them

    @classmethod
    @checked
    def adapted(
        cls, texts: Iterable[str], vocabulary_size: VocabularySize | None = None, least_count: Count = 1
    ) -> "SubwordTokenizer":
        """A tokenizer whose pieces are learned from texts.

        Args:
            texts: The texts, which are read once.
            vocabulary_size: Maximum number of ids, including the three special ones, 5 or more; 2,000 by
                default.
            least_count: Ignored, since pieces are learned by frequency.

        Raises:
            ValueError: The texts are empty, one is not a string, or `vocabulary_size` is too small for
                their characters.
            ImportError: sentencepiece is not installed.
        """
        size = 2000 if vocabulary_size is None else vocabulary_size
        trainer = required("sentencepiece")
        written = io.BytesIO()
        refusals: list[Exception] = []
        found = lines(each_encodable("texts", texts), refusals)
        first = list(itertools.islice(found, 1))
        if not first:
            raise ValueError("texts must have characters to learn from. Received: only empty lines")
        with tempfile.TemporaryDirectory() as folder:
            rules = Path(folder) / "rules.tsv"
            rules.write_text(NORMALIZATION)
            try:
                trainer.SentencePieceTrainer.train(
                    sentence_iterator=itertools.chain(first, found),
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
                if refusals:
                    raise refusals[0] from None
                reason = " ".join(str(error).split())
                raise ValueError(
                    "vocabulary_size must be more than the number of different characters in the texts. "
                    f"Received: {size} ({reason})"
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


def lines(texts: Iterable[str], refusals: list[Exception]) -> Iterator[str]:
    """The lines of texts, without line ends; long lines in parts.

    Errors of the texts are also stored in `refusals`, since SentencePiece turns them into a RuntimeError.
    """
    try:
        for text in texts:
            for line in text.split("\n"):
                for start in range(0, len(line), LONGEST_LINE):
                    yield line[start : start + LONGEST_LINE]
    except Exception as error:
        refusals.append(error)
        raise


def required(package: str) -> Any:
    """Imports a package of the extra `subword`."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"Subwords need the package {package.replace('_', '-')}, which is not installed. Install it "
            f'with: pip install "keras_gen[subword]" ({error})'
        ) from None
