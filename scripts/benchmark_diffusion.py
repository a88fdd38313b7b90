"""The diffusion model's part of `scripts/benchmark.py`."""

import keras_gen as kg
from keras_gen.utils.devices import resolve_dtype
from keras_io_diffusion import BATCH_SIZE as TUTORIAL_BATCH_SIZE
from keras_io_diffusion import LEARNING_RATE, WEIGHT_DECAY, TutorialDiffusion, build_network
from timing import matrix_product_rate, multiplications, seconds_of, take_turns

import keras

BATCH_SIZE = 32  # the recipe's
NUM_IMAGES = 1920  # of an epoch, here
NUM_SAMPLES = 500  # that are timed


def main(seconds: float, dtype_policy: str | None) -> None:
    policy = resolve_dtype(dtype_policy or "auto")
    data = kg.load_dataset(batch_size=BATCH_SIZE)
    images = data.test_images(NUM_IMAGES)[0].astype("float32") / 255
    model = kg.DiffusionModel(image_shape=data.image_shape, dtype=policy, seed=0)
    model.compile()
    model.steps_trained.assign(model.guide_steps)  # the guide is trained in the first minutes alone

    def ours() -> None:
        model.fit(images, batch_size=BATCH_SIZE, verbose=0)

    same = TutorialDiffusion(keras.models.clone_model(model.network), takes_variances=False)
    keras.config.set_dtype_policy(policy)
    tutorial = TutorialDiffusion(build_network(data.image_shape))
    keras.config.set_dtype_policy("float32")
    print(f"training, {policy}, images of {data.image_shape}, {model.count_params():,} weights")
    ours()  # which traces
    for name, plain, batch_size in (
        ("our network in a plain Keras loop", same, BATCH_SIZE),
        ("keras.io's network in its loop", tutorial, TUTORIAL_BATCH_SIZE),
    ):
        plain.compile(keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY))

        def theirs(plain: keras.Model = plain, batch_size: int = batch_size) -> None:
            plain.fit(images, batch_size=batch_size, verbose=0)

        theirs()
        their_time, our_time, ratio = take_turns(theirs, ours, seconds)
        print(
            f"{name:<34}{NUM_IMAGES / their_time:7,.0f} images/s, ours {NUM_IMAGES / our_time:,.0f}", end=""
        )
        print(f", {ratio:.2f} times as fast")
    work, rate = 6 * multiplications(model.network), matrix_product_rate(model.compute_dtype)  # of a step
    print(f"a training step reaches {work * NUM_IMAGES / our_time / rate:.0%} of a large matrix product's")
    print(f"{rate / 1e9:,.0f} GFLOP/s ({work / 1e6:.0f} MFLOP/image)")
    for num_steps, guidance in ((20, 1.5), (20, 1.0)):
        options = {"num_steps": num_steps, "guidance": guidance, "seed": 0}
        model.generate(2, **options)
        taken = min(
            seconds_of(lambda options=options: model.generate(NUM_SAMPLES, **options)) for _ in range(3)
        )
        minutes = 10_000 * taken / NUM_SAMPLES / 60
        print(f"10,000 images, {num_steps} steps, guidance {guidance:g}: {minutes:.1f} minutes")
