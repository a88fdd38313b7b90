"""Trains a WGAN-GP on the embedded garments through the Python API, and writes what it draws.

    python scripts/train_wgan_gp.py [FOLDER]

The folder (runs/train_wgan_gp by default) gets TensorBoard logs, pictures, wgan_gp.keras and a SavedModel.
"""

import sys
from pathlib import Path

import keras_gen as kg
from keras_gen.utils.pictures import grid, write_png

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/train_wgan_gp")
logs = folder / "logs"

data = kg.load_dataset("fashion_mnist_12k", batch_size=32, seed=0)

model = kg.WGANGP(image_shape=data.image_shape, gradient_penalty_weight=10.0, seed=0)
model.compile()  # two optimizers: compile(generator_optimizer=..., discriminator_optimizer=...)
model.fit(
    data.train,
    epochs=20,
    callbacks=[
        kg.callbacks.TrainingCurves(logs),
        kg.callbacks.SampleGrid(logs),
        kg.callbacks.GANHealth(logs),
        kg.callbacks.FiniteGuard(),
    ],
)

write_png(folder / "samples.png", grid(model.generate(64, seed=0)))
print(kg.metrics.measure(model, data).table())

model.save(folder / "wgan_gp.keras")  # both networks, both optimizers, the average: training can go on
model.export(folder / "serving" / "1")  # for TensorFlow Serving, needs no keras_gen
print("Look at", folder / "samples.png", "and run: tensorboard --logdir", logs)
