"""What all HTML pages share: one base template, its style and script, charts and small pictures.

A page is one file that needs no network. What is on it is said where it is about: a run and a grid
in ``report/``, a discovery in ``discover/``.
"""

from collapse_lit.pages.page import render_page, write_page
from collapse_lit.pages.sprite import Sprite, make_sprite

__all__ = ["Sprite", "make_sprite", "render_page", "write_page"]
