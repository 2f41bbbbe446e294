"""Imports run downward only: the map in docs/architecture.md is the code's own."""

import ast
from pathlib import Path

import pytest

import diptych

PACKAGE = Path(diptych.__file__).parent
FLOORS = {
    "data": 0,
    "recipes": 0,
    "networks": 1,
    "distributions": 1,
    "objectives": 1,
    "models": 2,
    "training": 3,
    "evaluation": 4,
    "study": 5,
    "report": 6,
    "explorer": 6,
    "cli": 7,
}
ALLOWED_UP = {("study", "report")}
"""A study ends by writing its page; it passes a directory and nothing else."""


def imported_rooms(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("diptych.")}


@pytest.mark.parametrize("room", FLOORS)
def test_rooms_import_downward(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        for other in imported_rooms(file) & FLOORS.keys():
            downward = FLOORS[other] <= FLOORS[room] or (room, other) in ALLOWED_UP
            assert downward, f"{file.name} in {room}/ (floor {FLOORS[room]}) imports {other}/"


def test_every_room_is_on_the_map() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == FLOORS.keys()


def test_fabric_is_imported_in_one_module() -> None:
    importers = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if "lightning"
        in {
            part
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for part in name.replace("_", ".").split(".")
        }
    ]
    assert importers == ["training/engine.py"]
