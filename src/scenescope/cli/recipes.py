"""scenescope recipes: the recipes in the package."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe.", show_default="list them all")] = None,
) -> None:
    """List the recipes in the package, or print one as a start for your own."""
    from scenescope.recipes.reader import list_recipes, recipe_text

    if name is not None:
        # Redirected into a file the text has to stay as it is, so rich may neither wrap nor colour it.
        typer.echo(recipe_text(name), nl=False)
        return
    table = Table("recipe", "what it is", box=None)
    for recipe, comment in list_recipes().items():
        table.add_row(recipe, comment.partition("\n")[0])
    Console().print(table)
