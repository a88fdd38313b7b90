"""Trains a conditional GAN on the embedded garments through the Python API, and writes what it draws.

    python scripts/train_cgan.py [FOLDER]

The folder (runs/train_cgan by default) gets TensorBoard logs, pictures, cgan.keras and a SavedModel.
"""

import sys
from pathlib import Path

import keras_gen as kg
from keras_gen.utils.pictures import grid, write_png

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/train_cgan")
logs = folder / "logs"

data = kg.load_dataset("fashion_mnist_12k", batch_size=32, seed=0)

model = kg.CGAN(
    image_shape=data.image_shape,
    num_classes=data.num_classes,
    class_names=data.class_names,
    base="gan",  # or "wgan_gp"
    r1_weight=0.1,  # keeps the discriminator from running ahead, and samples varied
    penalty_share=0.25,
    seed=0,
)
model.compile()  # two optimizers: compile(generator_optimizer=..., discriminator_optimizer=...)
model.fit(
    data.train,
    epochs=20,
    callbacks=[
        kg.callbacks.TrainingCurves(logs),
        kg.callbacks.SampleGrid(logs),  # a row for each class
        kg.callbacks.GANHealth(logs),
        kg.callbacks.FiniteGuard(),
    ],
)

sneakers = model.generate(64, seed=0, labels=data.class_names.index("sneaker"))
write_png(folder / "samples.png", grid(sneakers))
print(kg.metrics.measure(model, data).table())

model.save(folder / "cgan.keras")  # both networks, both optimizers, the average: training can go on
model.export(folder / "serving" / "1")  # for TensorFlow Serving, needs no keras_gen
print("Look at", folder / "samples.png", "and run: tensorboard --logdir", logs)
