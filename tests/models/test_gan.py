"""The GAN as a game: the two losses, the penalty inside them, and what never mixes."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from diptych.models import GAN, Moment
from diptych.networks import MLPDecoder, MLPEncoder

START = Moment(0.0, 0)
L = 3


class Always(nn.Module):
    """A generator that makes the same image from every code."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, z: Tensor) -> Tensor:
        return self.image.expand(len(z), *self.image.shape)


class Linear(nn.Module):
    """D(x) = w . x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(1).sum(1, keepdim=True)


def smooth_gan(shape=(2,), **settings) -> GAN:
    torch.manual_seed(0)
    return GAN(
        MLPDecoder(L, shape, width=6, depth=1),
        MLPEncoder(shape, 1, width=6, depth=1),
        event_shape=shape,
        latent_dim=L,
        **settings,
    ).double()


def linear_gan(shape, **settings) -> GAN:
    torch.manual_seed(0)
    image, weight = torch.randn(2, *shape, dtype=torch.float64)
    return GAN(
        Always(torch.tanh(image)), Linear(weight), event_shape=shape, latent_dim=L, **settings
    )


def batch(shape, n=6) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(n, *shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2,), (1, 3, 3)])
def test_losses_are_those_of_the_paper_on_images_around_zero(shape):
    gan, images = linear_gan(shape), batch(shape)
    inside = 2 * images - 1 if len(shape) == 3 else images
    real = gan.discriminator(inside)
    fake = gan.discriminator(gan.generator.image[None])
    expected = softplus(-real).mean() + softplus(fake).mean()
    torch.testing.assert_close(gan.loss_discriminator(images, START).loss, expected)
    torch.testing.assert_close(gan.loss_generator(images, START).loss, softplus(-fake).mean())


def test_the_minimax_game_is_another_game():
    images = batch((2,))
    fake = linear_gan((2,)).discriminator(linear_gan((2,)).generator.image[None])
    minimax = linear_gan((2,), loss="minimax").loss_generator(images, START).loss
    torch.testing.assert_close(minimax, -softplus(fake).mean())


def test_the_discriminators_loss_has_no_path_into_the_generator():
    for gan in (smooth_gan(), smooth_gan(r1_gamma=1.0)):
        gan.loss_discriminator(batch((2,)), START).loss.backward()
        assert all(p.grad is None for p in gan.generator.parameters())
        assert all(p.grad is not None for p in gan.discriminator.parameters())


def test_the_generators_gradient_passes_through_a_frozen_discriminator():
    gan = smooth_gan()
    gan.discriminator.requires_grad_(False)
    gan.loss_generator(batch((2,)), START).loss.backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in gan.generator.parameters())
    assert all(p.grad is None for p in gan.discriminator.parameters())


def test_the_batch_itself_is_left_alone():
    """For points the penalty is taken at the very values of the batch."""
    images = batch((2,))
    before = images.clone()
    smooth_gan(r1_gamma=1.0).loss_discriminator(images, START).loss.backward()
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert images.grad is None


@pytest.mark.parametrize("shape", [(2,), (1, 3, 3)])
def test_r1_is_taken_in_the_games_own_range(shape):
    """For D(x) = w . x with x in [-1, 1] it is gamma/2 |w|^2; in [0, 1] it would be four times."""
    gamma = 0.8
    gan = linear_gan(shape, r1_gamma=gamma)
    penalty = gan.loss_discriminator(batch(shape), START).named["r1"]
    torch.testing.assert_close(
        penalty, gamma / 2 * gan.discriminator.weight.detach().square().sum()
    )


def discriminator_gradient(gan: GAN, images: Tensor, step: int) -> Tensor:
    loss = gan.loss_discriminator(images, Moment(0.0, step)).loss
    gradients = torch.autograd.grad(loss, list(gan.discriminator.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("interval", [1, 4, 7])
def test_a_lazy_penalty_has_the_same_mean_gradient(interval):
    images = batch((2,))
    lazy = smooth_gan(r1_gamma=0.7, r1_interval=interval)
    eager = smooth_gan(r1_gamma=0.7)
    for gan in (lazy, eager):
        gan.generator = Always(torch.tensor([0.2, -0.4], dtype=torch.float64))
    gradients = [discriminator_gradient(lazy, images, step) for step in range(2 * interval)]
    torch.testing.assert_close(
        torch.stack(gradients).mean(0), discriminator_gradient(eager, images, 0)
    )


def test_a_lazy_penalty_is_reported_as_it_is_and_only_when_due():
    gan = smooth_gan(r1_gamma=0.7, r1_interval=3)
    eager = smooth_gan(r1_gamma=0.7)
    images = batch((2,))
    due = [step for step in range(9) if "r1" in gan.loss_discriminator(images, Moment(0, step))[1]]
    assert due == [0, 3, 6]
    torch.testing.assert_close(
        gan.loss_discriminator(images, START).named["r1"],
        eager.loss_discriminator(images, START).named["r1"],
    )


def test_doubling_the_batch_does_not_change_the_losses():
    gan, images = linear_gan((1, 3, 3), r1_gamma=2.0), batch((1, 3, 3))
    for loss in (gan.loss_discriminator, gan.loss_generator):
        once, twice = loss(images, START).loss, loss(images.repeat(2, 1, 1, 1), START).loss
        torch.testing.assert_close(once, twice)


def test_real_and_generated_images_never_share_batch_statistics():
    """A discriminator with batch normalisation must not learn from how a batch is mixed."""
    seen: list[Tensor] = []
    gan = smooth_gan()
    gan.discriminator = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)).double()
    gan = GAN(gan.generator, gan.discriminator, event_shape=(2,), latent_dim=L).double()
    gan.discriminator[0].register_forward_hook(
        lambda module, inputs, out: seen.append(inputs[0]) if module.training else None
    )
    images = batch((2,)) + 100.0
    gan.loss_discriminator(images, START)
    assert len(seen) == 2
    assert torch.equal(seen[0], images)
    assert float(seen[1].max()) < 50


@pytest.mark.parametrize("due", [True, False])
def test_it_makes_no_difference_whether_the_penalty_is_due_to_the_plain_loss(due):
    """Real and fake may be judged in one pass or in two: the logits are the same."""
    gan, plain = smooth_gan(r1_gamma=0.5, r1_interval=2), smooth_gan()
    images = batch((2,))
    losses = []
    for game in (gan, plain):
        torch.manual_seed(4)
        losses.append(game.loss_discriminator(images, Moment(0.0, 0 if due else 1)).named["loss"])
    torch.testing.assert_close(*losses)


def test_every_turn_draws_noise_of_its_own():
    gan, images = smooth_gan(), batch((2,))
    torch.manual_seed(0)
    losses = [gan.loss_generator(images, START).loss.item() for _ in range(3)]
    assert len(set(losses)) == 3


def test_reused_fakes_are_the_generators_own_and_are_judged_once():
    gan, images = smooth_gan(reuse_fakes=True), batch((2,))
    assert [turn.name for turn in gan.turns()] == ["generator", "discriminator"]
    made: list[Tensor] = []
    judged: list[Tensor] = []
    gan.generator.register_forward_hook(lambda module, inputs, out: made.append(out))
    gan.discriminator.register_forward_hook(lambda module, inputs, out: judged.append(inputs[0]))
    gan.loss_generator(images, START)
    gan.loss_discriminator(images, START).loss.backward()
    assert len(made) == 1
    assert torch.equal(judged[-1][-len(images) :], made[0])
    assert not judged[-1].requires_grad
    gan.loss_discriminator(images, START)
    assert len(made) == 2, "kept fakes are used up: these are new"


def test_codes_of_its_own_images_are_found():
    gan = smooth_gan().eval()
    images = gan.sample(16, seed=0)
    error = (gan.reconstruct(images, seed=1) - images).abs().amax(1)
    # A search from a few starts: now and then one of them ends in another valley.
    assert int((error < 0.02).sum()) >= 15
    assert float(error.median()) < 1e-3


def test_the_search_is_seeded_and_leaves_no_gradient():
    gan, images = smooth_gan().eval(), batch((2,), 2)
    assert torch.equal(gan.find_codes(images, seed=1), gan.find_codes(images, seed=1))
    assert all(p.grad is None for p in gan.parameters())


def test_interpolation_follows_the_great_circle():
    gan = smooth_gan().eval()
    start = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    end = torch.tensor([[0.0, 2.0, 0.0]], dtype=torch.float64)
    middle = gan.interpolate(start, end, steps=3)[:, 1]
    arc = torch.tensor([[2**0.5, 2**0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(middle, gan.decode_mean(arc).detach())
