"""The models, one file each. An import here makes a model public, as keras_gen.NAME, too."""

from keras_gen.models.autoencoder import Autoencoder as Autoencoder
from keras_gen.models.base_model import BaseModel as BaseModel
from keras_gen.models.cgan import CGAN as CGAN
from keras_gen.models.classifier import Classifier as Classifier
from keras_gen.models.cnn_classifier import CNNClassifier as CNNClassifier
from keras_gen.models.gan import GAN as GAN
from keras_gen.models.generative_model import GenerativeModel as GenerativeModel
from keras_gen.models.image_model import ImageModel as ImageModel
from keras_gen.models.lstm_text_generator import LSTMTextGenerator as LSTMTextGenerator
from keras_gen.models.mlp_classifier import MLPClassifier as MLPClassifier
from keras_gen.models.text_generator import TextGenerator as TextGenerator
from keras_gen.models.vae import VAE as VAE
from keras_gen.models.wgan_gp import WGANGP as WGANGP
