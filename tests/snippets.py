"""What a reader may copy out of README.md and docs/: command lines, YAML and Python, and the links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Tags of what nobody runs: output and sketches, a citation, and what Sphinx fills in.
NOT_RUN = ("text", "bibtex", "{toctree}", "{eval-rst}")
OPERATORS = ("&&", "||", "|", ";")
REDIRECTIONS = (">", ">>", "<")


@dataclass(frozen=True)
class Snippet:
    """One fenced block of a page."""

    page: str
    line: int
    tag: str
    text: str

    def __str__(self) -> str:
        """Name it for a test: `docs/report.md:12`."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that a YAML snippet names in its first line: `# reviews.yaml`."""
        named = re.match(r"# ([\w./-]+\.yaml)\n", self.text)
        return named.group(1) if named else None


@cache
def tokens_of(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")))


def snippets() -> list[Snippet]:
    return [
        Snippet(
            str(page.relative_to(ROOT)),
            token.map[0] + 1 if token.map else 0,
            token.info.strip(),
            token.content,
        )
        for page in PAGES
        for token in tokens_of(page)
        if token.type == "fence"
    ]


def tagged(tag: str) -> list[Snippet]:
    return [snippet for snippet in snippets() if snippet.tag == tag]


def commands(text: str) -> list[list[str]]:
    """Cut shell lines into the simple commands that they run, one list of words each."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if word in OPERATORS:
                found += [words] if words else []
                words = []
            elif not redirected and word not in REDIRECTIONS:
                words.append(word)
            redirected = word in REDIRECTIONS
    return found


def links(page: Path) -> Iterator[str]:
    """Yield where a page's links and pictures go."""
    for token in tokens_of(page):
        for child in token.children or ():
            target: Any = child.attrs.get("href") or child.attrs.get("src")
            if target:
                yield str(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Sphinx make them."""
    tokens = tokens_of(page)
    headings = [
        tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
