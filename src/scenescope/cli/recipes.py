"""scenescope recipes: the recipes in the package."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from scenescope.cli.console import Console


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe.", show_default="list them all")] = None,
) -> None:
    """List the recipes and ablations in the package, each with its command, or print one as a start for your own."""
    from scenescope.recipes.reader import list_ablations, list_recipes, recipe_text

    if name is not None:
        # Redirected into a file the text has to stay as it is, so rich may neither wrap nor color it.
        typer.echo(recipe_text(name), nl=False)
        return
    console = Console()
    for recipe, comment in (list_recipes() | list_ablations()).items():
        what, command, *_ = comment.splitlines()
        console.print(Text(recipe, "bold"))
        console.print(Padding.indent(Text(what), 2))
        # One line however narrow the terminal: it is there to be copied.
        console.print(Text(f"  {command}"), soft_wrap=True)
