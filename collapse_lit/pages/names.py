"""Draw user-given names in charts verbatim, whatever they contain."""

from collections.abc import Sequence

LONGEST = 16  # characters of a name on an axis


def cut(name: str, longest: int = LONGEST) -> str:
    """The name, shortened to at most ``longest`` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def plain(text: str) -> str:
    """Escape a text for Plotly, which interprets some HTML in every text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain_for_paper(text: str) -> str:
    """Escape a short text for Matplotlib, which interprets formulas between dollar signs."""
    return cut(text).replace("$", r"\$")


def categories(names: Sequence[str]) -> list[str]:
    """The names for a category axis of Plotly: escaped, and unique even if two names are equal."""
    seen: dict[str, int] = {}
    told_apart = []
    for name in map(plain, names):
        seen[name] = seen.get(name, 0) + 1
        told_apart.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told_apart
