"""Many images, fast: the same values as decoding one by one, whatever the number and the batch."""

import copy
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.errors import DataError
from diptych.models import GAN, random_stream
from diptych.models import drawing as drawing_module
from diptych.models.build import build
from diptych.models.drawing import to_bytes, write_blocks, write_samples
from diptych.models.sampling import Sampler
from diptych.networks.columns import ByColumns
from diptych.networks.conv import ConvDecoder
from diptych.recipes import builtin_names, load_recipe


def looks_trained(game):
    """With batch statistics as far from those of a fresh network as trained ones are."""
    with random_stream(1), torch.no_grad():
        for module in game.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.3, 3.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    return game.eval()


def plainly(game, n: int, seed: int) -> torch.Tensor:
    """The slow twin: the game's own decoder, one code at a time."""
    with torch.inference_mode():
        return torch.cat([game.decode_mean(z) for z in game.sample_codes(n, seed=seed).split(1)])


SHAPES = {"even": (1, 16, 16), "odd": (3, 13, 19)}


@pytest.mark.parametrize("sides", SHAPES)
@pytest.mark.parametrize("name", builtin_names())
def test_every_recipe_decodes_the_same_and_conv_decoders_keep_no_norm(name, sides):
    if sides == "odd" and load_recipe(name).model.network.kind not in ("conv", "mlp"):
        pytest.skip("made for sizes that can be halved")
    game = looks_trained(build(name, SHAPES[sides]))
    sampler = Sampler(game)
    decoders = [module for module in game.modules() if isinstance(module, ConvDecoder)]
    norms = sum(isinstance(m, _BatchNorm) for decoder in decoders for m in decoder.modules())
    assert sampler.folded >= norms >= 2 * len(decoders)
    expected = plainly(game, 7, seed=2)
    found = torch.cat(list(sampler.draw(7, seed=2)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(game.sample(7, seed=2), expected, atol=1e-5, rtol=0)
    coarse = torch.cat(list(Sampler(game, precision="bf16").draw(7, seed=2)))
    assert not torch.equal(coarse, found)
    torch.testing.assert_close(coarse, expected, atol=0.03, rtol=0)


@pytest.fixture(scope="module")
def gan(tiny_recipe):
    return looks_trained(build(tiny_recipe("gan"), (1, 12, 12)))


def test_the_game_itself_is_not_changed(gan):
    game = copy.deepcopy(gan)
    before = {name: value.clone() for name, value in game.state_dict().items()}
    names = [type(module) for module in game.modules()]
    ambient = torch.get_rng_state()
    game.sample(5, seed=0)
    Sampler(game, precision="bf16")
    assert torch.equal(torch.get_rng_state(), ambient)
    assert [type(module) for module in game.modules()] == names
    assert all(torch.equal(value, before[name]) for name, value in game.state_dict().items())


def test_later_changes_are_seen_by_the_next_sampler(gan):
    game = copy.deepcopy(gan)
    first = game.sample(5, seed=0)
    with torch.no_grad():
        for parameter in game.generator.parameters():
            parameter.mul_(0.5)
    assert not torch.allclose(game.sample(5, seed=0), first, atol=1e-3)


def test_a_game_in_training_normalises_over_its_batch(gan):
    game = copy.deepcopy(gan).train()
    assert Sampler(game).folded == 0
    with torch.inference_mode():
        expected = copy.deepcopy(game).decode_mean(game.sample_codes(32, seed=0))
    torch.testing.assert_close(game.sample(32, seed=0, batch_size=32), expected)


class Shared(nn.Module):
    """Uses the layer of a sequence a second time behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
        self.last = nn.Linear(6, 2)

    def forward(self, z):
        return self.last(self.sequence(z) + self.sequence[0](z).tanh())


def test_what_folding_would_change_is_decoded_by_the_game_itself():
    with random_stream(0):
        game = GAN(Shared(), nn.Linear(2, 1), event_shape=(2,), latent_dim=4)
    looks_trained(game)
    sampler = Sampler(game)
    assert sampler.folded == 0
    torch.testing.assert_close(
        sampler.decode(game.sample_codes(9, seed=0)), plainly(game, 9, seed=0)
    )


def test_a_last_layer_with_few_channels_is_a_product_of_matrices():
    game = build("gan", (1, 16, 16)).eval()
    kept = [module for module in Sampler(game)._game.modules() if isinstance(module, ByColumns)]
    assert len(kept) == 1


@pytest.mark.parametrize("n", [1, 15, 512, 513, 1100])
def test_the_first_of_many_are_those_of_few(gan, n):
    many = torch.cat(list(gan.code_blocks(1200, seed=4)))
    assert torch.equal(gan.sample_codes(n, seed=4), many[:n])
    assert torch.equal(torch.cat(list(gan.code_blocks(n, seed=4))), many[:n])
    assert len(torch.unique(many, dim=0)) == len(many)


def test_blocks_leave_the_ambient_stream_alone_between_them(gan):
    with random_stream(9):
        expected = torch.randn(4)
    with random_stream(9):
        blocks = gan.code_blocks(1100, seed=4)
        first = next(blocks)
        assert torch.equal(torch.randn(4), expected)
        rest = torch.cat([first, *blocks])
    assert torch.equal(rest, gan.sample_codes(1100, seed=4))


def test_the_ambient_stream_goes_on_without_a_seed(gan):
    with random_stream(9):
        codes = torch.cat(list(gan.code_blocks(600)))
        assert not torch.equal(torch.cat(list(gan.code_blocks(600))), codes)
    with random_stream(9):
        assert torch.equal(gan.sample_codes(600), codes)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 5_000])
def test_the_batch_decides_nothing(gan, batch_size):
    expected = gan.sample(70, seed=3)
    found = gan.sample(70, seed=3, batch_size=batch_size)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_larger_images_come_in_smaller_batches():
    sizes = [
        Sampler(build("gan", (1, side, side)).eval()).batch_size for side in (16, 32, 64, 128)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 4 * sizes[-1]


def test_nothing_may_be_asked_for(gan):
    assert gan.sample(0, seed=0).shape == (0, 1, 12, 12)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_file_written_in_blocks_is_what_sample_gives(ending, gan, tmp_path):
    path = tmp_path / f"many.{ending}"
    write_blocks(Sampler(gan).draw(1030, seed=1), 1030, gan.event_shape, path)
    found = np.load(path)
    array = found if ending == "npy" else found["images"]
    assert array.dtype == np.uint8
    assert np.array_equal(array, to_bytes(gan.sample(1030, seed=1)))
    if ending == "npz":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["images.npy"]


def test_points_are_written_as_they_are(tmp_path):
    game = build("gan-mlp", (2,)).eval()
    for ending in ("npy", "npz"):
        write_samples(game.sample(20, seed=1), tmp_path / f"points.{ending}")
    array = np.load(tmp_path / "points.npy")
    assert array.dtype == np.float32
    assert np.array_equal(array, game.sample(20, seed=1).numpy())
    assert np.array_equal(np.load(tmp_path / "points.npz")["points"], array)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_an_interruption_leaves_the_file_that_was_there(ending, gan, tmp_path):
    path = tmp_path / f"many.{ending}"
    path.write_text("precious")

    def stopping():
        yield from Sampler(gan).draw(600, seed=0)
        raise Stopped

    with pytest.raises(Stopped):
        write_blocks(stopping(), 2_000, gan.event_shape, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "precious"


@pytest.mark.parametrize("count", [69, 71])
def test_a_header_tells_no_lies(count, gan, tmp_path):
    with pytest.raises(ValueError, match=f"70 samples in a file of {count}"):
        write_blocks(Sampler(gan).draw(70), count, gan.event_shape, tmp_path / "many.npy")
    assert not any(tmp_path.iterdir())


def test_a_disk_too_small_is_told_before_anything_is_drawn(gan, tmp_path, monkeypatch):
    usage = drawing_module.shutil.disk_usage(tmp_path)._replace(free=100_000_000)
    monkeypatch.setattr(drawing_module.shutil, "disk_usage", lambda path: usage)

    def never():
        raise AssertionError("something was drawn")
        yield

    path = tmp_path / "many.npy"
    with pytest.raises(DataError, match=r"would take 144\.0 MB and 100\.0 MB are free there"):
        write_blocks(never(), 1_000_000, gan.event_shape, path)
    assert not any(tmp_path.iterdir())


MEMORY = """
import resource, sys
from pathlib import Path
from diptych.models.build import build
from diptych.models.drawing import write_blocks
from diptych.models.sampling import Sampler

game = build("gan-mlp", (1, 16, 16)).eval()
peaks = []
for count in (2_000, 60_000):
    write_blocks(Sampler(game).draw(count, seed=0), count, game.event_shape, Path(sys.argv[1]))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print((peaks[1] - peaks[0]) * 1024)
"""


def test_memory_does_not_grow_with_the_number(environment, tmp_path):
    path = tmp_path / "many.npy"
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY, path],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert np.load(path, mmap_mode="r").shape == (60_000, 16, 16, 1)
    # All of them are 15 MB as bytes and 61 MB as floats.
    assert int(ended.stdout) < 8_000_000
