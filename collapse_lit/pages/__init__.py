"""The common parts of all HTML pages: base template, style, script, charts and thumbnails.

A page is one file that needs no network. Its content is defined by ``report/`` for runs,
``compare/`` for grids and ``discover/`` for discoveries.
"""

from collapse_lit.pages.page import render_page, write_page
from collapse_lit.pages.sprite import Sprite, make_sprite

__all__ = ["Sprite", "make_sprite", "render_page", "write_page"]
