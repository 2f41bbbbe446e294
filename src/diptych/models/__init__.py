"""Models as games of players: the VAE of one turn, the GAN and the hybrid of two."""

from diptych.models.game import Game, Moment, Turn, random_stream
from diptych.models.gan import GAN
from diptych.models.hybrid import VAEGAN
from diptych.models.vae import VAE

__all__ = ["GAN", "VAE", "VAEGAN", "Game", "Moment", "Turn", "random_stream"]
