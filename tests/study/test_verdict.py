"""Made-up tables with a known answer: the verdict must say it."""

import dataclasses
import json
from typing import Any

import pytest
from verdict_tables import IMAGES, TITLES, figure, table

from diptych.study.statistics import share_limit
from diptych.study.table import Table
from diptych.study.verdict import Answer, Folklore, Recommendation, Verdict, judge
from diptych.study.verdict.rules import QUESTIONS

POINTS = {"name": "grid", "kind": "points", "shape": [2], "splits": {"train": 800, "test": 100}}
COUNTS: dict[str, float | None] = {"classes-found": None, "modes-found": None}
CLEAR = {
    "vae": {
        "fd": [9.8, 10.1, 9.6], "precision": [0.55, 0.56, 0.54], "recall": [0.60, 0.61, 0.59],
        "sharpness-ratio": [0.39, 0.40, 0.38], "classes-found": [10, 10, 10],
        "gaussian-bits": [6.51, 6.50, 6.52], "path-length-relative": [23, 24, 22],
        "nearest-ratio-share": [0.001, 0.001, 0.002],
    },
    "gan": {
        "fd": [2.4, 2.7, 2.2], "precision": [0.58, 0.60, 0.57], "recall": [0.77, 0.78, 0.76],
        "sharpness-ratio": [0.99, 1.02, 1.01], "classes-found": [10, 10, 10],
        "gaussian-bits": [6.21, 6.20, 6.22], "path-length-relative": [38, 40, 37],
        "nearest-ratio-share": [0.001, 0.002, 0.001],
    },
}  # fmt: skip


def answer(verdict: Verdict, key: str) -> Answer:
    return next(a for a in verdict.answers if a.key == key)


def use(verdict: Verdict, key: str) -> Recommendation:
    return next(r for r in verdict.recommendations if r.key == key)


def saying(verdict: Verdict, key: str) -> Folklore:
    return next(f for f in verdict.folklore if f.key == key)


def clear(**more: Any) -> Table:
    return table(CLEAR, errors={**COUNTS, "nearest-ratio-share": 0.0004}, **more)


# -- leads and ties ---------------------------------------------------------------------------


def test_a_clear_win() -> None:
    verdict = judge(clear())
    for key in ("realism", "coverage", "blur", "density"):
        assert (answer(verdict, key).state, answer(verdict, key).best) == ("clear", "gan"), key
    assert answer(verdict, "latent").best == "vae"
    assert verdict.headline == (
        "The GAN makes samples that look more real, covers more of the data and comes closer to "
        "real sharpness; the VAE has the smoother latent space."
    )
    realism = answer(verdict, "realism")
    assert realism.sentence.startswith(
        "The samples of the GAN look more real than those of the VAE. FD (classifier) in squared "
        "feature units, lower is better: GAN 2.43 (1.81 to 3.06), VAE 9.83 (9.21 to 10.46), "
        "unseen real images 0.300 (means of 3 seeds each; 95 % intervals)."
    )
    primary = realism.comparisons[0]
    assert primary.primary
    assert (primary.winner, primary.behind, primary.state) == ("gan", ("vae",), "ahead")
    assert primary.effect is not None
    assert primary.effect > 10
    assert use(verdict, "look").pick == "gan"
    assert use(verdict, "augment").pick == "gan"
    states = {f.key: f.state for f in verdict.folklore}
    assert states == {
        "vaes-blur": "confirmed", "gans-sharp": "confirmed", "gans-collapse": "refuted",
        "vaes-cover": "refuted", "gans-no-density": "undecided", "vaes-smooth": "confirmed",
        "gans-hard": "refuted", "gans-memorise": "refuted",
    }  # fmt: skip


def test_alike_is_a_tie() -> None:
    near = {"fd": [5.00, 5.01, 4.99], "recall": [0.700, 0.701, 0.699]}
    verdict = judge(table({"vae": near, "gan": near}, errors={"fd": 0.01, "recall": 0.001}))
    assert answer(verdict, "realism").state == "tie"
    assert answer(verdict, "coverage").state == "tie"
    assert "look equally real" in answer(verdict, "realism").sentence
    assert "alike" in verdict.headline
    assert use(verdict, "look").pick is None
    assert saying(verdict, "vaes-cover").state == "undecided"


def test_seeds_that_disagree_leave_it_open() -> None:
    verdict = judge(table({"vae": {"fd": [3.0, 9.0, 4.0]}, "gan": {"fd": [2.4, 7.7, 4.2]}}))
    realism = answer(verdict, "realism")
    assert (realism.state, realism.best) == ("undecided", None)
    assert "may be nothing or the other way round" in realism.sentence
    assert "What would help" in realism.sentence
    assert verdict.headline == "Cannot tell the VAE and the GAN apart at this budget."
    assert use(verdict, "look").pick is None
    assert saying(verdict, "gans-hard").state == "confirmed", "it varies by more than a half"


def test_a_certain_difference_too_small_to_name_is_no_lead() -> None:
    verdict = judge(
        table(
            {"vae": {"fd": [5.00, 5.01, 4.99]}, "gan": {"fd": [5.10, 5.11, 5.09]}},
            errors={"fd": 0.001},
        )
    )
    assert answer(verdict, "realism").state == "tie"


def test_what_would_help_is_more_seeds_where_few_would_do() -> None:
    verdict = judge(table({"vae": {"fd": [4.0, 5.0, 4.5]}, "gan": {"fd": [5.2, 6.3, 5.4]}}))
    realism = answer(verdict, "realism")
    assert realism.state == "undecided"
    assert "seeds each, if the difference stays as it is" in realism.sentence


def test_figures_that_contradict_each_other_leave_nobody_ahead() -> None:
    verdict = judge(
        table(
            {
                "vae": {"fd": [9.8, 10.1, 9.6], "precision": [0.80, 0.81, 0.79]},
                "gan": {"fd": [2.4, 2.7, 2.2], "precision": [0.50, 0.51, 0.49]},
            }
        )
    )
    realism = answer(verdict, "realism")
    assert (realism.state, realism.best) == ("undecided", None)
    assert realism.sentence.startswith("The figures disagree")
    assert use(verdict, "look").pick is None


def test_three_recipes_with_two_at_the_top() -> None:
    verdict = judge(
        table(
            {
                "vae": {"fd": [9.8, 10.1, 9.6]},
                "gan": {"fd": [3.0, 3.4, 2.7]},
                "vae-gan": {"fd": [2.9, 3.3, 3.0]},
            }
        )
    )
    realism = answer(verdict, "realism")
    primary = realism.comparisons[0]
    assert (realism.state, realism.best) == ("undecided", None)
    assert set(primary.top) == {"gan", "vae-gan"}
    assert primary.behind == primary.behind_all == ("vae",)
    assert "Both are ahead of the VAE." in realism.sentence
    assert verdict.headline == (
        "The samples of the GAN and the VAE-GAN cannot be told apart, and look more real than "
        "those of the VAE."
    )


def test_the_runner_up_must_be_behind_too() -> None:
    verdict = judge(
        table(
            {
                "vae": {"fd": [9.8, 10.1, 9.6]},
                "gan": {"fd": [6.0, 6.1, 5.9]},
                "vae-gan": {"fd": [2.9, 3.0, 3.1]},
            }
        )
    )
    assert answer(verdict, "realism").best == "vae-gan"
    assert verdict.headline == "The VAE-GAN makes the samples that look most real."


def test_two_recipes_of_a_family() -> None:
    verdict = judge(
        table(
            {
                "vae": {"fd": [9.8, 10.1, 9.6], "sharpness-ratio": [0.4, 0.4, 0.41]},
                "vae-mse": {"fd": [5.0, 5.2, 5.1], "sharpness-ratio": [0.9, 0.91, 0.92]},
            }
        )
    )
    assert answer(verdict, "realism").best == "vae-mse"
    assert "the VAE (squared error)" in answer(verdict, "blur").sentence.lower().replace(
        "vae (squ", "VAE (squ"
    )
    assert saying(verdict, "vaes-blur").state == "undecided", "the one blurs, the other does not"
    assert {f.key for f in verdict.folklore} == {"vaes-blur", "vaes-cover"}


# -- one seed ---------------------------------------------------------------------------------


def test_one_seed_needs_a_factor_of_two() -> None:
    large = judge(table({"vae": {"fd": [9.8]}, "gan": {"fd": [2.4]}}))
    assert (answer(large, "realism").state, answer(large, "realism").best) == ("clear", "gan")
    assert answer(large, "realism").sentence.startswith("On one seed, ")
    assert "One seed cannot show" in answer(large, "realism").sentence
    assert large.headline.startswith("On one seed, ")
    assert "one seed" in large.standfirst
    small = judge(table({"vae": {"fd": [9.8]}, "gan": {"fd": [6.4]}}))
    assert answer(small, "realism").state == "undecided"
    assert "less than a factor of 2" in answer(small, "realism").sentence
    assert "three seeds" in use(small, "look").would_change.lower()


def test_a_second_seed_like_the_first_takes_nothing_back() -> None:
    verdict = judge(table({"vae": {"fd": [9.8, 6.1]}, "gan": {"fd": [2.4, 1.2]}}))
    realism = answer(verdict, "realism")
    assert realism.best == "gan"
    assert realism.comparisons[0].by_runs
    assert "Intervals over two seeds are wide" in realism.sentence
    # One run among them that is not far ahead is enough to leave it open.
    verdict = judge(table({"vae": {"fd": [9.8, 6.1]}, "gan": {"fd": [2.4, 3.9]}}))
    assert answer(verdict, "realism").state == "undecided"


def test_one_seed_against_three() -> None:
    verdict = judge(table({"vae": {"fd": [9.8]}, "gan": {"fd": [2.4, 2.7, 2.2]}}))
    assert answer(verdict, "realism").best == "gan"
    assert "One seed cannot show" in answer(verdict, "realism").sentence
    verdict = judge(table({"vae": {"fd": [4.8]}, "gan": {"fd": [2.4, 2.7, 2.2]}}))
    assert answer(verdict, "realism").state == "undecided"
    assert "one seed of the VAE" in answer(verdict, "realism").sentence


def test_one_seed_without_an_interval_shows_nothing() -> None:
    verdict = judge(table({"vae": {"fd": [90.0]}, "gan": {"fd": [2.4]}}, errors={"fd": None}))
    assert answer(verdict, "realism").state == "undecided"
    assert "one seed without an interval" in answer(verdict, "realism").sentence


def test_a_metric_with_intervals_goes_before_one_without_on_one_seed() -> None:
    verdict = judge(
        table(
            {"vae": {"fd": [90.0], "kid": [0.04]}, "gan": {"fd": [2.4], "kid": [0.01]}},
            errors={"fd": None},
        )
    )
    assert answer(verdict, "realism").comparisons[0].key == "kid-classifier"
    assert answer(verdict, "realism").best == "gan"


def test_a_metric_without_an_interval_is_not_said_to_be_unable_to_tell() -> None:
    def said(error: float | None) -> str:
        figures = {
            "vae": {"fd": [9.8], "kid": [0.03], "density": [0.60]},
            "gan": {"fd": [2.4], "kid": [0.01], "density": [0.61]},
        }
        return answer(judge(table(figures, errors={"density": error})), "realism").sentence

    assert "KID (classifier) agrees; density of neighbours (classifier) cannot tell." in said(0.01)
    assert "KID (classifier) agrees." in said(None)
    assert "cannot tell" not in said(None)


# -- runs that fail ---------------------------------------------------------------------------


def test_a_family_that_diverged_entirely_wins_nothing() -> None:
    verdict = judge(
        table({"vae": CLEAR["vae"], "gan": {}}, errors=COUNTS, statuses={"gan": ["diverged"] * 3})
    )
    assert verdict.headline == "The GAN diverged at every seed, so only the VAE can be judged."
    assert "The GAN diverged at every seed." in verdict.standfirst
    assert {a.best for a in verdict.answers} == {None}
    assert answer(verdict, "realism").state == "undecided"
    assert saying(verdict, "gans-hard").state == "confirmed"
    assert saying(verdict, "gans-sharp").state == "undecided"
    assert "gan" not in {r.pick for r in verdict.recommendations}


def test_some_seeds_that_diverged_are_named() -> None:
    ends = ["finished", "diverged", "finished", "finished"]
    verdict = judge(clear(statuses={"gan": ends}))
    assert answer(verdict, "realism").best == "gan"
    assert "The GAN diverged at seed 1. Its figures are those of the seeds that finished." in (
        verdict.standfirst
    )
    assert saying(verdict, "gans-hard").state == "undecided", "one of four"


def test_no_run_finished() -> None:
    verdict = judge(
        table({"vae": {}, "gan": {}}, statuses={"vae": ["crashed"], "gan": ["diverged"]})
    )
    assert (
        verdict.headline == "The VAE crashed and the GAN diverged, so there is nothing to judge."
    )
    assert {a.state for a in verdict.answers} == {"not measured"}
    assert {r.pick for r in verdict.recommendations} == {None}


def test_members_still_waiting_are_said() -> None:
    verdict = judge(clear(statuses={"vae": ["finished"] * 3 + ["waiting"]}))
    assert "The VAE has still to be trained at seed 3." in verdict.standfirst


# -- figures that decide nothing --------------------------------------------------------------


def test_too_few_images_is_said() -> None:
    rows = [
        figure(recipe, 0, "fd", value, 0.1, trusted=False, note="N=40 is too few.")
        for recipe, value in (("vae", 9.0), ("gan", 2.0))
    ]
    data = {**IMAGES, "splits": {"train": 300, "test": 40}}
    verdict = judge(table({"vae": {}, "gan": {}}, rows=rows, data=data))
    realism = answer(verdict, "realism")
    assert (realism.state, realism.best) == ("undecided", None)
    assert "cannot be trusted" in realism.sentence
    assert "N=40 is too few." in realism.sentence
    assert "measuring more images" in realism.sentence
    assert "Only 40 held-out images" in verdict.standfirst


def test_wide_intervals_of_agreeing_seeds_leave_it_open() -> None:
    verdict = judge(
        table({"vae": {"fd": [5.0, 5.0, 5.0]}, "gan": {"fd": [4.5, 4.5, 4.5]}}, errors={"fd": 1.0})
    )
    assert answer(verdict, "realism").state == "undecided"
    assert "measuring more images" in answer(verdict, "realism").sentence


def test_untrusted_figures_of_one_recipe_leave_it_out() -> None:
    rows = [figure("gan", s, "sharpness-ratio", 1.0, 0.01, trusted=False) for s in range(3)]
    figures = {"vae": {"sharpness-ratio": [0.4, 0.4, 0.4]}, "gan": {"fd": [1.0, 1.1, 1.2]}}
    verdict = judge(table(figures, rows=rows))
    assert answer(verdict, "blur").best is None
    assert "its figure cannot be trusted" in answer(verdict, "blur").sentence
    assert saying(verdict, "gans-sharp").state == "undecided"


def test_unlike_protocols_are_never_compared() -> None:
    rows = [figure("vae", s, "fd", 9.0 + s / 10, 0.1, protocol="one") for s in range(3)] + [
        figure("gan", s, "fd", 2.0 + s / 10, 0.1, protocol="other") for s in range(3)
    ]
    verdict = judge(table({"vae": {"recall": [0.5] * 3}, "gan": {"recall": [0.5] * 3}}, rows=rows))
    realism = answer(verdict, "realism")
    assert (realism.state, realism.best) == ("undecided", None)
    assert "measured under another protocol" in realism.sentence
    assert len(realism.comparisons[0].standings) == 1


def test_an_encoder_and_a_search_are_not_ranked() -> None:
    rows = [
        figure(r, s, "reconstruction-psnr", v + s / 10, 0.1, protocol=by)
        for r, v, by in (("vae", 20.0, "encoder"), ("gan", 25.0, "search"))
        for s in range(3)
    ]
    verdict = judge(table({"vae": {"fd": [5, 6, 4]}, "gan": {"fd": [5, 7, 4]}}, rows=rows))
    latent = answer(verdict, "latent")
    assert latent.best is None
    assert "by its encoder" in latent.sentence
    assert "by searching for a code" in latent.sentence
    assert "not ranked" in latent.sentence
    assert use(verdict, "compress").pick == "vae"
    assert use(verdict, "anomaly").pick == "vae"
    assert "2003.02977" in use(verdict, "anomaly").because
    assert verdict.headline == (
        "Cannot tell the samples of the VAE and the GAN apart at this budget; the VAE finds "
        "a picture again in one pass."
    )


def test_an_encoder_no_better_than_the_mean_image_is_not_picked() -> None:
    verdict = judge(
        table({"vae": {"reconstruction-psnr": [10.5, 10.6, 10.4]}, "gan": {"fd": [1, 1.1, 1.2]}})
    )
    assert use(verdict, "compress").pick is None
    assert "no better than the mean image" in use(verdict, "compress").because


def test_nothing_measured() -> None:
    verdict = judge(table({"vae": {}, "gan": {}}))
    races = {a.key: a.state for a in verdict.answers}
    assert set(races) == set(QUESTIONS)
    assert {state for key, state in races.items() if key != "cost"} == {"not measured"}
    assert races["cost"] == "clear"
    assert {f.state for f in verdict.folklore} == {"undecided"}
    assert verdict.headline == (
        "Nothing was measured that tells the samples of the VAE and the GAN apart."
    )
    assert judge(Table((), ())).headline == "No run."


def test_one_recipe_alone() -> None:
    verdict = judge(
        table(
            {"gan": {"fd": [2.4], "classes-found": [7]}},
            errors=COUNTS,
            rows=[figure("pca", None, "fd", 4.5, 0.1)],
            baselines={"pca": "PCA Gaussian"},
        )
    )
    assert verdict.headline == (
        "Only the GAN was trained, so there is nothing to compare. It misses 3 of 10 classes."
    )
    realism = answer(verdict, "realism")
    assert (realism.state, realism.best) == ("undecided", None)
    assert "nothing to compare it with" in realism.sentence
    # (4.5 - 2.4) / (4.5 - 0.3)
    assert "of the way from there to unseen real images the GAN has gone 50 %" in realism.sentence
    assert use(verdict, "look").pick is None
    assert use(verdict, "teach").pick == "gan"


def test_worse_than_the_baseline_is_said() -> None:
    verdict = judge(
        clear(rows=[figure("pca", None, "fd", 5.0, 0.1)], baselines={"pca": "PCA Gaussian"})
    )
    sentence = answer(verdict, "realism").sentence
    assert "The baseline PCA Gaussian has 5.00" in sentence
    assert "the VAE is worse" in sentence


# -- collapse, copies, blur, density ----------------------------------------------------------


def test_planted_collapse() -> None:
    verdict = judge(
        table(
            {
                "vae": {"recall": [0.7, 0.71, 0.7], "classes-found": [10, 10, 10]},
                "gan": {"recall": [0.2, 0.25, 0.19], "classes-found": [4, 4, 5]},
            },
            errors=COUNTS,
        )
    )
    sentence = answer(verdict, "collapse").sentence
    assert answer(verdict, "collapse").state == "clear"
    assert "The VAE shows no collapse (10 of 10 classes found)." in sentence
    assert "The GAN collapsed in part (4 to 5 of 10 classes found over 3 seeds)." in sentence
    assert "the GAN collapsed (4 to 5 of 10 classes found over 3 seeds)" in verdict.headline
    assert saying(verdict, "gans-collapse").state == "confirmed"


def test_a_collapse_at_one_seed_is_told_as_that() -> None:
    counts = {"vae": {"modes-found": [25, 25, 25]}, "gan": {"modes-found": [25, 21, 25]}}
    verdict = judge(table(counts, errors=COUNTS, data=POINTS))
    assert "21 of 25 modes found at 1 of 3 seeds" in answer(verdict, "collapse").sentence
    assert saying(verdict, "gans-collapse").state == "undecided"
    assert "collapsed" not in verdict.headline


def test_a_winner_in_coverage_that_lost_classes_is_not_picked() -> None:
    verdict = judge(
        table(
            {
                "vae": {"recall": [0.4, 0.41, 0.4], "classes-found": [10, 10, 10]},
                "gan": {"recall": [0.7, 0.71, 0.7], "classes-found": [9, 9, 9]},
            },
            errors=COUNTS,
        )
    )
    assert answer(verdict, "coverage").best == "gan"
    assert use(verdict, "augment").pick is None
    assert "9 of 10 classes" in use(verdict, "augment").because


def test_posterior_collapse() -> None:
    verdict = judge(table({"vae": {"collapsed-dimensions": [14, 15, 14]}, "gan": {}}, errors={}))
    sentence = answer(verdict, "collapse").sentence
    assert "posterior collapse at every seed: 14 to 15 of 16 latent dimensions unused" in sentence


def test_planted_copies() -> None:
    figures = {
        recipe: {**metrics, "nearest-ratio-share": [0.001, 0.001, 0.001]}
        for recipe, metrics in CLEAR.items()
    }
    figures["gan"]["nearest-ratio-share"] = [0.3, 0.2, 0.25]
    verdict = judge(table(figures, errors={**COUNTS, "nearest-ratio-share": 0.005}))
    sentence = answer(verdict, "copies").sentence
    assert "The GAN copies its training data" in sentence
    assert "The VAE shows no sign of copying" in sentence
    assert "Planted copies have 100 % there" in sentence
    assert use(verdict, "look").pick is None
    assert "copies" in use(verdict, "look").because
    assert use(verdict, "augment").pick is None
    assert saying(verdict, "gans-memorise").state == "confirmed"
    assert "the GAN copies its training data" in verdict.headline


def test_the_training_baseline_shows_that_copies_would_be_seen() -> None:
    rows = [figure("training", None, "nearest-ratio-share", 0.97, 0.01)]
    verdict = judge(clear(rows=rows, baselines={"training": "Training images"}))
    assert "The baseline Training images has 97 % there." in answer(verdict, "copies").sentence


def test_noise_is_not_taken_for_sharpness() -> None:
    verdict = judge(
        table(
            {
                "vae": {"sharpness-ratio": [0.4, 0.41, 0.4], "noise-ratio": [0.3, 0.3, 0.3]},
                "gan": {"sharpness-ratio": [1.0, 1.01, 1.0], "noise-ratio": [2.1, 2.0, 2.2]},
            }
        )
    )
    blur = answer(verdict, "blur")
    assert (blur.state, blur.best) == ("undecided", None)
    assert "may be noise" in blur.sentence
    assert "By the sharpness alone, the samples of the GAN are closer" in blur.sentence


def test_closer_is_measured_from_the_floor_on_both_sides() -> None:
    too_sharp = {"sharpness-ratio": [1.6, 1.62, 1.61]}
    verdict = judge(table({"vae": {"sharpness-ratio": [0.8, 0.81, 0.8]}, "gan": too_sharp}))
    assert answer(verdict, "blur").best == "vae"
    assert saying(verdict, "gans-sharp").state == "undecided"
    assert "sharper than real images" in saying(verdict, "gans-sharp").sentence


def test_a_bound_and_no_density() -> None:
    verdict = judge(
        table({"vae": {"bits-per-dimension": [6.4, 6.41, 6.4]}, "gan": {"fd": [1, 1.1, 1.2]}})
    )
    density = answer(verdict, "density")
    assert (density.state, density.best) == ("undecided", None)
    assert "bound" in density.sentence
    assert "The GAN has no density of its own" in density.sentence


def test_a_density_of_a_gan_by_annealing_refutes_the_saying() -> None:
    figures = {
        recipe: {"gaussian-ais": [base, base + 1, base - 1], "gaussian-bdmc-gap": [2, 2.5, 3]}
        for recipe, base in (("vae", 800.0), ("gan", 930.0))
    }
    verdict = judge(table(figures, errors={"gaussian-ais": 5.0, "gaussian-bdmc-gap": 0.5}))
    assert answer(verdict, "density").best == "gan"
    no_density = saying(verdict, "gans-no-density")
    assert no_density.state == "refuted"
    assert (
        "the mean log p(x) of 5,000 held-out images is at least 929 to 931 nats per image over 3 "
        "runs (95 % intervals from 919 to 941). On samples of its own the upper bound lies at "
        "most 3 nats above."
    ) in no_density.sentence


def test_a_lead_within_the_bdmc_gap_is_no_lead() -> None:
    def with_gap(gap: float) -> Answer:
        figures = {
            recipe: {
                "gaussian-ais": [base, base + 0.1, base - 0.1],
                "gaussian-bdmc-gap": [gap] * 3,
            }
            for recipe, base in (("vae", 800.0), ("gan", 860.0))
        }
        errors = {"gaussian-ais": 0.1, "gaussian-bdmc-gap": 0.1}
        return answer(judge(table(figures, errors=errors)), "density")

    assert with_gap(5.0).best == "gan"
    assert with_gap(90.0).best is None


def test_points_have_no_blur_and_no_looks() -> None:
    verdict = judge(
        table({"vae": {"fd": [3.0, 3.1, 2.9]}, "gan": {"fd": [1.0, 1.1, 1.2]}}, data=POINTS)
    )
    assert answer(verdict, "blur").sentence == "Points cannot be blurred."
    assert verdict.headline == "The GAN makes samples that lie closer to real points."
    assert not {"vaes-blur", "gans-sharp"} & {f.key for f in verdict.folklore}
    assert "images" not in json.dumps(dataclasses.asdict(answer(verdict, "realism")))


# -- the hybrid -------------------------------------------------------------------------------


def with_hybrid(psnr: float) -> Verdict:
    hybrid = {
        "fd": [1.5, 1.6, 1.4], "recall": [0.80, 0.81, 0.80], "sharpness-ratio": [0.95, 0.96, 0.97],
        "reconstruction-psnr": [psnr, psnr + 0.1, psnr - 0.1],
    }  # fmt: skip
    vae = {**CLEAR["vae"], "reconstruction-psnr": [20.1, 20.2, 20.0]}
    gan = {
        "fd": [2.4, 2.7, 2.2], "recall": [0.73, 0.74, 0.73], "sharpness-ratio": [0.85, 0.84, 0.86]
    }  # fmt: skip
    return judge(table({"vae": vae, "gan": gan, "vae-gan": hybrid}, errors=COUNTS))


def test_a_hybrid_that_is_best_on_one_axis_and_worst_on_another() -> None:
    verdict = with_hybrid(psnr=14.0)
    assert answer(verdict, "realism").best == "vae-gan"
    hybrid = saying(verdict, "hybrid-best")
    assert hybrid.state == "refuted"
    assert "finding pictures again" in hybrid.sentence
    assert "realism" not in hybrid.sentence
    assert use(verdict, "look").pick == "vae-gan"
    assert use(verdict, "compress").pick == "vae"


def test_a_hybrid_that_is_best_everywhere() -> None:
    verdict = with_hybrid(psnr=24.0)
    assert saying(verdict, "hybrid-best").state == "confirmed"
    assert use(verdict, "compress").pick == "vae-gan"


# -- what two seeds show, and what one of them does not ---------------------------------------


def test_encoders_are_judged_run_by_run_not_by_two_seeds_t() -> None:
    """At one degree of freedom t is 12.7: 15.5 and 13.6 dB are not "no better" than 11 dB."""
    psnr = {"reconstruction-psnr": [15.5, 13.6]}
    verdict = judge(table({"vae": psnr, "gan": {"fd": [1.0, 1.1]}}, rows=_searches(2)))
    assert use(verdict, "compress").pick == "vae"
    assert use(verdict, "anomaly").pick == "vae"
    assert "the VAE finds a picture again in one pass" in verdict.headline
    both = judge(table({"vae": psnr, "vae-gan": psnr, "gan": {"fd": [1.0, 1.1]}}))
    assert "both have a useful encoder" in use(both, "compress").because
    assert "No recipe was measured with an encoder" not in use(both, "anomaly").because


def _searches(seeds: int) -> list[Any]:
    return [
        figure("gan", s, "reconstruction-psnr", 15.0 + s, 0.1, protocol="search")
        for s in range(seeds)
    ]


def test_an_encoder_not_shown_to_be_better_is_not_said_to_be_no_better() -> None:
    open_ = {"reconstruction-psnr": [15.5, 11.0]}
    bad = {"reconstruction-psnr": [10.0, 10.1]}
    verdict = judge(table({"vae": open_, "gan": {"fd": [1.0, 1.1]}}))
    because = use(verdict, "compress").because
    assert use(verdict, "compress").pick is None
    assert "no better" not in because
    assert because.startswith("Not every run of the VAE is shown to find pictures again better")
    assert "A recipe with an encoder" not in use(verdict, "compress").would_change
    assert "No recipe was measured" not in use(verdict, "anomaly").because
    verdict = judge(table({"vae": bad, "vae-gan": bad, "gan": {"fd": [1.0, 1.1]}}))
    assert "The VAE and the VAE-GAN find pictures again no better than the mean image." in (
        use(verdict, "compress").because
    )
    none = judge(table({"vae": {"fd": [2.0, 2.1]}, "gan": {"fd": [1.0, 1.1]}}))
    assert "A recipe with an encoder" in use(none, "compress").would_change
    assert "No recipe was measured with an encoder." in use(none, "anomaly").because


def test_numbers_that_differ_between_seeds_are_told_as_a_range() -> None:
    def said(*classes: float) -> tuple[str, str, str]:
        counts = {"vae": {"classes-found": [10] * len(classes)}, "gan": {"classes-found": classes}}
        verdict = judge(table(counts, errors=COUNTS))
        collapsed = answer(verdict, "collapse").sentence
        return collapsed, saying(verdict, "gans-collapse").sentence, verdict.headline

    for sentence in said(6, 9)[:2]:
        assert "6 to 9 of 10 classes found over 2 seeds" in sentence
        assert "at every seed" not in sentence
    assert said(9, 6) == said(6, 9)
    assert "but the GAN misses 1 to 4 of 10 classes" in said(6, 9)[2]
    assert all("6 of 10 classes found at every seed" in sentence for sentence in said(6, 6)[:2])
    assert "7 to 9 of 10 classes found at 2 of 3 seeds" in said(9, 10, 7)[0]
    assert "misses" not in said(9, 10, 7)[2]


def test_classes_that_others_miss_too_are_told_beside_those_of_the_gan() -> None:
    counts = {"vae": {"classes-found": [8, 9]}, "gan": {"classes-found": [9, 9]}}
    dropped = saying(judge(table(counts, errors=COUNTS)), "gans-collapse")
    assert dropped.sentence.endswith("The VAE misses some, too.")


def test_one_mode_of_many_is_a_loss_and_no_collapse() -> None:
    counts = {"vae": {"modes-found": [25, 25]}, "gan": {"modes-found": [24, 24]}}
    verdict = judge(table(counts, errors=COUNTS, data=POINTS))
    assert "the GAN misses 1 of 25 modes" in verdict.headline
    assert "collapsed" not in verdict.headline


def test_intervals_stay_within_what_a_metric_can_be() -> None:
    few = {"recall": [0.03, 0.05, 0.001], "fd": [20.0, 70.0, 1.0], "modes-found": [25, 20, 24]}
    good = {"recall": [0.99, 0.9, 0.999], "fd": [9.0, 8.0, 9.0], "modes-found": [25, 25, 25]}
    verdict = judge(table({"vae": good, "gan": few}, errors=COUNTS, data=POINTS))
    for key, low, high in (("realism", 0, 1e9), ("coverage", 0, 1), ("collapse", 0, 25)):
        for standing in answer(verdict, key).comparisons[0].standings:
            assert standing.low is not None
            assert standing.high is not None
            assert low <= standing.low <= standing.mean <= standing.high <= high
    # What may be negative is not cut off, and neither is the interval of the difference.
    kid = {"vae": {"kid": [0.001, -0.001, 0.0]}, "gan": {"kid": [0.01, 0.02, 0.03]}}
    shown = answer(judge(table(kid, errors={"kid": 1e-3})), "realism").comparisons[0]
    assert min(s.low or 0 for s in shown.standings) < 0
    difference = answer(verdict, "coverage").comparisons[0].difference
    assert difference is not None
    assert difference[2] is not None
    assert difference[2] > 0.9


def test_of_two_seeds_both_values_are_told() -> None:
    verdict = judge(table({"vae": {"fd": [35.5, 41.7]}, "gan": {"fd": [39.3, 71.3]}}))
    assert "VAE 38.6 (35.5 and 41.7), GAN 55.3 (39.3 and 71.3)" in (
        answer(verdict, "realism").sentence
    )
    assert "(means of 2 seeds each; in brackets both values)" in (
        answer(verdict, "realism").sentence
    )


def test_a_seed_that_is_left_out_is_named() -> None:
    rows = [
        figure("gan", 0, "sharpness-ratio", 0.46, 0.01, trusted=False),
        figure("gan", 1, "sharpness-ratio", 0.50, 0.01),
    ]
    figures = {"vae": {"sharpness-ratio": [0.4, 0.41]}, "gan": {"fd": [1.0, 1.1]}}
    verdict = judge(table(figures, rows=rows))
    named = "Seed 0 of the GAN is left out: its figure cannot be trusted."
    blur = answer(verdict, "blur")
    assert named in blur.sentence
    assert "one seed of the GAN" not in blur.sentence
    assert "one usable seed of the GAN" in blur.sentence
    assert named in saying(verdict, "gans-sharp").sentence
    assert "One seed was seen" not in saying(verdict, "gans-sharp").sentence
    other = [
        figure(
            "gan", s, "sharpness-ratio", 0.5, 0.01, protocol="a" if s else "sharpness-ratio-0123"
        )
        for s in range(3)
    ]
    figures = {"vae": {"sharpness-ratio": [0.4, 0.41, 0.4]}, "gan": {"fd": [1.0, 1.1, 1.0]}}
    sentence = answer(judge(table(figures, rows=other)), "blur").sentence
    assert "Seeds 1 and 2 of the GAN are left out: measured under another protocol." in sentence


# -- what one figure says is not what the answer says -----------------------------------------


def test_sayings_do_not_go_beyond_an_answer_that_was_taken_back() -> None:
    contradicted = {
        "vae": {"recall": [0.8, 0.81, 0.8], "coverage": [0.3, 0.31, 0.3]},
        "gan": {"recall": [0.5, 0.51, 0.5], "coverage": [0.9, 0.91, 0.9]},
    }
    verdict = judge(table(contradicted))
    assert answer(verdict, "coverage").best is None
    assert saying(verdict, "vaes-cover").state == "undecided"
    assert "disagree" in saying(verdict, "vaes-cover").sentence
    steps = {
        "vae": {"path-length-relative": [20, 21, 20], "step-variation": [0.9, 0.91, 0.9]},
        "gan": {"path-length-relative": [40, 41, 40], "step-variation": [0.2, 0.21, 0.2]},
    }
    verdict = judge(table(steps))
    assert answer(verdict, "latent").best is None
    assert saying(verdict, "vaes-smooth").state == "undecided"


def test_sharpness_that_may_be_noise_confirms_nothing() -> None:
    figures = {
        "vae": {"sharpness-ratio": [0.4, 0.41, 0.4], "noise-ratio": [0.3, 0.3, 0.3]},
        "gan": {"sharpness-ratio": [1.0, 1.01, 1.0], "noise-ratio": [1.1, 2.0, 2.2]},
    }
    sharp = saying(judge(table(figures)), "gans-sharp")
    assert sharp.state == "undecided"
    assert "2.2" in sharp.sentence
    assert "may be noise" in sharp.sentence


def test_sharp_is_within_both_bounds() -> None:
    wide = {"vae": {"fd": [1.0, 1.1, 1.2]}, "gan": {"sharpness-ratio": [1.1, 1.5, 1.5]}}
    assert saying(judge(table(wide)), "gans-sharp").state == "undecided"


def test_a_hybrid_is_not_ahead_where_figures_disagree() -> None:
    def held(precision: float) -> Folklore:
        figures = {
            recipe: {
                "fd": [fd, fd + 0.1, fd - 0.1],
                "precision": [share, share + 0.01, share - 0.01],
                "recall": [recall, recall + 0.01, recall - 0.01],
            }
            for recipe, fd, share, recall in (
                ("vae", 9.0, 0.5, 0.4), ("gan", 6.0, 0.8, 0.5), ("vae-gan", 1.5, precision, 0.8),
            )
        }  # fmt: skip
        return saying(judge(table(figures)), "hybrid-best")

    assert held(0.85).state == "confirmed"
    assert held(0.5).state == "undecided"
    assert held(0.5).sentence.endswith("Nobody is shown to be ahead in realism.")


def test_one_failure_is_no_rule() -> None:
    vae = {"fd": [5.0, 5.1, 5.2]}
    one = {"gan": ["diverged", "finished", "finished"]}
    verdict = judge(table({"vae": vae, "gan": {"fd": [2.0, 2.1]}}, statuses=one))
    assert saying(verdict, "gans-hard").state == "undecided"
    two = {"gan": ["diverged", "crashed", "finished"]}
    verdict = judge(table({"vae": vae, "gan": {"fd": [2.0]}}, statuses=two))
    assert saying(verdict, "gans-hard").state == "confirmed"
    lone = judge(table({"vae": {"fd": [5.0]}, "gan": {"fd": [2.0]}}))
    assert saying(lone, "gans-hard").sentence.startswith("The one run did not diverge or crash.")


def test_a_superlative_needs_all_of_them() -> None:
    def density(*recipes: str) -> str:
        bits = {"vae": 4.5, "vae-gan": 3.0, "gan": 6.0}
        figures = {
            recipe: {"fd": [5.0, 9.0, 2.0]}
            | (
                {"gaussian-bits": [bits[recipe], bits[recipe] + 0.01, bits[recipe] - 0.01]}
                if recipe in recipes
                else {}
            )
            for recipe in bits
        }
        return judge(table(figures)).headline

    assert "gives held-out data the highest density" in density("vae", "gan", "vae-gan")
    assert "gives held-out data a higher density than the VAE" in density("vae", "vae-gan")


def test_the_best_of_those_that_search_is_not_the_best_at_finding() -> None:
    rows = [
        figure(recipe, s, "reconstruction-psnr", value + s / 10, 0.1, protocol=by)
        for recipe, value, by in (
            ("gan", 25.0, "search"), ("vae", 18.0, "encoder"), ("vae-gan", 15.0, "search"),
        )
        for s in range(3)
    ]  # fmt: skip
    figures = {recipe: {"fd": [5.0, 9.0, 2.0]} for recipe in ("vae", "gan", "vae-gan")}
    protocols = {name: {"by": name} for name in ("search", "encoder")}
    given = dataclasses.replace(table(figures, rows=rows), protocols=protocols)
    verdict = judge(given)
    assert answer(verdict, "latent").best is None
    assert "best" not in verdict.headline
    assert "the VAE finds a picture again in one pass" in verdict.headline
    assert use(verdict, "compress").pick == "vae"


def test_encoders_measured_in_unlike_ways_have_a_reason() -> None:
    rows = [
        figure(recipe, s, "reconstruction-psnr", 20.0 + s / 10, 0.1, protocol=recipe)
        for recipe in ("vae", "vae-mse")
        for s in range(3)
    ]
    figures = {recipe: {"fd": [5.0, 9.0, 2.0]} for recipe in ("vae", "vae-mse")}
    compress = use(judge(table(figures, rows=rows)), "compress")
    assert compress.pick is None
    assert "was measured in another way." in compress.because
    assert ": ." not in compress.because


def test_densities_of_unlike_likelihoods_are_not_set_side_by_side() -> None:
    verdict = judge(
        table(
            {
                "vae": {"bits-per-dimension": [4.0, 4.01, 4.0]},
                "gan": {"gaussian-bits": [6.2, 6.21, 6.2]},
            }
        )
    )
    sentence = answer(verdict, "density").sentence
    assert answer(verdict, "density").best is None
    assert "the same for all" not in sentence
    assert "Only the GAN has a figure to go by" in sentence
    assert "belongs to another likelihood" in sentence


# -- a copy or two by chance ------------------------------------------------------------------


def copied(*shares: float, floor: float = 0.0) -> Verdict:
    rows = [
        figure("gan", s, "exact-duplicates", share, None, n_real=5000, floor=floor,
               low=wilson(share, 5000), high=share_limit(share, 5000))
        for s, share in enumerate(shares)
    ]  # fmt: skip
    fds = {"vae": {"fd": [9.0, 9.1, 9.2]}, "gan": {"fd": [2.0, 2.1, 2.2]}}
    return judge(table(fds, rows=rows))


def wilson(share: float, n: int) -> float:
    """The lower end, as that of the others."""
    return 1 - share_limit(1 - share, n)


def test_one_duplicate_in_thousands_is_no_copying() -> None:
    verdict = copied(0.0, 1 / 5000, 0.0)
    assert "copies" not in verdict.headline
    assert use(verdict, "look").pick == "gan"
    assert saying(verdict, "gans-memorise").state == "refuted"


def test_copies_at_one_seed_of_three_take_no_lead() -> None:
    verdict = copied(0.0, 0.05, 0.0)
    assert use(verdict, "look").pick == "gan"
    assert "at 1 of 3 seeds" in use(verdict, "look").because
    assert "the GAN shows a sign of copying at 1 of 3 seeds" in verdict.headline
    assert "copies its training data" not in verdict.headline
    assert "too few seeds" in answer(verdict, "copies").sentence
    most = copied(0.04, 0.05, 0.0)
    assert "the GAN copies its training data" in most.headline
    assert use(most, "look").pick is None
    assert "at 2 of 3 seeds" in use(most, "look").because


# -- the words --------------------------------------------------------------------------------

TABLES = {
    "clear": clear(),
    "two seeds": table({r: {m: v[:2] for m, v in ms.items()} for r, ms in CLEAR.items()}),
    "one seed": table({r: {m: v[:1] for m, v in ms.items()} for r, ms in CLEAR.items()}),
    "failed": table({"vae": CLEAR["vae"], "gan": {}}, statuses={"gan": ["crashed"] * 2}),
    "bare": table({"vae": {}, "gan": {}}),
    "points": table({"vae": {"fd": [1.0, 2.0]}, "gan": {"fd": [1.0, 3.0]}}, data=POINTS),
}


@pytest.mark.parametrize("given", TABLES.values(), ids=TABLES.keys())
def test_sentences_are_sentences(given: Table) -> None:
    verdict = judge(given)
    said = [
        verdict.headline, verdict.standfirst,
        *(a.sentence for a in verdict.answers),
        *(r.because for r in verdict.recommendations),
        *(r.would_change for r in verdict.recommendations),
        *(f.sentence for f in verdict.folklore), *(f.claim for f in verdict.folklore),
    ]  # fmt: skip
    for sentence in said:
        assert sentence == sentence.strip()
        assert sentence[0].isupper() or sentence[0].isdigit(), sentence
        assert sentence.endswith("."), sentence
        for ugly in ("  ", "..", " .", " ,", "None", "nan", "(s)", "the the", "()"):
            assert ugly not in sentence.replace("None of", ""), (ugly, sentence)
        # Titles, not the names of recipes.
        for name in TITLES:
            assert f"the {name} " not in sentence


@pytest.mark.parametrize("given", TABLES.values(), ids=TABLES.keys())
def test_a_verdict_is_json(given: Table) -> None:
    verdict = judge(given)
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["headline"] == (
        verdict.headline
    )
