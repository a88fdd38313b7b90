"""Stops a run whose losses are no longer finite, and reports which loss and when."""

import keras
import numpy as np

from keras_gen.utils.arguments import checked

LEAST_SCALE = 2.0**-10  # of losses in float16; one that is at work stays above 1


class FiniteGuard(keras.callbacks.Callback):
    """Raises an error as soon as any logged value is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` checks `loss` only. A keras_gen model records the exact step, even
    within a call of `steps_per_execution` steps; for other models, the error gives the range of steps.

    Raises:
        FloatingPointError: A loss was not finite. The message says which, where, and what to try.

    Example:

    >>> guard = FiniteGuard()
    """

    @checked
    def __init__(self) -> None:
        super().__init__()

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._epoch, self._last_batch = 0, -1

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._last_batch = epoch, -1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value).all()]
        if bad:
            raise FloatingPointError(self._message(bad, batch))
        self._last_batch = batch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # Loss scaling leaves out each update whose gradient is not finite, and halves its scale.
        names = getattr(self.model, "updates_per_step", lambda: ("optimizer",))()
        for name in names:
            scale = getattr(getattr(self.model, name, None), "dynamic_scale", None)
            if scale is not None and float(scale) < LEAST_SCALE:
                raise FloatingPointError(
                    f"Gradients for the {name} overflow float16 in every step, so that nothing is learned "
                    f"any longer (epoch {epoch + 1}, loss scale {float(scale):.2g}). "
                    "Train in mixed_bfloat16 or float32, or try a tenth of the learning rate."
                )

    def _message(self, bad: list[str], batch: int) -> str:
        where = f"epoch {self._epoch + 1}, between steps {self._last_batch + 2} and {batch + 1}"
        found = ", ".join(bad)
        if hasattr(self.model, "non_finite_losses"):
            steps = self.model.non_finite_losses()
            first = min(steps.values(), default=None)
            if first is not None:
                found = ", ".join(name for name, step in steps.items() if step == first)
                where = f"step {first} (epoch {self._epoch + 1})"
        return (
            f"{found} was not finite at {where}. Most common causes: pixels in [0, 255] given as "
            "floating point, a learning rate that is too high, a weight that overflows float16. "
            "Try a tenth of the learning rate."
        )
