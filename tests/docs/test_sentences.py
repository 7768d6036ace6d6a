"""Readable prose: short sentences in the README and in docs/."""

from pathlib import Path

import pytest
from prose import FENCE, longer_than, sentences, words

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
LONG = 30  # words in a sentence


def test_the_readme_can_be_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_no_sentence_of_the_front_pages_is_long(page: str) -> None:
    assert longer_than(LONG, ROOT / page) == []


def test_hardly_a_sentence_of_the_documentation_is_long() -> None:
    long = [f"{page.name}: {text}" for page in DOCS for text in longer_than(LONG, page)]
    of_all = sum(len(sentences(page.read_text())) for page in DOCS)
    assert of_all > 300
    assert len(long) <= 0.02 * of_all, "\n".join(long)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_has_one_title(page: Path) -> None:
    """A heading with its marks torn apart (`# # Setup`) would be a second one."""
    text = FENCE.sub("", page.read_text())
    assert len([line for line in text.splitlines() if line.startswith("# ")]) <= 1


def test_sentences_are_counted_as_a_reader_counts_them() -> None:
    page = """\
# A heading. It is left out

One sentence with `code of three words` and [a link](to/a/page.md). *Another one*, e.g. this: it
goes on! A third?

- A bullet point
- Another (with 2.5 in it).

| a table | is not prose |
|---|---|

```sh
make nothing    # Nor is code. Not at all.
```
"""
    found = sentences(page)
    assert [words(sentence) for sentence in found] == [7, 7, 2, 3, 5]
