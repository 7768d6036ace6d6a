"""What the site shows beside the pages of docs/: the README, the results, and every command's help.

Links that leave docs/ lead to these pages, or to a copy of the file, so that the site needs no
repository beside it.
"""

import contextlib
import io
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {  # files of the repository that are pages of the site
    "README.md": "index.md",
    "results/README.md": "results.md",
    "results/epochs.md": "epochs.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def site_address(target: str) -> str:
    """Where a file of the repository is on the site."""
    if target in PAGES:
        return PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"source/{target}"


def relinked(markdown: str, source: str, uri: str, leaving: set[str]) -> str:
    """The page ``source`` of the repository with its links as they are at ``uri`` of the site.

    Files that are on the site only because they are linked are added to ``leaving``.
    """

    def change(link: re.Match[str]) -> str:
        path, mark, heading = link[2].partition("#")
        if "://" in path or not path:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if (ROOT / target).is_dir():
            return link[0].split("](")[0] + "]"
        address = site_address(target)
        if address.startswith("source/"):
            leaving.add(target)
        near = posixpath.relpath(address, posixpath.dirname(uri) or ".")
        return f"{link[1]}{near}{mark}{heading}{link[3]}"

    return LINK.sub(change, markdown)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and all files that a page links to."""
    leaving: set[str] = set()
    for source, uri in PAGES.items():
        text = relinked((ROOT / source).read_text(), source, uri, leaving)
        files.append(File.generated(config, uri, content=text))
    for page in [file for file in files.documentation_pages() if file.abs_src_path]:
        if page.src_uri.endswith(".md"):
            source = f"docs/{page.src_uri}"
            relinked(Path(page.abs_src_path).read_text(), source, page.src_uri, leaving)
    files.append(File.generated(config, "commands.md", content=commands_page()))
    for target in sorted(leaving):
        copied = File.generated(config, f"source/{target}", content=(ROOT / target).read_bytes())
        files.append(copied)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to where the site has their files."""
    if page.file.generated_by or not page.file.src_uri.endswith(".md"):
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}", page.file.src_uri, set())


def commands_page() -> str:
    """Every command with its help, as the program prints it."""
    from collapse_lit.cli import COMMANDS, main

    os.environ["COLUMNS"] = "100"
    text = "# Commands\n\nThis page is what each command prints with `--help`.\n"
    for name, meaning in COMMANDS.items():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            main([name, "--help"])
        text += f"\n## {name}\n\n{meaning[0].upper()}{meaning[1:]}.\n\n```\n{shown.getvalue()}```\n"
    return text
