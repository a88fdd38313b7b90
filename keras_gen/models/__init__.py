"""The models, one file each. An import here makes a model public, as keras_gen.NAME, too."""

from keras_gen.models.autoencoders.autoencoder import Autoencoder as Autoencoder
from keras_gen.models.autoencoders.vae import VAE as VAE
from keras_gen.models.autoregressive.lstm_text_generator import LSTMTextGenerator as LSTMTextGenerator
from keras_gen.models.base.base_model import BaseModel as BaseModel
from keras_gen.models.base.classifier import Classifier as Classifier
from keras_gen.models.base.image_generator import ImageGenerator as ImageGenerator
from keras_gen.models.base.image_model import ImageModel as ImageModel
from keras_gen.models.base.latent_generator import LatentGenerator as LatentGenerator
from keras_gen.models.base.text_generator import TextGenerator as TextGenerator
from keras_gen.models.classifiers.cnn_classifier import CNNClassifier as CNNClassifier
from keras_gen.models.classifiers.mlp_classifier import MLPClassifier as MLPClassifier
from keras_gen.models.diffusion.adversarial_mean_flow import AdversarialMeanFlow as AdversarialMeanFlow
from keras_gen.models.diffusion.diffusion_model import DiffusionModel as DiffusionModel
from keras_gen.models.diffusion.mean_flow import MeanFlow as MeanFlow
from keras_gen.models.gans.cgan import CGAN as CGAN
from keras_gen.models.gans.gan import GAN as GAN
from keras_gen.models.gans.wgan_gp import WGANGP as WGANGP
