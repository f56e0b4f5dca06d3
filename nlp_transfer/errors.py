"""The errors that a user can cause, and how they are worded.

Every message says what was expected, what came, and what mends it. `exit_code` is what the command line
returns: 2 where the input or the configuration is wrong, 1 where the run itself failed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_LISTED = 20
# Control characters but line ends and tabs, what turns the reading direction, and halves of characters.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TransferError(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = 2


class ConfigError(TransferError):
    """A recipe's YAML, an override or a command-line option is wrong."""


class OtherRunError(ConfigError):
    """The output_dir holds a run with another configuration."""


class DataError(TransferError):
    """A file, a card or the rows in it are not what was declared."""


class LabelError(DataError):
    """A label of the data is none of the classes that there are."""


class ModelError(TransferError):
    """A model cannot be found, loaded or used for the task."""


class PublishError(TransferError):
    """A model must not or cannot be published: a gate, the token, the repository's name."""


class RunError(TransferError):
    """The run started and could not finish."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Word the nearest matches of a misspelt name, or all known names when none is near.

    >>> did_you_mean("lable", ["label", "text"])
    'did you mean label?'
    """
    names = sorted({str(option) for option in known})
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"known: {', '.join(names[:MAX_LISTED])}{more}" if names else "none is known"


def for_terminal(text: str) -> str:
    r"""Write out control characters in text from data, which could otherwise act on the terminal.

    >>> for_terminal("a label\x1b[31m")
    'a label\\x1b[31m'
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
