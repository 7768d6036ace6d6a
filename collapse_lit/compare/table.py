"""Tables with one row per run, as Markdown and in the terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with the first column left-aligned and numbers right-aligned."""
    lines = [["", *titles], ["---", *["---:"] * len(titles)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def terminal_table(titles: Sequence[str], rows: Iterable[Sequence[str]], first: str = "") -> Table:
    """The same table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*row)
    return table
