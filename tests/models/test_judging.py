"""The discriminator's turn: what R1 and R2 are taken of, when, and that they are never lost."""

import copy
import sys
import warnings

import pytest
import torch
from torch import Tensor, nn

from diptych.errors import PenaltyLost
from diptych.models import GAN, Moment
from diptych.models.judging import Judge
from diptych.networks import ConvEncoder, ResidualEncoder
from diptych.objectives import discriminator_loss, discriminator_loss_hinge

SHAPE = (1, 8, 8)


def discriminator(**settings) -> nn.Module:
    torch.manual_seed(0)
    return ConvEncoder(SHAPE, 1, width=3, **settings).double()


def both(n: int = 6, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    real, fake = 2 * torch.rand(2, n, *SHAPE, dtype=dtype) - 1
    return real, 0.5 * fake


def gradient(network: nn.Module, loss: Tensor) -> Tensor:
    parts = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


def plain_penalty(network: nn.Module, images: Tensor, gamma: float) -> Tensor:
    images = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    return gamma / 2 * slope.square().sum((1, 2, 3)).mean()


@pytest.mark.parametrize("loss", [discriminator_loss, discriminator_loss_hinge])
@pytest.mark.parametrize("gammas", [(0.7, 0.0), (0.0, 0.4), (0.7, 0.4)])
def test_r1_is_of_real_images_and_r2_of_generated_ones(gammas, loss):
    network, (real, fake) = discriminator(), both()
    terms = Judge(loss, *gammas).terms(network, real, fake, step=0)
    r1, r2 = (plain_penalty(network, x, g) for x, g in zip((real, fake), gammas, strict=True))
    plain = loss(network(real), network(fake))
    torch.testing.assert_close(terms.named["loss"], plain.detach())
    assert set(terms.named) & {"r1", "r2"} == {
        name for name, gamma in zip(("r1", "r2"), gammas, strict=True) if gamma
    }
    for name, expected in (("r1", r1), ("r2", r2)):
        if name in terms.named:
            torch.testing.assert_close(terms.named[name], expected.detach())
    torch.testing.assert_close(gradient(network, terms.loss), gradient(network, plain + r1 + r2))


@pytest.mark.parametrize("interval", [1, 3, 16])
def test_over_an_interval_the_lazy_gradient_is_the_plain_one(interval):
    network, (real, fake) = discriminator(), both()
    lazy = Judge(r1_gamma=0.7, r2_gamma=0.4, r1_interval=interval)
    gradients = [
        gradient(network, lazy.terms(network, real, fake, step=step).loss)
        for step in range(interval)
    ]
    every_step = Judge(r1_gamma=0.7, r2_gamma=0.4).terms(network, real, fake, step=5)
    torch.testing.assert_close(torch.stack(gradients).mean(0), gradient(network, every_step.loss))


def test_adam_takes_one_step_per_step_whatever_the_interval():
    """With SGD, lazy and plain then end at the same weights; no rate was corrected for it."""
    taken, ends = {}, {}
    for interval in (1, 4):
        network, (real, fake) = discriminator(), both()
        judge = Judge(r1_gamma=0.5, r1_interval=interval)
        adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
        for step in range(8):
            adam.zero_grad()
            judge.terms(network, real, fake, step=step).loss.backward()
            adam.step()
        taken[interval] = {int(state["step"]) for state in adam.state.values()}
        network = discriminator()
        total = sum(
            gradient(network, judge.terms(network, real, fake, step=step).loss)
            for step in range(8)
        )
        ends[interval] = total
    assert taken == {1: {8}, 4: {8}}
    torch.testing.assert_close(ends[1], ends[4])


def test_by_differences_the_terms_are_the_same_and_gradients_near():
    network, (real, fake) = discriminator(), both(64)
    for index, layer in enumerate(network.body):
        if isinstance(layer, nn.LeakyReLU):
            network.body[index] = nn.Softplus()
    results = {}
    for form in ("exact", "finite-difference"):
        judge = Judge(r1_gamma=0.7, r2_gamma=0.4, penalty=form)
        terms = judge.terms(network, real, fake, step=0)
        results[form] = (terms.named, gradient(network, terms.loss))
    for name, value in results["exact"][0].items():
        torch.testing.assert_close(results["finite-difference"][0][name], value)
    exact, near = (results[form][1] for form in ("exact", "finite-difference"))
    assert 1e-9 < float((exact - near).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("form", ["exact", "finite-difference"])
def test_penalties_pass_in_single_precision_under_autocast(form):
    network, (real, fake) = discriminator().float(), both(dtype=torch.float32)
    kinds: list[torch.dtype] = []
    network.head.register_forward_hook(
        lambda module, inputs, out: kinds.append(out.dtype) if module.training else None
    )
    with torch.autocast("cpu", torch.bfloat16):
        Judge(r1_gamma=0.7, penalty=form).terms(network, real, fake, step=0)
        Judge(r1_gamma=0.7, r1_interval=2).terms(network, real, fake, step=1)
    *penalised, of_fake, of_both = kinds
    assert set(penalised) == {torch.float32}
    assert of_fake == of_both == torch.bfloat16


@pytest.mark.parametrize("form", ["exact", "finite-difference"])
def test_spectral_normalisation_does_not_disturb_either_form(form):
    """It iterates in every pass; two images of one difference must see one discriminator."""
    torch.manual_seed(0)
    network, (real, fake) = ResidualEncoder(SHAPE, 1, width=4).double(), both()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)  # sigma is far from converged
    terms = Judge(r1_gamma=1.0, penalty=form).terms(network, real, fake, step=0)
    found = gradient(network, terms.loss)
    assert bool(found.isfinite().all())
    for _ in range(200):
        network(real)
    settled = gradient(
        network, Judge(r1_gamma=1.0, penalty=form).terms(network, real, fake, step=0).loss
    )
    eager = gradient(network.eval(), Judge(r1_gamma=1.0).terms(network, real, fake, step=0).loss)
    cosine = float(settled @ eager / (settled.norm() * eager.norm()))
    assert cosine > (0.999999 if form == "exact" else 0.8)


class Dropped(nn.Module):
    """A discriminator whose gradient a compiler made a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SHAPE, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return _WithoutSecond.apply(x, self.weight)


class _WithoutSecond(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return (x * weight).flatten(1).sum(1, keepdim=True)

    @staticmethod
    def backward(ctx, out):
        x, weight = ctx.saved_tensors
        with torch.no_grad():
            return (out[..., None, None] * weight), (out[..., None, None] * x).sum(0)


def test_a_penalty_without_gradient_stops_the_run_at_once():
    real, fake = both()
    with pytest.raises(PenaltyLost, match=r"r1 is 22\.4 at step 1 .*--compile off") as caught:
        Judge(r1_gamma=0.7).terms(Dropped(), real, fake, step=0)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    with pytest.raises(PenaltyLost, match="r2 is"):
        Judge(r2_gamma=0.7).terms(Dropped(), real, fake, step=0)
    Judge().terms(Dropped(), real, fake, step=0)
    Judge(r1_gamma=0.7, r1_interval=2).terms(Dropped(), real, fake, step=1)


def test_differences_help_where_the_second_derivative_is_missing():
    real, fake = both()
    network = Dropped()
    judge = Judge(r1_gamma=0.7, penalty="finite-difference")
    terms = judge.terms(network, real, fake, step=0)
    plain = Judge().terms(network, real, fake, step=0)
    penalty = gradient(network, terms.loss) - gradient(network, plain.loss)
    torch.testing.assert_close(penalty, torch.full_like(penalty, 0.7), rtol=1e-6, atol=1e-9)


def test_it_looks_once_and_again_in_a_run_that_was_resumed(monkeypatch):
    looks: list[int] = []
    genuine = torch.autograd.grad

    def counted(outputs, inputs, **settings):
        looks.append(isinstance(inputs, list))
        return genuine(outputs, inputs, **settings)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    network, (real, fake) = discriminator(), both()
    judge = Judge(r1_gamma=0.7)
    for step in range(3):
        judge.terms(network, real, fake, step=step)
    assert sum(looks) == 1
    Judge(r1_gamma=0.7).terms(network, real, fake, step=3)
    assert sum(looks) == 2, "a resumed run builds its game anew"


def test_a_discriminator_that_begins_flat_is_looked_at_again():
    network, (real, fake) = discriminator(), both()
    nn.init.zeros_(network.head.weight)
    judge = Judge(r1_gamma=0.7)
    judge.terms(network, real, fake, step=0)
    with pytest.raises(PenaltyLost, match="r1 is 0 at step 2"):
        judge.terms(network, real, fake, step=1)
    judge = Judge(r1_gamma=0.7)
    judge.terms(network, real, fake, step=0)
    nn.init.normal_(network.head.weight)
    judge.terms(network, real, fake, step=1)


def test_divergence_is_left_to_the_loop_to_tell():
    network, (real, fake) = discriminator(), both()
    nn.init.constant_(network.head.weight, float("nan"))
    terms = Judge(r1_gamma=0.7).terms(network, real, fake, step=0)
    assert bool(terms.named["r1"].isnan())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["exact", "finite-difference"])
def test_a_compiled_discriminator_is_penalised_as_it_was_written(form):
    """AOTAutograd has no second derivative; what is penalised must not pass through it."""
    network, (real, fake) = discriminator(), both()
    eager = copy.deepcopy(network)
    graphs: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch._dynamo.backends.debugging import aot_eager

        def counting(graph, inputs):
            graphs.append(1)
            return aot_eager(graph, inputs)

        network.compile(backend=counting)
        for step in range(4):
            expected, found = (
                Judge(r1_gamma=0.7, r2_gamma=0.1, r1_interval=2, penalty=form).terms(
                    each, real, fake, step=step
                )
                for each in (eager, network)
            )
            assert ("r1" in found.named) == (step % 2 == 0)
            torch.testing.assert_close(found.loss, expected.loss)
            torch.testing.assert_close(
                gradient(network, found.loss), gradient(eager, expected.loss)
            )
            assert bool(graphs) == (step > 0), "steps without a penalty do use what was compiled"
    torch.compiler.reset()


def test_nothing_imports_a_compiler_that_nobody_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    network, (real, fake) = discriminator(), both()
    Judge(r1_gamma=0.7).terms(network, real, fake, step=0)
    assert "torch._dynamo" not in sys.modules


def test_the_games_pass_their_penalties_on():
    torch.manual_seed(0)
    gan = GAN(
        nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, SHAPE)).double(),
        discriminator(),
        event_shape=SHAPE,
        latent_dim=2,
        loss="hinge",
        r1_gamma=0.5,
        r2_gamma=0.5,
        r1_interval=2,
    )
    images = torch.rand(4, *SHAPE, dtype=torch.float64)
    assert {"r1", "r2"} < set(gan.loss_discriminator(images, Moment(0.0, 0)).named)
    assert set(gan.loss_discriminator(images, Moment(0.0, 1)).named) == {
        "loss", "logits_real", "logits_fake",
    }  # fmt: skip
    torch.manual_seed(3)
    hinge = gan.loss_generator(images, Moment(0.0, 0)).loss
    torch.manual_seed(3)
    expected = -gan.discriminate(gan.generate(torch.randn(4, 2, dtype=torch.float64))).mean()
    torch.testing.assert_close(hinge, expected)


class MinibatchDeviation(nn.Module):
    """A discriminator that looks at how much the images of a batch differ (Karras et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 1)

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.flatten(1).mean(1, keepdim=True)
        return self.head(torch.cat([brightness, brightness.std().expand(len(images), 1)], 1))


def test_a_discriminator_that_compares_images_sees_real_and_fake_apart():
    torch.manual_seed(0)
    network, (real, fake) = MinibatchDeviation().double(), both()
    found = Judge().terms(network, real, 5 * fake, step=1).loss
    torch.testing.assert_close(found, discriminator_loss(network(real), network(5 * fake)))


def test_looking_whether_one_pass_will_do_leaves_the_modes_of_modules_alone():
    network, (real, fake) = discriminator(batch_norm=True), both()
    network.train()
    network.body[1].eval()  # somebody's frozen normalisation
    Judge().terms(network, real, fake, step=1)
    assert [m.training for m in network.modules()].count(False) == 1
