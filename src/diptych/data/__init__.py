"""Data: found, looked at, prepared once into a packed cache, and split."""

from diptych.data.dataset import FEWEST_HELD_OUT, SPLITS, Data, Mixture, SplitName, describe
from diptych.data.load import load_data
from diptych.data.locations import cache_root, is_offline
from diptych.data.origin import Progress
from diptych.data.pictures import image_grid, scatter, write_png
from diptych.data.pixels import images_to_uint8
from diptych.data.points import MIXTURES, grid, ring
from diptych.data.sheet import contact_sheet

__all__ = [
    "FEWEST_HELD_OUT",
    "MIXTURES",
    "SPLITS",
    "Data",
    "Mixture",
    "Progress",
    "SplitName",
    "cache_root",
    "contact_sheet",
    "describe",
    "grid",
    "image_grid",
    "images_to_uint8",
    "is_offline",
    "load_data",
    "ring",
    "scatter",
    "write_png",
]
