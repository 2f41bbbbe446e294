"""Panel 1: all instruments on one set of features, each beside its floor."""

import json
from typing import ClassVar

import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.fidelity import panel
from diptych.evaluation.fidelity.panel import ALIASES, METRICS, fidelity_panel
from diptych.evaluation.sets import Sets

N = 300


class Inception(PointFeatures):
    name = "inception"
    fid_name = "FID"
    protocol: ClassVar = {"extractor": "inception"}


def measure(fake=F[:N], real=R[:N], floor=T[:N], labels=None, extractor=None, **settings):
    figures = fidelity_panel(
        Sets(fake, real, floor, real_labels=labels),
        extractor=extractor or PointFeatures(),
        base={"reference": "golden", **settings.pop("base", {})},
        **settings,
    )
    return {figure.key: figure for figure in figures}


@pytest.fixture(scope="module")
def whole():
    logits = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(N) % 3
    return measure(labels=labels, fake_logits=logits, floor_logits=logits)


def test_everything_is_there_in_order_with_its_floor(whole):
    assert list(whole) == [f"{key}-coordinates" for key in METRICS]
    assert all(figure.floor is not None for figure in whole.values())
    assert {figure.panel for figure in whole.values()} == {"fidelity"}


def test_every_figure_has_an_interval_around_it_and_its_method(whole):
    for figure in whole.values():
        if figure.key == "class-coverage-coordinates":
            assert figure.low is None  # the least of many has no interval of one
            continue
        assert figure.low <= figure.value <= figure.high
        assert figure.interval


def test_golden_figures_come_through():
    figures = measure(F, R, T)
    for key, value in {
        "fd": 5.888385926127,
        "kid": 0.14018070580656294,
        "vendi": 60.62810695249839,
        "precision": 0.242,
        "recall": 0.867,
        "density": 0.1614,
        "coverage": 0.493,
    }.items():
        assert figures[f"{key}-coordinates"].value == pytest.approx(value, abs=1e-11)
    assert figures["density-coordinates"].floor == pytest.approx(0.959, abs=1e-12)
    assert figures["coverage-coordinates"].floor == pytest.approx(0.964, abs=1e-12)
    assert figures["one-nn-coordinates"].floor == pytest.approx(0.5, abs=0.05)


def test_the_floor_set_as_samples_scores_the_floor():
    for figure in measure(T[:N]).values():
        # With and without eigenvectors the last digits differ.
        assert figure.value == pytest.approx(figure.floor, rel=1e-12)


def test_identity_is_no_distance_and_full_coverage():
    figures = measure(R[:N].clone())
    for key in ("fd", "sliced-w2"):
        assert figures[f"{key}-coordinates"].value == pytest.approx(0, abs=1e-9)
    for key in ("precision", "recall", "coverage"):
        assert figures[f"{key}-coordinates"].value == 1
    # Every item's nearest of all is its copy: the rule is always wrong.
    assert figures["one-nn-coordinates"].value == 0


def test_a_dropped_class_is_named():
    centres = torch.eye(3).double() * 50
    labels = torch.arange(N) % 3
    near = R[:N, :3] + centres[labels]
    fake = T[:N, :3] + centres[torch.arange(N) % 2]
    floor = F[:N, :3] + centres[labels]
    figure = measure(fake, near, floor, labels)["class-coverage-coordinates"]
    assert figure.value == 0
    assert figure.floor > 0.8
    assert figure.note.startswith("Class 2 of 3")
    assert "class-coverage-coordinates" not in measure(fake, near, floor)


def test_only_standard_features_are_called_fid():
    ours, standard = (
        measure(metrics=["fid", "kid"]),
        measure(metrics=["fd", "kid", "prdc"], extractor=Inception()),
    )
    assert [figure.name for figure in ours.values()] == ["FD (coordinates)", "KID (coordinates)"]
    assert standard["fid"].name == "FID"
    assert standard["kid"].name == "KID"
    assert standard["precision-inception"].name == "precision (inception)"
    clean = Inception()
    clean.fid_name = "FID (clean)"
    figures = measure(metrics=["fd", "kid"], extractor=clean)
    assert [(figure.key, figure.name) for figure in figures.values()] == [
        ("fid-clean", "FID (clean)"),
        ("kid-clean", "KID (clean)"),
    ]


def test_one_chosen_metric_equals_the_same_among_all(whole):
    for key in METRICS.keys() - {"is-like", "class-coverage"}:
        (figure,) = measure(metrics=[key]).values()
        assert figure.value == pytest.approx(whole[figure.key].value, rel=1e-12)
        assert figure.floor == pytest.approx(whole[figure.key].floor, rel=1e-12)
        assert figure.protocol == whole[figure.key].protocol
    assert len(measure(metrics=["prdc"])) == len(ALIASES["prdc"])
    assert measure(metrics=["elbo"]) == {}


def test_figures_of_too_few_items_are_not_to_be_trusted():
    few = measure(F[:100], R[:100], T[:100])  # 100 items of 64 features
    for key in ("fd", "vendi", "precision", "recall", "density", "coverage", "one-nn"):
        assert not few[f"{key}-coordinates"].trusted
    assert few["kid-coordinates"].trusted  # unbiased at any N
    enough = measure()
    for key in ("fd", "vendi", "precision", "coverage"):
        assert enough[f"{key}-coordinates"].trusted


def test_protocols_differ_with_all_that_moves_the_value():
    one = measure(metrics=["fd", "c2st", "kid"])
    assert len({figure.protocol for figure in one.values()}) == 3
    for other in (
        measure(F[:250], metrics=["fd"]),
        measure(metrics=["fd"], base={"reference": "other"}),
        measure(metrics=["fd"], extractor=Inception()),
    ):
        assert one["fd-coordinates"].protocol not in {figure.protocol for figure in other.values()}
    again = measure(F[N : 2 * N], metrics=["fd", "c2st"], seed=1)
    assert again["fd-coordinates"].protocol == one["fd-coordinates"].protocol
    assert again["c2st-coordinates"].protocol != one["c2st-coordinates"].protocol


def test_floors_are_kept_and_damage_is_mended(tmp_path, monkeypatch):
    chosen = {"metrics": ["fd", "prdc", "sliced-w2"], "cache_dir": tmp_path / "floors"}
    fresh = measure(**chosen)
    (path,) = (tmp_path / "floors").iterdir()
    measured = []
    original = panel.Reference.measure

    def watched(self, group, other, wanted, *, interval=True):
        measured.append(bool(wanted))
        return original(self, group, other, wanted, interval=interval)

    monkeypatch.setattr(panel.Reference, "measure", watched)
    assert measure(**chosen) == fresh
    assert measured.count(True) == 3
    path.write_text('{"cut off')
    assert measure(**chosen) == fresh
    path.write_text(json.dumps([1]))
    assert measure(**chosen) == fresh
    saved = json.loads(path.read_text())
    assert saved[fresh["fd-coordinates"].protocol.fingerprint] == fresh["fd-coordinates"].floor
    # Another floor set, another file.
    other = measure(floor=T[N : 2 * N], **chosen)
    assert other["fd-coordinates"].floor != fresh["fd-coordinates"].floor
    assert len(list(path.parent.iterdir())) == 2


def test_kept_floors_are_used(tmp_path):
    chosen = {"metrics": ["kid"], "cache_dir": tmp_path}
    fresh = measure(**chosen)["kid-coordinates"]
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({fresh.protocol.fingerprint: 42.0}))
    assert measure(**chosen)["kid-coordinates"].floor == 42


def test_without_a_floor_set_there_are_no_floors():
    figures = measure(floor=None)
    assert len(figures) == len(METRICS) - 2
    assert all(figure.floor is None for figure in figures.values())


def test_sets_of_unequal_size_are_allowed_and_said():
    figures = measure(F[:200])
    assert {figure.n_fake for figure in figures.values()} == {200}
    assert figures["fd-coordinates"].n_real == N
    assert "The floor is that of 300 items." in figures["fd-coordinates"].note


def test_what_the_size_does_is_said(whole):
    assert "N=300 < 1000" in whole["precision-coordinates"].note
    assert whole["fd-infinity-coordinates"].trusted
    small = measure(F[:100], R[:100], T[:100])
    assert "N=100 < 2x64 features: biased upward" in small["fd-coordinates"].note
    assert not small["fd-infinity-coordinates"].trusted
    assert small["kid-coordinates"].trusted


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (torch.zeros(30, 5), torch.zeros(30, 5)),
        (torch.zeros(30, 5), R[:30, :5]),
        (F[:30, :5], torch.ones(30, 5)),
        (F[:6], R[:6]),
        (F[:60, :2], R[:40, :2]),
        (F[:20, :1], R[:20, :1]),
    ],
)
def test_degenerate_sets_give_figures(fake, real):
    figures = measure(fake, real, real.clone())
    assert len(figures) >= len(METRICS) - 3
    if not real.var():
        assert not figures["density-coordinates"].trusted
        assert "rbf-mmd-coordinates" not in figures


def test_progress_ends_where_it_said():
    told = []
    measure(metrics=["fd", "prdc"], progress=lambda *what: told.append(what))
    assert [(done, total) for _, done, total in told] == [(0, 2), (1, 2), (2, 2)]


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    assert measure() == measure()
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="5 nearest neighbours cannot be found among 5 items"):
        measure(F[:5])
    with pytest.raises(DataError, match="NaN or infinite"):
        measure(F[:N] / 0)
    with pytest.raises(DataError, match="of one width"):
        measure(F[:N, :3])
