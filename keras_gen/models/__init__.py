"""The models, one file each."""

from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.base import GenerativeModel
from keras_gen.models.vae import VAE

__all__ = ["VAE", "Autoencoder", "GenerativeModel"]
