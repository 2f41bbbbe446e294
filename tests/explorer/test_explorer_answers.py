"""What the explorer shows is what the models give: the same bytes, and commands that make them."""

import base64
import io
import shlex
import time

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.cli.app import app
from diptych.explorer.asked import STEPS
from diptych.explorer.classes import TAKEN, class_means
from diptych.explorer.models import Exhibit
from diptych.explorer.server import Explorer
from diptych.models.drawing import to_bytes
from diptych.study.pictures import real_items

KINDS = pytest.mark.parametrize("index", [0, 1], ids=["vae", "gan"])


def as_shown(images: torch.Tensor) -> np.ndarray:
    return np.repeat(to_bytes(images), 3, axis=-1)


def finished(client, response) -> dict:
    assert response.status_code == 202, response.text
    for _ in range(2_000):
        seen = client.get(f"/api/jobs/{response.json()['job']}").json()
        if seen["state"] in ("done", "failed", "stopped"):
            return seen
        time.sleep(0.01)
    raise AssertionError("the job did not end")


def test_the_models_are_introduced(client, exhibits) -> None:
    answer = client.get("/api/models").json()
    assert answer["steps"] == STEPS
    vae, gan = answer["models"]
    assert [vae["title"], gan["title"]] == ["Tiny VAE", "Tiny GAN"]
    assert (vae["encodes"], gan["encodes"]) == (True, False)
    assert (vae["straight"], gan["straight"]) == (True, False)
    assert (vae["most_spread"], gan["most_spread"]) == (2.0, 1.0)
    for facts in (vae, gan):
        assert (facts["shape"], facts["latent_dim"]) == ([1, 12, 12], 4)
        assert sorted(facts["order"]) == [0, 1, 2, 3]
        ordered = [facts["amounts"][latent] for latent in facts["order"]]
        assert ordered == sorted(ordered, reverse=True)
        assert facts["classes"] == ["0", "1"]
        assert facts["data"] == exhibits[0].data.name
    assert (vae["unit"], gan["unit"]) == ("nats", "% per unit")


def test_kl_per_latent_is_that_of_the_posterior(exhibits) -> None:
    vae = exhibits[0]
    posterior = vae.model.encode(real_items(vae.data, 500))
    mean, variance = posterior.mean, posterior.variance
    by_hand = (0.5 * (mean**2 + variance - 1 - variance.log())).mean(0)
    assert vae.usage.amounts == pytest.approx(by_hand.tolist(), rel=1e-4)


def test_latents_without_an_encoder_are_ordered_by_what_they_move(exhibits, monkeypatch) -> None:
    """G(z) = Az: a unit of latent j moves the picture by the length of column j."""
    gan = exhibits[1]
    lengths = torch.tensor([0.5, 2.0, 0.0, 1.0])

    def linear(z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(z * lengths, (0, 140)).reshape(-1, 1, 12, 12)

    monkeypatch.setattr(gan.model, "decode_mean", linear)
    usage = Exhibit(gan.run, "linear").usage
    assert usage.order == (1, 3, 0, 2)
    assert usage.amounts == pytest.approx((100 * lengths / 12).tolist(), abs=1e-3)


@KINDS
def test_decode_gives_the_bytes_of_decode_mean(index, client, exhibits, cells) -> None:
    model = exhibits[index].model
    codes = client.post(f"/api/models/{index}/codes", json={"n": 11, "seed": 5}).json()["codes"]
    assert torch.equal(torch.tensor(codes), model.sample_codes(11, seed=5))
    answer = client.post(f"/api/models/{index}/decode", json={"codes": codes})
    assert answer.headers["content-type"] == "image/png"
    with torch.inference_mode():
        expected = as_shown(model.decode_mean(torch.tensor(codes)))
    assert np.array_equal(cells(answer.content, 11), expected)


@KINDS
def test_samples_are_those_of_the_seed(index, client, exhibits, cells) -> None:
    model = exhibits[index].model
    asked = {"n": 64, "seed": 3, "spread": 1}
    answer = client.post(f"/api/models/{index}/sample", json=asked)
    assert np.array_equal(cells(answer.content, 64), as_shown(model.sample(64, seed=3)))
    answer = client.post(f"/api/models/{index}/sample", json=asked | {"spread": 0.25})
    with torch.inference_mode():
        drawn_in = model.decode_mean(model.sample_codes(64, seed=3) * 0.25)
    assert np.array_equal(cells(answer.content, 64), as_shown(drawn_in))
    assert not torch.allclose(drawn_in, model.sample(64, seed=3), atol=1e-2)


def test_a_truncation_ends_at_one(client) -> None:
    asked = {"n": 1, "seed": 0, "spread": 1.5}
    assert client.post("/api/models/0/sample", json=asked).status_code == 200
    answer = client.post("/api/models/1/sample", json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Codes of Tiny GAN can be scaled by at most 1, not 1.5."


@KINDS
def test_the_way_between_is_the_models_own(index, client, exhibits, cells) -> None:
    model = exhibits[index].model
    start, end = model.sample_codes(2, seed=1)
    asked = {"start": start.tolist(), "end": end.tolist()}
    answer = client.post(f"/api/models/{index}/path", json=asked)
    own = model.interpolate(start[None], end[None], steps=STEPS)[0]
    assert np.array_equal(cells(answer.content, STEPS), as_shown(own))


@KINDS
def test_found_pictures_equal_reconstruct(index, client, exhibits, cells) -> None:
    exhibit = exhibits[index]
    seen = finished(client, client.post(f"/api/models/{index}/find", json={"page": 0}))
    assert seen["state"] == "done", seen
    result, images = seen["result"], real_items(exhibit.data, 8)
    again = exhibit.model.reconstruct(images, seed=0)
    assert np.array_equal(cells(base64.b64decode(result["pictures"]), 8), as_shown(images))
    assert np.array_equal(cells(base64.b64decode(result["again"]), 8), as_shown(again))
    errors = (again - images).square().flatten(1).mean(1)
    assert result["errors"] == pytest.approx(errors.tolist(), rel=1e-5)
    assert (seen["passes"] > 100) == (index == 1)
    with torch.inference_mode():
        decoded = exhibit.model.decode_mean(torch.tensor(result["codes"]))
    assert torch.equal(decoded, again)


def test_a_slider_moves_while_a_gan_searches(client, exhibits) -> None:
    """A search gives way to other questions, also random ones, and finds the same codes."""
    alone = exhibits[1].model.find_codes(real_items(exhibits[1].data, 8), seed=0)
    job = client.post("/api/models/1/find", json={"page": 0})
    answered = 0
    while client.get(f"/api/jobs/{job.json()['job']}").json()["state"] != "done":
        sample = client.post("/api/models/1/sample", json={"n": 2, "seed": 9, "spread": 1})
        assert sample.status_code == 200
        answered += 1
    assert answered > 1
    assert torch.equal(torch.tensor(finished(client, job)["result"]["codes"]), alone)


def test_a_search_can_be_cancelled(client) -> None:
    job = client.post("/api/models/1/find", json={"page": 0})
    assert client.post(f"/api/jobs/{job.json()['job']}/cancel", json={}).status_code == 200
    seen = finished(client, job)
    assert (seen["state"], seen["result"]) == ("stopped", None)
    assert seen["error"] == "The search was cancelled."


def test_a_search_that_takes_too_long_is_stopped(client, monkeypatch) -> None:
    monkeypatch.setattr("diptych.explorer.server.SEARCH_SECONDS", 0.0)
    seen = finished(client, client.post("/api/models/1/find", json={"page": 0}))
    assert seen["state"] == "stopped"
    assert "took longer" in seen["error"]


def test_further_pages_are_held_out_too(client, exhibits, cells) -> None:
    data = exhibits[0].data
    held_out = {row.tobytes() for row in data.take("test")}
    shown = set()
    for page in (0, 1, 2):
        answer = client.get(f"/api/models/0/pictures/{page}").json()
        pictures = cells(base64.b64decode(answer["picture"]), answer["count"])
        rows = [np.ascontiguousarray(picture[..., :1]).tobytes() for picture in pictures]
        assert set(rows) <= held_out
        for row, label in zip(rows, answer["labels"], strict=True):
            number = next(i for i in data.splits["test"] if data.array[i].tobytes() == row)
            assert label == data.class_names[data.labels[number]]
        shown.add(frozenset(rows))
    assert len(shown) == 3


def test_class_means_of_an_encoder(client, exhibits) -> None:
    vae = exhibits[0]
    result = finished(client, client.post("/api/models/0/classes", json={}))["result"]
    codes = vae.model.find_codes(real_items(vae.data, 500, split="train"))
    labels = torch.from_numpy(vae.data.labels_of("train", 500))
    for number, name in enumerate(("0", "1")):
        by_hand = codes[labels == number].mean(0)
        assert result["means"][name] == pytest.approx(by_hand.tolist(), abs=1e-5)
    assert sum(result["counts"].values()) == len(vae.data.splits["train"])


def test_class_means_of_a_gan_are_those_of_sorted_samples(exhibits, monkeypatch) -> None:
    """A classifier that reads the first latent off the picture: the means must show it."""
    gan = exhibits[1]

    class Known:
        accuracy = 0.5

        def logits(self, images: torch.Tensor) -> torch.Tensor:
            first = images[:, 0, 0, 0]
            return torch.stack([-20 * first, 20 * first], dim=1)

    def linear(z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(z, (0, 140)).reshape(-1, 1, 12, 12)

    monkeypatch.setattr("diptych.explorer.classes.train_classifier", lambda *_, **__: Known())
    monkeypatch.setattr(gan.model, "decode_mean", linear)
    found = class_means(gan, lambda: None)
    codes = gan.model.sample_codes(TAKEN, seed=0)
    sure = np.log(0.9 / 0.1) / 40
    for name, own in (("0", codes[:, 0] <= -sure), ("1", codes[:, 0] >= sure)):
        assert found.counts[name] == int(own.sum())
        assert torch.allclose(found.means[name], codes[own].mean(0), atol=1e-5)
    assert found.means["1"][0] > 0.5
    assert "no encoder" in found.sentence


def test_a_class_that_is_never_drawn_has_no_mean(exhibits, monkeypatch) -> None:
    class Partial:
        accuracy = 1.0

        def logits(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[9.0, 0.0]]).expand(len(images), 2)

    monkeypatch.setattr("diptych.explorer.classes.train_classifier", lambda *_, **__: Partial())
    found = class_means(exhibits[1], lambda: None)
    assert list(found.means) == ["0"]
    assert found.counts == {"0": TAKEN, "1": 0}


def test_without_data_the_rest_works(exhibits, studio, client_of) -> None:
    alone = Exhibit(exhibits[0].run, "VAE", without="the folder is gone")
    client = client_of(Explorer([alone], studio).application())
    facts = client.get("/api/models").json()["models"][0]
    assert (facts["data"], facts["without"]) == (None, "the folder is gone")
    assert facts["unit"] == "% per unit"
    for response in (
        client.get("/api/models/0/pictures/0"),
        client.post("/api/models/0/find", json={"page": 0}),
        client.post("/api/models/0/classes", json={}),
    ):
        assert response.status_code == 400
        assert "the folder is gone" in response.json()["error"]
    asked = {"n": 1, "seed": 0, "spread": 1}
    assert client.post("/api/models/0/sample", json=asked).status_code == 200


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """Do what the page says, in an empty directory, and give the picture it writes."""

    def make(text: str) -> np.ndarray:
        monkeypatch.chdir(tmp_path)
        if text.startswith("diptych "):
            app(shlex.split(text)[1:], standalone_mode=False)
        else:
            exec(compile(text, "copied", "exec"), {})
        (written,) = tmp_path.glob("*.png")
        with Image.open(written) as image:
            return np.asarray(image.convert("RGB"))

    return make


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@KINDS
@pytest.mark.parametrize("spread", [1, 0.7], ids=["command", "lines"])
def test_the_command_makes_the_same_samples(index, spread, client, made) -> None:
    asked = {"n": 9, "seed": 4, "spread": spread, "form": "picture"}
    text = client.post(f"/api/models/{index}/command", json={"sample": asked}).json()["text"]
    assert text.startswith("diptych sample " if spread == 1 else "import diptych")
    shown = client.post(f"/api/models/{index}/sample", json=asked).content
    assert np.array_equal(made(text), pixels(shown))


@KINDS
@pytest.mark.parametrize("drawn", [True, False], ids=["command", "lines"])
def test_the_command_makes_the_same_way_between(index, drawn, client, made) -> None:
    codes = client.post(f"/api/models/{index}/codes", json={"n": 2, "seed": 6}).json()["codes"]
    path = {"start": codes[0], "end": codes[1], "form": "picture"}
    asked = {"walk_seed": 6} if drawn else {"path": path}
    text = client.post(f"/api/models/{index}/command", json=asked).json()["text"]
    assert text.startswith("diptych interpolate " if drawn else "import diptych")
    shown = client.post(f"/api/models/{index}/path", json=path).content
    assert np.array_equal(made(text), pixels(shown))


def test_the_lines_make_the_same_picture_of_a_code(client, made) -> None:
    decode = {"codes": [[0.1, -1.25, 2 / 3, 1e-7]], "form": "picture"}
    text = client.post("/api/models/1/command", json={"decode": decode}).json()["text"]
    shown = client.post("/api/models/1/decode", json=decode).content
    assert np.array_equal(made(text), pixels(shown))


def test_the_command_of_found_pictures(client, exhibits, made) -> None:
    text = client.post("/api/models/1/command", json={"page": 0}).json()["text"]
    made(text)
    assert text == f"diptych reconstruct {exhibits[1].directory} -n 8 --out pairs.png"
    codes = {"codes": [[0.0] * 4]}
    text = client.post("/api/models/1/command", json={"page": 1, "decode": codes}).json()["text"]
    assert text.startswith("import diptych")
