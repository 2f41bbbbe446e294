"""`diptych recipes`."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from diptych.cli.console import print_json, stdout
from diptych.cli.options import JsonOutput, Settings

__all__ = ["recipes"]


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe whole, ready to save and change.")
    ] = None,
    settings: Settings = None,
    json: JsonOutput = False,
) -> None:
    """List the recipes, or print one with every setting resolved."""
    from diptych.recipes import builtin_names, load_recipe, recipe_yaml

    if name is not None:
        recipe = load_recipe(name, settings or ())
        if json:
            print_json(recipe.to_dict())
        else:
            print(recipe_yaml(recipe), end="")
        return
    known = [load_recipe(each) for each in builtin_names()]
    if json:
        print_json({"recipes": [{"name": r.name, "summary": r.summary} for r in known]})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for recipe in known:
        table.add_row(Text(recipe.name, style="bold"), recipe.summary)
    stdout.print(table)
