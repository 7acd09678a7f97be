import io

from rich.table import Table
from rich.text import Text

from scenescope.cli.console import Console
from scenescope.errors import visible


def test_names_of_strangers_are_text_and_our_own_colors_are_not():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system="standard", width=60)
    table = Table()
    table.add_column("class")
    table.add_row(Text(visible("\x1b[2Jsky")))
    console.print("a\x1b]0;title b\x9bc", markup=False, highlight=False)
    console.print(table)
    console.print(Text("green", "green"))
    text = written.getvalue()
    assert "a\\x1b]0;title b\\x9bc" in text
    assert "\\x1b[2Jsky" in text
    assert "\x1b[32mgreen" in text
