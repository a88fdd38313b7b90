"""A text generator: an LSTM reads a text token by token, and predicts the next one.

    log p(x) = sum over t of log p(x_t | x_1 ... x_(t-1)),  p = softmax(logits of the LSTM's output)

The network's state is all that it remembers of what came before [1], so that a text is written in one
compiled loop, a token a step, however long it gets. Differences from the paper: Adam with clipped gradients
[2], and the layers are trained on windows of the text, each from an empty state.

References:
    1. Graves 2013, Generating Sequences With Recurrent Neural Networks, arXiv 1308.0850.
    2. Pascanu et al. 2013, On the difficulty of training Recurrent Neural Networks, arXiv 1211.5063.
    3. Press & Wolf 2017, Using the Output Embedding to Improve Language Models, arXiv 1608.05859.
    4. Gal & Ghahramani 2016, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks,
       arXiv 1512.05287.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_gen.layers import LSTM, Dropout, child_seed
from keras_gen.models.base.text_generator import TextGenerator, TokenizerArgument
from keras_gen.models.networks import sum_of_losses
from keras_gen.optimizers import Adam
from keras_gen.utils.arguments import Count, Fraction, Seed, Widths, checked, received
from keras_gen.utils.memory import refuse_beyond_memory

States = list[list[tf.Tensor]]  # output and cell of each LSTM layer, (n, width) each


@keras.saving.register_keras_serializable("keras_gen")
class LSTMTextGenerator(TextGenerator, keras.Sequential):
    """Text generator of LSTM layers: a `keras.Sequential`, token ids (n, t) -> logits (n, t, vocabulary).

    Args:
        tokenizer: Maps strings to token ids and back, as `load_text(...).tokenizer`; saved with the model.
        embedding_dim: Length of a token's embedding, 1 or more.
        widths: Units of each LSTM layer.
        dropout: Fraction of each layer's units that is dropped in training, for a whole row of tokens [4],
            from 0 to less than 1.
        tie_weights: Use the embedding's weights for the logits, too [3].
        per_document: Whether each text is a whole document with a beginning; otherwise it is a piece
            of running text.
        seed: Integer that determines the initial weights and dropout; random by default.
        dtype: Precision to compute in, as for any Keras model.
        name: As for any Keras model.
        trainable: Likewise.

    Raises:
        ValueError: An argument is of another type or out of range, or the weights would not fit into
            memory.

    Example:

    >>> import keras_gen as kg
    >>> data = kg.load_text(["to be or not to be, "] * 200, sequence_length=16, batch_size=8)
    >>> model = LSTMTextGenerator(data.tokenizer, embedding_dim=8, widths=(32,), seed=0)
    >>> model.compile()
    >>> history = model.fit(data.train, validation_data=data.test, epochs=1, verbose=0)
    >>> sorted(history.history)[:3]
    ['bits_per_character', 'loss', 'perplexity']
    >>> len(model.generate("to be", max_tokens=13, seed=0))
    18
    """

    @checked
    def __init__(
        self,
        tokenizer: TokenizerArgument,
        embedding_dim: Count = 128,
        widths: Widths = (256,),
        dropout: Fraction = 0.0,
        tie_weights: bool = False,
        per_document: bool = False,
        seed: Seed | None = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ):
        refuse_beyond_memory(
            8 * num_weights(tokenizer.vocabulary_size, embedding_dim, widths, tie_weights),
            f"embedding_dim={embedding_dim}, widths={received(widths)}",
            "Choose fewer.",
        )
        super().__init__(tokenizer, per_document, seed, dtype, name, trainable)
        self.embedding_dim = embedding_dim
        self.widths = tuple(widths)
        self.dropout = dropout
        self.tie_weights = tie_weights
        self._add_layers()

    def _add_layers(self) -> None:
        numbers = itertools.count()

        def seed() -> int | None:
            return child_seed(self.seed, f"layer {next(numbers)}")

        size, dtype = self.tokenizer.vocabulary_size, self.dtype_policy
        uniform = keras.initializers.RandomUniform(seed=seed())
        embedding = layers.Embedding(size, self.embedding_dim, uniform, dtype=dtype)
        self.add(keras.Input((None,), dtype="int32"))
        self.add(embedding)  # (n, t, embedding_dim)
        for width in self.widths:
            glorot = keras.initializers.GlorotUniform(seed=seed())
            orthogonal = keras.initializers.Orthogonal(seed=seed())
            options = {"kernel_initializer": glorot, "recurrent_initializer": orthogonal, "seed": seed()}
            self.add(LSTM(width, return_sequences=True, dtype=dtype, **options))  # (n, t, width)
            if self.dropout:
                # The same units for all tokens [4]: noise for each would take most of a step's time.
                all_tokens = (None, 1, None)
                self.add(Dropout(self.dropout, all_tokens, seed=seed(), dtype=dtype))
        glorot = keras.initializers.GlorotUniform(seed=seed())
        if not self.tie_weights:
            self.add(layers.Dense(size, kernel_initializer=glorot, dtype="float32", name="logits"))
            return  # (n, t, vocabulary_size)
        if self.widths[-1] != self.embedding_dim:
            self.add(layers.Dense(self.embedding_dim, kernel_initializer=glorot, dtype=dtype))
        self.add(TiedLogits(embedding, dtype="float32", name="logits"))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "widths": self.widths,
            "dropout": self.dropout,
            "tie_weights": self.tie_weights,
        }

    # === Training ===

    default_learning_rate = 4e-3

    def default_optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        """Adam, with gradients clipped to a global norm of 1 [2]."""
        rate = self.default_learning_rate if learning_rate is None else learning_rate
        return Adam(rate, global_clipnorm=1.0)

    def train_step(self, data: Any) -> dict:
        inputs, targets, sample_weight, _ = self.unpack(data)
        with tf.GradientTape() as tape:
            logits = self(inputs, training=True)
            nats = self.nats(logits, targets)
            loss = self.mean_nats(nats, targets, sample_weight) + sum_of_losses(self)
            scaled_loss = self.scale_loss(loss, self.count(targets))
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.report(loss, nats, targets, logits, sample_weight)

    def test_step(self, data: Any) -> dict:
        inputs, targets, sample_weight, _ = self.unpack(data)
        logits = self(inputs, training=False)
        nats = self.nats(logits, targets)
        loss = self.mean_nats(nats, targets, sample_weight) + sum_of_losses(self)
        return self.report(loss, nats, targets, logits, sample_weight)

    # === Generation ===

    def step(self, token_ids: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """One token of each text, (n,) -> the next one's logits, float32 (n, v), and the states then."""
        x: Any = token_ids
        remaining, new_states = iter(states), []
        for layer in self.layers:
            if isinstance(layer, LSTM):
                x, state = layer.cell(x, next(remaining))
                new_states.append(state)
            else:
                x = layer(x)
        return tf.cast(x, tf.float32), new_states

    def empty_states(self, n: tf.Tensor) -> States:
        """What the LSTM layers remember before the first token."""
        return [[tf.zeros((n, width), self.dtype_policy.compute_dtype)] * 2 for width in self.widths]

    # === Export ===

    def portable_network(self) -> keras.Model:
        """One token's step, of Keras' own layers in float32, since other runtimes know no strings.

        `token_ids` (n,) and, for each LSTM layer, its `output_K` and `cell_K` (n, width), zeros before the
        first token -> logits (n, vocabulary_size), and the outputs and cells after the token.
        """
        token_ids = keras.Input((), dtype="int32", name="token_ids")
        inputs: list[Any] = [token_ids]
        outputs: list[Any] = []
        x: Any = token_ids

        def copied(layer: layers.Layer, weights: list[np.ndarray], *arguments: Any) -> Any:
            found = layer(*arguments)
            layer.set_weights(weights)
            return found

        for layer in self.layers:
            if isinstance(layer, layers.Embedding):
                plain = layers.Embedding(layer.input_dim, layer.output_dim, dtype="float32")
                x = copied(plain, layer.get_weights(), x)
            elif isinstance(layer, LSTM):
                names = [f"{name}_{len(outputs) // 2}" for name in ("output", "cell")]
                states = [keras.Input((layer.units,), name=name) for name in names]
                cell = layers.LSTMCell(layer.units, dtype="float32")
                x, new_states = copied(cell, layer.get_weights(), x, states)
                inputs += states
                outputs += new_states
            elif isinstance(layer, TiedLogits):
                weights = [layer.embedding.get_weights()[0].T, layer.bias.numpy()]
                x = copied(layers.Dense(layer.embedding.input_dim, dtype="float32"), weights, x)
            elif isinstance(layer, layers.Dense):
                x = copied(layers.Dense(layer.units, dtype="float32"), layer.get_weights(), x)
        return keras.Model(inputs, [x, *outputs], name=self.name)


def num_weights(vocabulary_size: int, embedding_dim: int, widths: Sequence[int], tie_weights: bool) -> int:
    """How many numbers the layers learn."""
    inputs = [embedding_dim, *widths]
    total = vocabulary_size * embedding_dim
    total += sum(4 * width * (before + width + 1) for before, width in itertools.pairwise(inputs))
    return total + (widths[-1] + 1) * (embedding_dim if tie_weights else vocabulary_size)


@keras.saving.register_keras_serializable("keras_gen")
class TiedLogits(layers.Layer):
    """Logits by the weights of an embedding, and a bias of their own [3]."""

    def __init__(self, embedding: layers.Embedding, **kwargs: Any):
        super().__init__(**kwargs)
        self.embedding = embedding

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(shape=(self.embedding.input_dim,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(self.embedding.embeddings, inputs.dtype)
        # One matrix product; tf.einsum("...d,vd->...v") makes one for each token, with a gradient of each.
        return tf.tensordot(inputs, weights, ((-1,), (1,))) + tf.cast(self.bias, inputs.dtype)
