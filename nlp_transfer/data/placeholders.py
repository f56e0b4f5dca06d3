"""The parts of a message that a program fills in, and that a translation must carry over unchanged."""

from __future__ import annotations

import re
from itertools import pairwise

# The order matters: the first alternative that fits at a place is taken. A space flag of printf ("% d") is
# left out, because "of % de" is far commoner, and so is a percent sign behind a digit ("100%sure"). A width
# begins with no zero, which is a flag: were zeros both, a long row of them would be divided in every way.
PLACEHOLDER = re.compile(
    r"""
      %%                                                            # a percent sign, not a placeholder
    | %\([^()\n]{1,80}\)[-+\#0]*(?:[1-9]\d*)?(?:\.\d+)?[a-zA-Z]?    # %(name)s      Python
    | %\{[\w.-]+\}                                                  # %{name}       Ruby
    | %[A-Za-z_]{2,}%(?![A-Za-z])                                               # %name%        Symfony
    | (?<!\d)%(?:\d+\$)?[-+\#0']*(?:[1-9]\d*|\*)?(?:\.(?:\d+|\*))?
      (?:hh|h|ll|l|q|z|t|j|L)?[diouxXeEfFgGcCsSpna@]
                                                                    # %s %1$s %.2f  printf
    | %L?\d{1,2}(?![\d%])                                           # %1            Qt
    | \{\{[^{}\n]{1,80}\}\}                                         # {{ name }}    Angular, Jinja
    | \$\{[^{}\n]{1,80}\}                                           # ${name}       shell, Zope
    | \#\{[^{}\s]{1,80}\}                                           # \#{name}      Ruby
    | \{\ ?[-$]?[\w.\-\[\]]*(?:![rsa])?(?::[^{}\s]*)?\ ?\}          # {0} {name:>3} { $name }
    | \$(?:[A-Za-z_]\w*|[1-9](?![.,]?\d))                         # $name $1      Zope, MediaWiki
    """,
    re.VERBOSE,
)


def placeholders(text: str) -> list[str]:
    """List the placeholders of a message in their order, as they are written.

    >>> placeholders("%(count)d of {total}: 100% of $name, 5%% more")
    ['%(count)d', '{total}', '$name']
    """
    if "%" not in text and "{" not in text and "$" not in text:
        return []
    return [found for found in PLACEHOLDER.findall(text) if found != "%%"]


def around_placeholders(text: str) -> list[str]:
    """Cut a message into its placeholders, percent signs (`%%`) among them, and what stands between.

    >>> around_placeholders("delete %(name)s?"), around_placeholders("{0} of {1}"), around_placeholders("")
    (['delete ', '%(name)s', '?'], ['{0}', ' of ', '{1}'], [])
    """
    cuts = [place for found in PLACEHOLDER.finditer(text) for place in found.span()]
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges) if start < end]


def without_placeholders(text: str) -> str:
    """Return a message with its placeholders blanked out."""
    if "%" not in text and "{" not in text and "$" not in text:
        return text
    return PLACEHOLDER.sub(" ", text)
