"""Write a self-contained page from a template that extends the base template."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from collapse_lit.tracking.whole_files import write_whole


def write_page(path: Path, package: str, template: str, values: Mapping[str, Any]) -> None:
    """Write an HTML file, completely or not at all.

    Args:
        path: The file to write.
        package: The package whose ``templates/`` folder has the template.
        template: Name of the template, which extends ``base.html.jinja``.
        values: Values of the template's variables. Every text is escaped.
    """
    write_whole(path, render_page(package, template, values))


def render_page(package: str, template: str, values: Mapping[str, Any]) -> bytes:
    """The content of an HTML file, with the arguments of :func:`write_page`."""
    page = _environment(package).get_template(template).render(**values)
    return page.encode("utf-8", "backslashreplace")


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("collapse_lit.pages"), PackageLoader(package)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "short": short}
    environment.globals |= {"style": _static("style.css"), "scripts": _scripts()}
    return environment


def _scripts() -> Mapping[str, str]:
    """The scripts of a page, by the hash that the page's content policy allows.

    A browser then runs only these scripts, and no code injected through a name.
    """
    from plotly.offline import get_plotlyjs  # the import takes a second

    return {_hash(code): Markup(code) for code in (get_plotlyjs(), _static("page.js"))}


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"


def _static(name: str) -> Markup:
    return Markup(files("collapse_lit.pages").joinpath("static", name).read_text())


def number(value: float | None, digits: int = 2) -> str:
    """Format with ``digits`` decimals; a dash for no value."""
    return "–" if value is None else f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """Format with four significant digits; a dash for no value."""
    return "–" if value is None else f"{value:.4g}"


def percent(value: float | None) -> str:
    """Format as a percentage with one decimal; a dash for no value."""
    return "–" if value is None else f"{100 * value:.1f} %"
