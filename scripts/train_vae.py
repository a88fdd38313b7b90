"""Trains a VAE on the embedded garments through the Python API, and writes what it draws.

    python scripts/train_vae.py [FOLDER]

The folder (runs/train_vae by default) gets TensorBoard logs, pictures, vae.keras and a SavedModel.
"""

import sys
from pathlib import Path

import keras_gen as kg
from keras_gen.utils.pictures import grid, write_png

import keras

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/train_vae")
logs = folder / "logs"

data = kg.load_dataset("fashion_mnist_12k", seed=0)
test_images, test_labels = next(iter(data.test))

model = kg.VAE(image_shape=data.image_shape, latent_dim=16, seed=0)
model.compile(optimizer=keras.optimizers.Adam(1e-3))
model.fit(
    data.train,
    validation_data=data.test,
    epochs=10,
    callbacks=[
        kg.callbacks.TrainingCurves(logs),
        kg.callbacks.SampleGrid(logs),
        kg.callbacks.ReconstructionGrid(logs, test_images[:18]),
        kg.callbacks.LatentProjector(logs, test_images, test_labels, data.class_names),
        kg.callbacks.HardwareMonitor(logs, data.batch_size),
        kg.callbacks.FiniteGuard(),
    ],
)

write_png(folder / "samples.png", grid(model.generate(64, seed=0)))
print("cross-entropy of a test image, in nats:", -model.log_prob(test_images, num_samples=64).mean())

model.save(folder / "vae.keras")  # weights, optimizer and random state: training can go on
model.export(folder / "serving" / "1")  # for TensorFlow Serving, needs no keras_gen
print("Look at", folder / "samples.png", "and run: tensorboard --logdir", logs)
