"""What `--help` costs, and the options there are."""

import subprocess
import sys

import pytest
import typer

from diptych.cli.app import app

HEAVY = ("torch", "lightning_fabric", "numpy", "PIL", "safetensors", "jinja2", "diptych.data")

SCRIPT = f"""
import sys
from diptych.__main__ import main
try:
    main()
finally:
    loaded = [name for name in {HEAVY} if name in sys.modules]
    print("loaded:", *loaded, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["recipes"], ["compare", "--help"], ["train", "vea"]]
)
def test_quick_answers_import_nothing_heavy(arguments, environment) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stderr.splitlines()[-1].strip() == "loaded:", ended.stderr
    assert ended.returncode == (2 if "vea" in arguments else 0)


def test_completion_imports_nothing_heavy(environment) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['diptych']\n{SCRIPT}"],
        env={
            **environment,
            "_DIPTYCH_COMPLETE": "complete_bash",
            "COMP_WORDS": "diptych re",
            "COMP_CWORD": "1",
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stderr.splitlines()[-1].strip() == "loaded:", ended.stderr
    assert set(ended.stdout.split()) == {"report", "resume", "reconstruct", "recipes"}


DATA = {"--size", "--crop", "--data-dir", "--skip-bad"}
BUDGET = {"--minutes", "--images"}
TRAINING = {"--data", *DATA, *BUDGET, "--seed", "--out", "--set", "--device", "--precision"}
EXECUTION = {
    "--device",
    "--precision",
    "--threads",
    "--memory-format",
    "--allocator",
    "--linear",
    "--layers",
    "--compile",
    "--devices",
    "--nodes",
}
TOLD = {"--json", "--quiet"}
PICTURE = {"--out", "--seed", "--scale", "--count"}

OPTIONS = {
    "compare": TRAINING | {"--equal", "--seeds", "--trials", "--jobs", "--metrics"} | TOLD,
    "report": {"--format", "--out"},
    "explore": {"--port", "--no-open", "--data", "--data-dir", "--crop", "--skip-bad"},
    "train": TRAINING | EXECUTION | TOLD,
    "resume": BUDGET | EXECUTION | TOLD,
    "sample": PICTURE | {"--precision"},
    "reconstruct": PICTURE | {"--data"} | DATA,
    "interpolate": PICTURE | {"--steps"},
    "evaluate": {
        "--real",
        "--fake",
        "--train",
        "--split",
        "--features",
        "--metrics",
        "--n",
        "--budget",
        "--weights",
        "--resize",
        "--effort",
        "--seed",
        "--notes",
        "--dtype",
        "--devices",
        *DATA,
        *TOLD,
    },
    "diff": {"--force", "--json"},
    "weights": set(),
    "recipes": {"--set", "--json"},
    "data": DATA | {"--out"} | TOLD,
    "doctor": {"--json"},
}
"""Grow by deletion: an option added here is one that everybody has to read about."""


def commands():
    return typer.main.get_command(app).commands


def test_the_options_are_these() -> None:
    found = {
        name: {
            option
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--") and option != "--help"
        }
        for name, command in commands().items()
    }
    assert found == OPTIONS


def test_a_name_means_the_same_everywhere() -> None:
    defaults: dict[str, set[str]] = {}
    for name, command in commands().items():
        assert command.help, name
        for parameter in command.params:
            for option in parameter.opts:
                # The number and the place of pictures differ from command to command.
                if option.startswith("--") and option not in ("--out", "--count", "--data"):
                    defaults.setdefault(option, set()).add(repr(parameter.default))
    assert {option for option, values in defaults.items() if len(values) > 1} == set()


def test_no_help_imports_anything_heavy(environment) -> None:
    script = f"""
import contextlib, io, sys
from diptych.cli.app import app
for name in {list(OPTIONS)}:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        app([name, "--help"], standalone_mode=False)
    assert "Usage: " in told.getvalue(), name
    loaded = [heavy for heavy in {HEAVY} if heavy in sys.modules]
    assert not loaded, (name, loaded)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", ["train", "resume"])
def test_how_work_is_run_is_a_part_of_its_own(name, diptych) -> None:
    told = diptych(name, "--help").out
    own = told[told.index("Execution") :]
    for option in EXECUTION:
        assert option in own
        assert option not in told[: told.index("Execution")]


@pytest.mark.parametrize("name", [*OPTIONS, ""])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(name, flag, diptych) -> None:
    ended = diptych(*filter(None, [name]), flag)
    assert (ended.code, ended.err) == (0, "")
    assert "Usage: " in ended.out
    for option in OPTIONS.get(name, ()):
        assert option in ended.out


def test_without_arguments_the_help_is_shown(diptych) -> None:
    ended = diptych()
    assert "Usage: " in ended.out + ended.err
    assert "diptych compare vae gan --data fashion-mini --minutes 3" in ended.out + ended.err
