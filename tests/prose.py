"""Sentences of a Markdown page, and how long they are."""

import re
from pathlib import Path

FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LEFT_OUT = re.compile(r"^\s*(\||#|!!!|:::|\[\^?[\w-]+\]: )")  # tables, headings, directives
BULLET = re.compile(r"^\s*([-*+]|\d+\.)\s+")
END = re.compile(r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<=[.!?])[*_)\"]*\s+(?=[*_(\"]*[A-Z`0-9])")


def sentences(markdown: str) -> list[str]:
    """All sentences of prose; a colon ends none, a code span is one word, a link is its text."""
    markdown = re.sub(r"<!--.*?-->", "", FENCE.sub("", markdown), flags=re.DOTALL)
    paragraphs: list[list[str]] = [[]]
    for line in markdown.splitlines():
        if not line.strip() or LEFT_OUT.match(line):
            paragraphs.append([])
        elif BULLET.match(line):
            paragraphs.append([BULLET.sub("", line)])
        else:
            paragraphs[-1].append(line.strip())
    found = []
    for lines in paragraphs:
        text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", " ".join(lines))
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]+`", "`code`", text))
        found += [sentence for sentence in END.split(text) if words(sentence)]
    return found


def words(text: str) -> int:
    """Parts of a text between spaces that hold a letter or a digit."""
    return sum(any(c.isalnum() for c in part) for part in text.split())


def longer_than(limit: int, page: Path) -> list[str]:
    """The page's sentences of more words than ``limit``."""
    return [s for s in sentences(page.read_text()) if words(s) > limit]
