"""Trains a conditional diffusion model on the embedded garments, and calls what it offers.

    python scripts/train_diffusion.py [FOLDER]

The folder (runs/train_diffusion by default) gets TensorBoard logs, pictures, diffusion.keras and a
SavedModel.
"""

import sys
from pathlib import Path

import keras_gen as kg
from keras_gen.utils.pictures import grid, write_png

import numpy as np

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/train_diffusion")
logs = folder / "logs"

data = kg.load_dataset("fashion_mnist_12k", batch_size=32, seed=0)

model = kg.DiffusionModel(
    image_shape=data.image_shape,
    num_classes=data.num_classes,
    class_names=data.class_names,
    dtype="auto",
    seed=0,
)
model.compile()  # Muon, or compile(optimizer=...)
model.fit(
    data.train,
    validation_data=data.test,
    epochs=12,
    callbacks=[
        kg.callbacks.TrainingCurves(logs),
        kg.callbacks.SampleGrid(logs),
        kg.callbacks.GenerationSteps(logs),
        kg.callbacks.LossByTime(logs, *data.test_images(200)),
        kg.callbacks.FiniteGuard(),
    ],
)

labels = np.repeat(np.arange(10), 8)
write_png(folder / "samples.png", grid(model.generate(labels=labels, seed=0), columns=8))

# The lower half of test images, filled in; and test images with noise, removed.
images, classes = data.test_images(16)
mask = np.zeros(data.image_shape[:2], bool)
mask[14:] = True
write_png(folder / "inpainted.png", grid(model.inpaint(images, mask, labels=classes, seed=0)))
noisy = images / 255.0 + np.random.default_rng(0).normal(0.0, 0.2, images.shape)
write_png(folder / "denoised.png", grid(model.denoise(noisy, noise_rate=0.2, labels=classes)))

# From one image to another, through the noise that becomes them.
z = model.encode(images, labels=classes)
path = model.interpolate(z[:4], z[4:8], labels=classes[:4], num_steps=8)
write_png(folder / "interpolated.png", grid(path.reshape(-1, *data.image_shape), columns=8))

print("log p of test images, nats:", model.log_prob(images[:4], labels=classes[:4]))
print(kg.metrics.measure(model, data).table())
model.save(folder / "diffusion.keras")
model.export(folder / "serving" / "1")  # for TensorFlow Serving, needs no keras_gen
print("Look at", folder, "and run: tensorboard --logdir", logs)
