"""Names of the user's own in charts: whatever is in them, they are drawn as they stand."""

from collections.abc import Sequence

LONGEST = 16  # characters of a name at an axis


def cut(name: str, longest: int = LONGEST) -> str:
    """A name of at most that many characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def plain(text: str) -> str:
    """A text for Plotly, which reads a part of HTML in every text that it draws."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain_for_paper(text: str) -> str:
    """A short text for Matplotlib, which reads formulas between dollar signs."""
    return cut(text).replace("$", r"\$")


def categories(names: Sequence[str]) -> list[str]:
    """The names for a category axis of Plotly's: plain, and told apart where two are alike."""
    seen: dict[str, int] = {}
    told_apart = []
    for name in map(plain, names):
        seen[name] = seen.get(name, 0) + 1
        told_apart.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told_apart
