"""Networks that take (channels, height, width) or the dimension of points, and know no losses."""

from diptych.networks.conv import ConvDecoder, ConvEncoder, resolutions
from diptych.networks.mlp import MLPDecoder, MLPEncoder
from diptych.networks.residual import ResidualDecoder, ResidualEncoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "ResidualDecoder",
    "ResidualEncoder",
    "resolutions",
]
