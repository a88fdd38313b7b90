"""Things that happen at a moment of training, for any `model.fit`."""

from keras_gen.callbacks.confusion_matrix import ConfusionMatrix
from keras_gen.callbacks.evaluation import Evaluation
from keras_gen.callbacks.finite_guard import FiniteGuard
from keras_gen.callbacks.gan_health import GANHealth
from keras_gen.callbacks.generation_steps import GenerationSteps
from keras_gen.callbacks.hardware_monitor import HardwareMonitor
from keras_gen.callbacks.latent_projector import LatentProjector
from keras_gen.callbacks.loss_by_time import LossByTime
from keras_gen.callbacks.picture_callback import PictureCallback
from keras_gen.callbacks.progress_bar import ProgressBar
from keras_gen.callbacks.reconstruction_grid import ReconstructionGrid
from keras_gen.callbacks.sample_callback import SampleCallback
from keras_gen.callbacks.sample_grid import SampleGrid
from keras_gen.callbacks.text_samples import TextSamples
from keras_gen.callbacks.time_budget import TimeBudget
from keras_gen.callbacks.training_curves import TrainingCurves

__all__ = [
    "ConfusionMatrix",
    "Evaluation",
    "FiniteGuard",
    "GANHealth",
    "GenerationSteps",
    "HardwareMonitor",
    "LatentProjector",
    "LossByTime",
    "PictureCallback",
    "ProgressBar",
    "ReconstructionGrid",
    "SampleCallback",
    "SampleGrid",
    "TextSamples",
    "TimeBudget",
    "TrainingCurves",
]
