"""Models as games of players: the VAE of one turn, the GAN of two."""

from diptych.models.game import Game, Moment, Turn, random_stream
from diptych.models.gan import GAN
from diptych.models.vae import VAE

__all__ = ["GAN", "VAE", "Game", "Moment", "Turn", "random_stream"]
