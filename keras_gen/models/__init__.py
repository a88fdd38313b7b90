"""The models, one file each."""

from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.base_model import BaseModel
from keras_gen.models.cgan import CGAN
from keras_gen.models.classifier import Classifier
from keras_gen.models.cnn_classifier import CNNClassifier
from keras_gen.models.gan import GAN
from keras_gen.models.generative_model import GenerativeModel
from keras_gen.models.image_model import ImageModel
from keras_gen.models.lstm_text_generator import LSTMTextGenerator
from keras_gen.models.mlp_classifier import MLPClassifier
from keras_gen.models.text_generator import TextGenerator
from keras_gen.models.vae import VAE
from keras_gen.models.wgan_gp import WGANGP

__all__ = [
    "CGAN",
    "GAN",
    "VAE",
    "WGANGP",
    "Autoencoder",
    "BaseModel",
    "CNNClassifier",
    "Classifier",
    "GenerativeModel",
    "ImageModel",
    "LSTMTextGenerator",
    "MLPClassifier",
    "TextGenerator",
]
