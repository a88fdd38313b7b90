"""The models, one file each."""

from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.classifier import Classifier
from keras_gen.models.cnn_classifier import CNNClassifier
from keras_gen.models.generative_model import GenerativeModel
from keras_gen.models.image_model import ImageModel
from keras_gen.models.mlp_classifier import MLPClassifier
from keras_gen.models.vae import VAE

__all__ = [
    "VAE",
    "Autoencoder",
    "CNNClassifier",
    "Classifier",
    "GenerativeModel",
    "ImageModel",
    "MLPClassifier",
]
