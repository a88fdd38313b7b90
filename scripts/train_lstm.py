"""Trains an LSTM on Python's reference, or a text of yours, and writes what it writes.

    python scripts/train_lstm.py [FILE [FOLDER]]

The folder (runs/train_lstm by default) gets TensorBoard logs, samples, lstm.keras and a SavedModel.
"""

import sys
from pathlib import Path

import keras_gen as kg

import keras

source = sys.argv[1] if len(sys.argv) > 1 else "python_docs"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/train_lstm")
logs = folder / "logs"
EPOCHS = 20

data = kg.load_text(source, tokenizer="char", sequence_length=128, batch_size=32, seed=0)
prompt = data.tokenizer.decode([data.test_ids[:40]]).numpy()[0].decode()

model = kg.LSTMTextGenerator(data.tokenizer, widths=(256,), dropout=0.3, seed=0)
learning_rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * data.steps_per_epoch)
model.compile(model.default_optimizer(learning_rate))
model.fit(
    data.train,
    validation_data=data.test,
    epochs=EPOCHS,
    callbacks=[
        kg.callbacks.TrainingCurves(logs),
        kg.callbacks.TextSamples(logs, prompts=["", prompt], text_dir=folder / "samples"),
        kg.callbacks.HardwareMonitor(logs, data.units_per_step, data.unit),
        kg.callbacks.FiniteGuard(),
    ],
)

print(kg.metrics.measure(model, data).table())  # beside models that only count
print("The likeliest characters after the prompt:", model.next_token_probabilities(prompt, k=5))
for piece in model.stream(prompt, max_tokens=300, temperature=0.7, seed=0):
    print(piece, end="", flush=True)
print()

model.save(folder / "lstm.keras")  # weights, tokenizer, optimizer and random state: training can go on
model.export(folder / "serving" / "1")  # for TensorFlow Serving: strings in, strings out
print("Look at", folder / "samples", "and run: tensorboard --logdir", logs)
