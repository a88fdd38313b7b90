"""What all models that write text, a token at a time, have in common."""

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import annotated_types
import keras
import numpy as np
import pydantic
import tensorflow as tf

from keras_gen.layers import child_seed
from keras_gen.models.base import validation
from keras_gen.models.base.base_model import BaseModel
from keras_gen.models.base.token_sampler import BLOCK, TokenSampler, cut_at, token_noise
from keras_gen.models.base.verbs import Keys, Texts, explain_divergence, verb
from keras_gen.serving.assertions import asserted
from keras_gen.tokenizers import END, PADDING, Tokenizer
from keras_gen.tokenizers.tokenizer import encodable
from keras_gen.utils.arguments import Count, Natural, NonNegative, Seed, Share, checked, in_utf8, received
from keras_gen.utils.memory import refuse_beyond_memory

MOST_TOKENS = 2**27  # in one call: about ten gigabytes
FEW_ENOUGH = f"max_tokens must be so few that all texts have at most {MOST_TOKENS:,} tokens together"
MOST_LOGITS = 2**24  # at once, where there is a choice
MOST_REASON = 300  # characters of an error of Keras'
MOST_NAMED = 10  # unknown pieces in a warning

TokenizerArgument = Annotated[
    Tokenizer,
    annotated_types.doc("a keras_gen.tokenizers.Tokenizer, such as load_text(...).tokenizer"),
]


Stop = Annotated[
    str,
    annotated_types.MinLen(1),
    pydantic.AfterValidator(in_utf8),
    annotated_types.doc("a string of one character or more that UTF-8 can encode"),
]


def cut_texts(
    texts: np.ndarray, arguments: dict[str, Any], *, stop: Stop | Sequence[Stop] = ()
) -> list[str]:
    """Texts as bytes -> strings, each cut before the first of `stop` in what follows its prompt."""
    pairs = zip(as_list(arguments["prompts"]), texts, strict=True)
    return [prompt + cut_at(text.decode()[len(prompt) :], as_list(stop)) for prompt, text in pairs]


def as_list(texts: str | Sequence[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


class TextGenerator(BaseModel):
    """Base of the models of text.

    A subclass makes its layers, which turn token ids (n, t) into logits (n, t, vocabulary_size), and writes
    `train_step`, `test_step`, `step` and `empty_states`. It inherits `generate`, `stream`, `score`,
    `next_token_probabilities`, what is logged, and what a SavedModel offers.

    It logs `loss`, the cross-entropy in nats per token; `perplexity`, its exponential; and
    `bits_per_character`, comparable across tokenizers as long as no piece is unknown. Padding counts
    in none of them, and `sample_weight` in the loss alone: it is one number for each row, (n,), or for each
    token, (n, t). For `compile(metrics=...)`, `y_true` are the targets (n, t) and `y_pred` the next token's
    probabilities (n, t, vocabulary_size), which `SparseCategoricalAccuracy(name="accuracy")` takes; padding
    has weight 0.

    Args:
        tokenizer: Maps strings to token ids and back, as `load_text(...).tokenizer`; saved with the model.
        per_document: Whether each text is a whole document with a beginning; otherwise it is a piece
            of running text.
        seed: Integer that determines the initial weights and dropout; random by default.
        dtype: Precision to compute in, as for any Keras model; or `"auto"`: see `ImageModel`.
        name: As for any Keras model.
        trainable: Likewise.

    Raises:
        ValueError: `tokenizer` is not a `Tokenizer`, or an argument is of another type or out of range.
    """

    loader = "load_text"
    learns_from = "text"
    from_data = ("tokenizer", "per_document")
    evaluation_batch_size = 1

    @checked
    def __init__(
        self,
        tokenizer: TokenizerArgument,
        per_document: bool = False,
        seed: Seed | None = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ):
        encodable("name", [] if name is None else [name])
        policy = validation.dtype_policy(dtype) or keras.dtype_policies.get(keras.config.dtype_policy())
        super().__init__(name=name, trainable=trainable)
        self.tokenizer = tokenizer
        self.per_document = per_document
        self.seed = seed
        self.dtype_policy = policy
        self._is_auto_dtype = isinstance(dtype, str) and dtype == "auto"
        self.seed_generator = keras.random.SeedGenerator(child_seed(seed, "generate"))  # without a seed
        self.character_tracker = keras.metrics.Mean(name="bits_per_character")
        self.trackers = [
            keras.metrics.Mean(name="loss"),
            Perplexity(name="perplexity"),
            self.character_tracker,
        ]

    def get_config(self) -> dict:
        return {
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "per_document": self.per_document,
            "seed": self.seed,
            "dtype": "auto" if self._is_auto_dtype else keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "TextGenerator":
        try:
            tokenizer = keras.saving.deserialize_keras_object(config["tokenizer"], custom_objects)
            return cls(**{**config, "tokenizer": tokenizer, "dtype": config["dtype"]})
        except (AttributeError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"The config of a {cls.__name__} must be as its get_config made it. "
                f"Received: one with another value or name ({type(error).__name__}: {reason[:MOST_REASON]})"
            ) from None

    # === Training ===

    @classmethod
    def arguments_from(cls, data: Any, uses_labels: bool = False, **arguments: Any) -> dict[str, Any]:
        """`tokenizer` and `per_document`, of a `TextDataset`."""
        return {"tokenizer": data.tokenizer, "per_document": data.per_document}

    def loader_arguments(self) -> dict[str, Any]:
        return {
            "tokenizer": self.tokenizer,
            "vocabulary_size": None,
            "per_document": self.per_document,
        }

    def unpack(self, data: Any) -> tuple[Any, Any, tf.Tensor | None, tf.Tensor]:
        *rows, sample_weight, count = super().unpack(data)
        rows = [tf.ensure_shape(tf.cast(token_ids, tf.int32), (None, None)) for token_ids in rows]
        inputs, targets, sample_weight = self.never_empty(*rows, sample_weight)
        return inputs, targets, sample_weight, count

    def weight_shapes(self, x: Any) -> list[tuple[int, ...]]:
        return [*super().weight_shapes(x), x.shape]

    def check_examples(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        validation.token_rows(x, y, self.tokenizer.vocabulary_size)
        if sample_weight is not None:
            validation.weights(sample_weight, self.weight_shapes(x))

    def is_valid(self, x: tf.Tensor, y: Any, sample_weight: Any = None) -> tf.Tensor:
        if not all(rows.shape.rank == 2 and rows.dtype.is_integer for rows in (x, y)):
            return tf.constant(False)
        valid = tf.reduce_all(tf.shape(x) == tf.shape(y)) & (tf.size(x) > 0)
        for token_ids in (x, y):
            known = (token_ids >= 0) & (tf.cast(token_ids, tf.int64) < self.tokenizer.vocabulary_size)
            valid &= tf.reduce_all(known)
        return valid & super().is_valid(x, y, sample_weight)

    def check_inputs(self, x: Any) -> None:
        validation.token_ids("inputs", x, self.tokenizer.vocabulary_size)

    def _check_data(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
    ) -> None:
        if class_weight is not None:
            raise ValueError(
                "class_weight is for labels of images: weight rows or tokens of text with sample_weight. "
                f"Received: class_weight={received(class_weight)}"
            )
        super()._check_data(x, y, sample_weight)
        if y is not None and not np.any(y):
            raise ValueError("targets must have tokens that are not padding. Received: only the id 0")

    def nats(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """-log p of each target, (n, t), 0 for padding."""
        # The operation itself: around it, tf.nn asserts shapes, which XLA complains of that it leaves out.
        rows = tf.reshape(tf.cast(logits, tf.float32), (-1, self.tokenizer.vocabulary_size))
        labels = tf.reshape(targets, (-1,))
        nats = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=rows, labels=labels).loss
        return tf.where(targets == PADDING, 0.0, tf.reshape(nats, tf.shape(targets)))

    def count(self, targets: tf.Tensor) -> tf.Tensor:
        """How many targets are not padding."""
        return tf.reduce_sum(tf.cast(targets != PADDING, tf.float32))

    def mean_nats(
        self, nats: tf.Tensor, targets: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The mean over all targets that are not padding; 0 where there are none."""
        if sample_weight is not None:
            nats *= tf.reshape(sample_weight, (tf.shape(nats)[0], -1))  # (n, 1) or (n, t)
        return tf.math.divide_no_nan(tf.reduce_sum(nats), self.count(targets))

    def report(
        self,
        loss: tf.Tensor,
        nats: tf.Tensor,
        targets: tf.Tensor,
        logits: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> dict:
        """The logs, with a batch's values added."""
        values = {"loss": loss, "perplexity": self.mean_nats(nats, targets)}
        self.track(values, self.count(targets))
        characters = tf.cast(tf.reduce_sum(tf.gather(self.tokenizer.lengths, targets)), tf.float32)
        bits = tf.reduce_sum(nats) / math.log(2)
        self.character_tracker.update_state(bits / tf.maximum(characters, 1.0), characters)
        if self._user_metrics or self._weighted_metrics:
            self._update_token_metrics(targets, logits, sample_weight)
        return self.logs()

    def _update_token_metrics(
        self, targets: tf.Tensor, logits: tf.Tensor, sample_weight: tf.Tensor | None
    ) -> None:
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        known = tf.cast(targets != PADDING, tf.float32)
        for metric in self._user_metrics:
            metric.update_state(targets, probabilities, sample_weight=known)
        if sample_weight is not None:
            known *= tf.reshape(sample_weight, (tf.shape(known)[0], -1))
        for metric in self._weighted_metrics:
            metric.update_state(targets, probabilities, sample_weight=known)

    # === Generation ===

    def step(self, token_ids: tf.Tensor, states: Any) -> tuple[tf.Tensor, Any]:
        """One token of each text, (n,) -> the next one's logits, float32 (n, v), and the states then."""
        raise NotImplementedError

    def empty_states(self, n: tf.Tensor) -> Any:
        """What the layers remember of n texts before the first token: a nest of tensors."""
        raise NotImplementedError

    def encode_prompts(self, prompts: tf.Tensor) -> tf.RaggedTensor:
        """Strings (n,) -> the token ids that each text begins with, int32 (n, None), one or more.

        Before a document stands the end of another. Running text has no beginning: an empty prompt is read
        as the start of a line.
        """
        token_ids = self.tokenizer.encode(prompts)
        from_beginning = (token_ids.row_lengths() == 0) | self.per_document
        count = tf.cast(from_beginning, tf.int64)
        first = END if self.per_document else self.start_of_line
        starts = tf.RaggedTensor.from_row_lengths(tf.fill((tf.reduce_sum(count),), first), count)
        return tf.concat([starts, token_ids], axis=1)

    @property
    def start_of_line(self) -> int:
        """The token id of a line break, or of a space; the vocabulary's first where it has neither."""
        with tf.init_scope():  # it is asked for while functions are traced, too
            for piece in ("\n", "\n\n", " "):
                token_ids = self.tokenizer.encode([piece])[0].numpy().tolist()
                if len(token_ids) == 1 and token_ids[0] > END:
                    return token_ids[0]
        return END + 1

    def sample_tokens(
        self, prompts: tf.Tensor, keys: tf.Tensor, max_tokens: tf.Tensor, sampler: TokenSampler
    ) -> tf.Tensor:
        """Strings (n,) -> ids of what follows each, (n, t), with padding before and after."""
        token_ids = self.encode_prompts(prompts)
        prompt, lengths = token_ids.to_tensor(), tf.cast(token_ids.row_lengths(), tf.int32)
        n, longest, most = tf.shape(prompt)[0], tf.reduce_max(lengths), tf.reduce_max(max_tokens)
        total = tf.cast(n, tf.int64) * (tf.cast(longest, tf.int64) + tf.cast(most, tf.int64))
        most = asserted(FEW_ENOUGH, total <= MOST_TOKENS, most)
        noise = token_noise(keys, tf.range((most - 1) // BLOCK + 1))
        # One row for each step (t, n): a token's place is counted from the end of its text's prompt.
        places = tf.clip_by_value(tf.range(1, longest + most) - lengths[:, tf.newaxis], 0, most - 1)
        noise = tf.transpose(tf.gather(noise, places, batch_dims=1))

        def body(t: tf.Tensor, token: tf.Tensor, ended: tf.Tensor, states: Any, tokens: Any) -> tuple:
            logits, states = self.step(token, states)
            place = t + 1 - lengths  # of the next token in what is written, below 0 within the prompt
            chosen = sampler.choose(logits, noise[t])
            given = prompt[:, tf.minimum(t + 1, tf.shape(prompt)[1] - 1)]
            token = tf.where(place < 0, given, chosen)
            ended |= ((place >= 0) & (chosen == END)) | (place + 1 >= max_tokens)
            return t + 1, token, ended, states, tokens.write(t, token)

        def go_on(t: tf.Tensor, token: tf.Tensor, ended: tf.Tensor, *_: Any) -> tf.Tensor:
            return ~tf.reduce_all(ended)

        # It grows with what is written, not with what might be.
        tokens = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=(None,))
        start = (0, prompt[:, 0], tf.zeros((n,), tf.bool), self.empty_states(n), tokens)
        *_, tokens = tf.while_loop(go_on, body, start)
        return self.after_prompts(tf.transpose(tokens.stack()), lengths, max_tokens)

    def after_prompts(self, tokens: tf.Tensor, lengths: tf.Tensor, max_tokens: tf.Tensor) -> tf.Tensor:
        """The tokens (n, t), the first of which is each text's second -> those after the prompts alone."""
        places = tf.range(tf.shape(tokens)[1]) - (lengths[:, tf.newaxis] - 1)
        tokens = tf.where((places >= 0) & (places < max_tokens[:, tf.newaxis]), tokens, PADDING)
        over = tf.cumsum(tf.cast(tokens == END, tf.int32), axis=1) > 0
        return tf.where(over, PADDING, tokens)

    @verb("texts", cut_texts)
    def generate(
        self,
        prompts: Texts = "",
        max_tokens: Count = 200,
        temperature: NonNegative = 1.0,
        top_k: Natural = 0,
        top_p: Share = 1.0,
        keys: Keys = None,
    ) -> tf.Tensor:
        """Continues each prompt.

        Args:
            prompts: A string, or several of any lengths, which are continued together. An empty one
                begins a document or, where the model learned running text, a line.
            max_tokens: How many tokens to write at most, 1 or more; fewer where a text ends.
            temperature: What logits are divided by, 0 or more: lower gives likelier text, 0 always
                the most likely token.
            top_k: Sample from this many of the most likely tokens; 0 for all.
            top_p: Sample from the most likely tokens with this total probability, in (0, 1]
                (Holtzman et al. 2020, arXiv 1904.09751).
            seed: Integer from 0 to 2**31 - 1. The same weights, prompts and seed give the same texts;
                without one, each call gives different ones.
            stop: A string, or several: what is written is cut before the first of them.

        Returns:
            The prompt and what was written after it; a list of them for several prompts.

        Raises:
            ValueError: A number is out of range, a prompt is not a string that UTF-8 can encode, a stop is
                empty, or the texts would not fit into memory.

        Warns:
            UserWarning: A prompt has tokens that are not in the vocabulary.
        """
        sampler = TokenSampler(temperature, top_k, top_p)
        token_ids = self.sample_tokens(prompts, keys, max_tokens, sampler)
        return tf.strings.join([prompts, self.tokenizer.decode(token_ids)])

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        texts = next(iter(rows.values()))
        if "max_tokens" not in options:
            return self._read_per_call(texts)
        max_tokens = options["max_tokens"]
        longest = max(map(len, texts)) + max_tokens
        what = f"max_tokens={max_tokens} for {len(texts)} texts"
        # A step takes some bytes, and each token in it.
        refuse_beyond_memory(
            longest * (256 + 80 * len(texts)), what, "Write fewer tokens, or fewer texts at a time."
        )
        if len(texts) * longest > MOST_TOKENS:
            raise ValueError(f"{FEW_ENOUGH}. Received: {what}")
        return len(texts)

    def _read_per_call(self, texts: Sequence[str]) -> int:
        longest = int(tf.reduce_max(self.tokenizer.encode(list(texts)).row_lengths())) + 2
        logits = longest * self.tokenizer.vocabulary_size  # of one text
        refuse_beyond_memory(16 * logits, f"a text of {longest - 2} tokens", "Score it in parts.")
        return max(1, MOST_LOGITS // logits)

    @checked
    def stream(
        self,
        prompt: str = "",
        max_tokens: Count = 200,
        temperature: NonNegative = 1.0,
        top_k: Natural = 0,
        top_p: Share = 1.0,
        seed: Seed | None = None,
    ) -> Iterator[str]:
        """Yields what `generate` would write after the prompt, piece by piece, as it is written.

        Raises:
            ValueError: At once, as `generate` does.
        """
        self.checked_texts("prompt", prompt)
        seed = self.next_seed() if seed is None else seed
        sampler = TokenSampler(
            tf.constant([temperature], tf.float32), tf.constant([top_k]), tf.constant([top_p], tf.float32)
        )
        return self._pieces(prompt, max_tokens, sampler, tf.constant([[seed, 0]]))

    def _pieces(
        self, prompt: str, max_tokens: int, sampler: TokenSampler, keys: tf.Tensor
    ) -> Iterator[str]:
        token, states = self._after_prompt(prompt)
        next_token, draw_noise = self._compiled(self.next_token), self._compiled(token_noise)
        for place in range(max_tokens):
            if place % BLOCK == 0:
                noise = draw_noise(keys, tf.constant([place // BLOCK]))
            with explain_divergence():
                token, states = next_token(
                    token,
                    states,
                    sampler.temperature,
                    sampler.top_k,
                    sampler.top_p,
                    noise[:, place % BLOCK],
                )
            if token[0] == END:
                return
            yield self.tokenizer.decode(token[tf.newaxis]).numpy()[0].decode()

    def next_token(
        self,
        token_ids: tf.Tensor,
        states: Any,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        noise: tf.Tensor,
    ) -> tuple[tf.Tensor, Any]:
        """One token of each text, (n,) -> the next one, sampled, and the states before it."""
        logits, states = self.step(token_ids, states)
        return TokenSampler(temperature, top_k, top_p).choose(logits, noise), states

    def states_after(self, token_ids: tf.Tensor) -> Any:
        """What the layers remember of one text, after its token ids (t,)."""

        def body(t: tf.Tensor, states: Any) -> tuple:
            return t + 1, self.step(token_ids[t, tf.newaxis], states)[1]

        return tf.while_loop(lambda t, _: t < tf.size(token_ids), body, (0, self.empty_states(1)))[1]

    def _after_prompt(self, prompt: str) -> tuple[tf.Tensor, Any]:
        """The last token of a prompt (1,), and the states before it."""
        token_ids = self.encode_prompts(tf.constant([prompt]))[0]
        states_after = self._compiled(self.states_after, tf.TensorSpec((None,), tf.int32))
        return token_ids[-1:], states_after(token_ids[:-1])

    def _compiled(self, function: Callable, *specs: tf.TensorSpec) -> Callable:
        """`function` as a graph, traced once."""
        key = (function.__name__,)
        if key not in self.compiled_verbs:
            self.compiled_verbs[key] = tf.function(function, input_signature=specs or None)
        return self.compiled_verbs[key]

    def checked_texts(self, name: str, texts: str | Sequence[str]) -> list[str]:
        """A string or several as a list; warns of tokens that are not in the vocabulary."""
        found = list(encodable(name, as_list(texts)))
        if not found:
            raise ValueError(f"{name} must be one string or more. Received: {received(texts)}")
        unknown = self.tokenizer.unknown(found)
        if unknown:
            pieces = ", ".join(map(repr, unknown[:MOST_NAMED]))
            more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
            warn_caller(f"Not in the vocabulary, treated as unknown: {pieces}{more}.")
        return found

    # === Scoring ===

    @verb("log_probs")
    def score(self, texts: Texts) -> tf.Tensor:
        """The log-probability of texts, in nats.

        Args:
            texts: A string, or several.

        Returns:
            log p of a text's tokens after the first, for running text; of all tokens and the end, where the
            model is `per_document`. So of running text without tokens, or with one, it is 0. A float for
            one string, float32 (n,) for several.

        Raises:
            ValueError: A text is not a string that UTF-8 can encode, or too long for the memory.
        """
        token_ids = self.tokenizer.encode(texts)
        if self.per_document:
            ends = tf.fill((tf.size(texts), 1), END)
            token_ids = tf.concat([ends, token_ids, ends], axis=1)
        token_ids = token_ids.to_tensor()
        # Two columns more, so that there is a step for texts without tokens.
        token_ids = tf.pad(token_ids, ((0, 0), (0, 2)), constant_values=PADDING)
        return tf.reduce_sum(self.token_log_probs(token_ids), axis=1)

    def token_log_probs(self, token_ids: Any) -> tf.Tensor:
        """Integers (n, t) -> log p of each but the first, in nats, float32 (n, t - 1); 0 for padding.

        Raises:
            ValueError: These are not integers (n, t), or one is not an id of the tokenizer.
        """
        rows = self.tokenizer.id_tensor(token_ids)
        rows = tf.cast(rows.to_tensor() if isinstance(rows, tf.RaggedTensor) else rows, tf.int32)
        if rows.shape.rank != 2:
            raise ValueError(f"token_ids must be integers (n, t). Received: {received(token_ids)}")
        if 0 in (rows.shape[0], rows[:, :-1].shape[1]):
            return tf.zeros(rows[:, :-1].shape)
        return 0.0 - self.nats(self(rows[:, :-1], training=False), rows[:, 1:])  # never -0.0

    @checked
    def next_token_probabilities(self, prompt: str, k: Count = 10) -> list[tuple[str, float]]:
        """The most likely next tokens and their probabilities, in descending order.

        Padding and the unknown token, which are never generated, are left out.

        Args:
            prompt: What comes before.
            k: How many, 1 or more.

        Raises:
            ValueError: The prompt is not a string that UTF-8 can encode, or `k` is out of range.
        """
        self.checked_texts("prompt", prompt)
        token, states = self._after_prompt(prompt)
        logits = self.step(token, states)[0][0]
        written = tf.nn.softmax(logits)[END:]
        probabilities, places = tf.math.top_k(written, min(k, len(written)))
        token_ids = places[:, tf.newaxis] + END
        pieces = [piece.decode() for piece in self.tokenizer.decode(token_ids).numpy()]
        return list(zip(pieces, probabilities.numpy().tolist(), strict=True))

    # === Presets and export ===

    def probe(self) -> list[np.ndarray]:
        shape = (16, 32)
        token_ids = np.random.default_rng(0).integers(1, self.tokenizer.vocabulary_size, shape)
        return [np.exp(self.token_log_probs(token_ids))]

    def card_facts(self) -> dict[str, Any]:
        return {
            "tokenizer": type(self.tokenizer).__name__,
            "vocabulary_size": self.tokenizer.vocabulary_size,
        }


class Perplexity(keras.metrics.Mean):
    """The exponential of the mean."""

    def result(self) -> tf.Tensor:
        return tf.exp(super().result())


def warn_caller(message: str) -> None:
    """Warns at the line outside of this package that called."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].startswith("keras_gen."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
