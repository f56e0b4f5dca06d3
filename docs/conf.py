"""Sphinx: `sphinx-build -W --keep-going docs build/docs` builds the pages, and no warning is let pass.

Sphinx with MyST was chosen: both are looked after, the guides stay plain Markdown that GitHub shows too, and
`-W` stops at a broken link. MkDocs itself has had no release since 2024 and mkdocs-material is in
maintenance; pdoc knows modules but no guides.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generated import PAGES

from nlp_transfer import __version__

project = "nlp-transfer"
version = release = __version__
copyright = "the authors of nlp-transfer, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = "nlp-transfer"
html_show_sphinx = False
myst_heading_anchors = 3
# Docstrings write code between single backticks, as Markdown does.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_typehints_format = "short"
python_display_short_literal_types = True
CODE = re.compile(r"(``?[^`]+``?)")


def fill_in(app: Any, docname: str, source: list[str]) -> None:
    """Put the pages that are made from the code where a page asks for them."""
    for comment, write in PAGES.items():
        if comment in source[0]:
            source[0] = source[0].replace(comment, write())


def as_plain_text(*given: Any) -> None:
    """Let `|x|` and `a*` in a docstring stand as they are: they are formulas, not reStructuredText.

    Sphinx gives the lines last, to be changed in place.
    """
    lines: list[str] = given[-1]
    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", ":", "..")):
            parts = CODE.split(line)
            parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
            lines[place] = "".join(parts)


def setup(app: Any) -> None:
    """Register what fills pages and docstrings."""
    app.connect("source-read", fill_in)
    # Before napoleon, which adds marks of its own.
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)
