"""Other people's trainers on the same networks, each as its own documentation runs it.

Peers are test-only dependencies from PyPI: pythae 0.1.2, lightning 2.6.6, torchgan 0.1.0 and
torch-mimicry 0.1.16. All train on images that are floats in memory already, which favours them:
what their users' loaders do to get there is not timed, nor what is written after an epoch.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.interleave import Clock, Sample
from benchmarks.workloads import (
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    floats,
    mlp_decoder,
    mlp_encoder,
    pictures,
)

__all__ = ["build", "pythae_trainer"]


def build(
    name: str, key: str, *, threads: int, turn: int
) -> dict[str, Callable[[], float | Sample]]:
    """One peer on one workload; one call is an epoch over `turn` images."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape = {"sn-resnet": (3, 32, 32), "dcgan": (1, 32, 32)}.get(key, (1, 28, 28))
    images = floats(pictures(shape)[:turn])
    start: dict[str, Callable[..., Callable[[], Sample | None]]] = {
        "pythae": _pythae,
        "lightning": _lightning,
        "torchgan": _torchgan,
        "mimicry": _mimicry,
    }
    epoch = start[name](key, images)

    def work() -> float | Sample:
        return epoch() or len(images)

    return {name: work}


def pythae_trainer(key: str, images: Tensor, *, epochs: int, seed: int) -> Any:
    """pythae's BaseTrainer with a VAE of the workload's networks, before `prepare_training`."""
    _torchvision_stub()
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    torch.manual_seed(seed)
    layers = {"mlp-vae": (mlp_encoder, mlp_decoder), "conv-vae": (conv_encoder, conv_decoder)}
    make_encoder, make_decoder = layers[key]

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.layers = make_encoder()

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.layers = make_decoder()

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(prefix="pythae-"),
        num_epochs=epochs,
        learning_rate=1e-3,
        per_device_train_batch_size=128,
        no_cuda=True,
        seed=seed,
    )
    return BaseTrainer(
        VAE(config, encoder=Encoder(), decoder=Decoder()),
        train_dataset=BaseDataset(images, torch.zeros(len(images))),
        training_config=settings,
    )


def _pythae(key: str, images: Tensor) -> Callable[[], None]:
    trainer = pythae_trainer(key, images, epochs=1, seed=0)
    trainer.prepare_training()
    trainer.callback_handler.on_train_begin(
        training_config=trainer.training_config, model_config=trainer.model_config
    )

    def epoch() -> None:
        trainer.train_step(1)

    return epoch


def _lightning(key: str, images: Tensor) -> Callable[[], Sample]:
    import logging
    import warnings

    import lightning
    from torch.nn import functional

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class DCGAN(lightning.LightningModule):
        """Two optimizers by hand, in the manner of Lightning's GAN tutorial."""

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator: nn.Module = dcgan_generator()
            self.discriminator: nn.Module = dcgan_discriminator()

        def _judged(self, images: Tensor, real: bool) -> Tensor:
            logits = self.discriminator(images)
            return functional.binary_cross_entropy_with_logits(
                logits, torch.full_like(logits, float(real))
            )

        def training_step(self, batch: list[Tensor]) -> None:
            (images,) = batch
            of_generator, of_discriminator = self.optimizers()  # type: ignore[misc]
            z = torch.randn(len(images), 100).type_as(images)
            self.toggle_optimizer(of_generator)
            loss = self._judged(self.generator(z), real=True)
            self.log("g_loss", loss, prog_bar=True)
            self.manual_backward(loss)
            of_generator.step()
            of_generator.zero_grad()
            self.untoggle_optimizer(of_generator)
            self.toggle_optimizer(of_discriminator)
            real = self._judged(images, real=True)
            fake = self._judged(self.generator(z).detach(), real=False)
            loss = (real + fake) / 2
            self.log("d_loss", loss, prog_bar=True)
            self.manual_backward(loss)
            of_discriminator.step()
            of_discriminator.zero_grad()
            self.untoggle_optimizer(of_discriminator)

        def on_train_epoch_start(self) -> None:
            self.began = clock.wall(), clock.cpu()

        def on_train_epoch_end(self) -> None:
            wall, cpu = self.began
            self.took = Sample(len(images), clock.wall() - wall, clock.cpu() - cpu)

        def configure_optimizers(self) -> Any:
            players = (self.generator, self.discriminator)
            return [torch.optim.Adam(p.parameters(), 2e-4, betas=(0.5, 0.999)) for p in players]

    clock = Clock()
    module = DCGAN()
    loader = DataLoader(TensorDataset(images * 2 - 1), batch_size=64, shuffle=True)

    def epoch() -> Sample:
        """What `fit` does before and after its one epoch is not counted: it is done once."""
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(module, loader)
        return module.took

    return epoch


def _torchgan(key: str, images: Tensor) -> Callable[[], None]:
    _torchvision_stub()
    os.environ.update(TENSORBOARD_LOGGING="0", CONSOLE_LOGGING="0", VISDOM_LOGGING="0")
    from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
    from torchgan.models import DCGANDiscriminator, DCGANGenerator
    from torchgan.trainer import Trainer

    adam = {"name": torch.optim.Adam, "args": {"lr": 2e-4, "betas": (0.5, 0.999)}}
    folder = tempfile.mkdtemp(prefix="torchgan-")
    trainer = Trainer(
        {
            "generator": {
                "name": DCGANGenerator,
                "args": {
                    "encoding_dims": 100,
                    "out_size": 32,
                    "out_channels": 1,
                    "step_channels": 64,
                },
                "optimizer": adam,
            },
            "discriminator": {
                "name": DCGANDiscriminator,
                "args": {"in_size": 32, "in_channels": 1, "step_channels": 64},
                "optimizer": adam,
            },
        },
        [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
        device=torch.device("cpu"),
        epochs=1,
        sample_size=1,
        checkpoints=f"{folder}/gan",
        recon=f"{folder}/images",
    )
    # Its checkpoint and its sheet of samples belong to an epoch of 60,000 images, not to a turn.
    trainer.save_model = lambda *_, **__: None
    trainer.logger.logger_end_epoch = []
    labels = torch.zeros(len(images))
    loader = DataLoader(TensorDataset(images * 2 - 1, labels), batch_size=64, shuffle=True)

    def epoch() -> None:
        trainer(loader)

    return epoch


def _mimicry(key: str, images: Tensor) -> Callable[[], None]:
    from benchmarks import peers_mimicry

    batch = images[:64] * 2 - 1
    step = peers_mimicry.peer(batch)

    def epoch() -> None:
        for _ in range(len(images) // 64):
            step()

    return epoch


def _torchvision_stub() -> None:
    """The two functions peers import for drawing, where torchvision does not fit this torch."""
    if "torchvision" in sys.modules:
        return
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("torchvision", "torchvision.utils"):
            stub = types.ModuleType(name)
            stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
            sys.modules[name] = stub
        drawing = sys.modules["torchvision.utils"]
        drawing.make_grid = drawing.save_image = _draw_nothing  # type: ignore[attr-defined]
        sys.modules["torchvision"].utils = drawing  # type: ignore[attr-defined]


def _draw_nothing(*_: Any, **__: Any) -> Tensor:
    return torch.zeros(1)
