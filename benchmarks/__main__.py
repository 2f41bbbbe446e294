"""The benchmarks of speed, each one command and one table.

    python -m benchmarks train|sample|metrics|scaling|quality [--quick] [--rounds N]
                         [--threads N] [--out FILE.json] [--markdown]

docs/performance.md holds the tables and says how to repeat them. A peer that is not installed is
left out with one line.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.table import to_json, to_markdown, to_text

KINDS = ("train", "sample", "metrics", "scaling", "quality")


def machine() -> dict[str, Any]:
    """What the numbers were taken on, and when."""
    import os

    import torch

    from diptych import __version__
    from diptych.training.machine import processor_name

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load before": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch threads": torch.get_num_threads(),
        "diptych": __version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    parser.add_argument("--rounds", type=int, help="timed turns of every variant (5)")
    parser.add_argument("--threads", type=int, help="of everybody; unset: as the plan chooses")
    parser.add_argument("--only", default="", help="train, scaling: parts, separated by commas")
    parser.add_argument("--out", type=Path, help="also write the tables and the machine as JSON")
    parser.add_argument("--markdown", action="store_true", help="print as docs/performance.md has")
    quality = parser.add_argument_group("quality")
    quality.add_argument("--work", type=Path, help="where runs lie; finished ones are kept")
    quality.add_argument("--data", help="fashion-mnist where DIPTYCH_DATA is set")
    quality.add_argument("--images", type=int, help="budget of each training (300000)")
    quality.add_argument("--seeds", type=int, help="trainings of each recipe and precision (3)")
    quality.add_argument("--recipes", nargs="+", help="vae gan")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    module = importlib.import_module(f"benchmarks.{arguments.kind}")
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    taken = inspect.signature(module.run).parameters
    options = {
        name: value
        for name, value in vars(arguments).items()
        if name in taken and name not in ("quick", "rounds") and value not in (None, "")
    }
    described = machine()
    start = time.perf_counter()
    rows = module.run(
        arguments.quick, arguments.rounds or (2 if arguments.quick else 5), **options
    )
    described["minutes"] = round((time.perf_counter() - start) / 60, 1)
    line = ", ".join(f"{key} {value}" for key, value in described.items())
    print(line, end="\n\n")
    print(to_markdown(rows) if arguments.markdown else to_text(rows))
    if arguments.out:
        content = {"kind": arguments.kind, "machine": described, "tables": to_json(rows)}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
        print(f"written: {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
