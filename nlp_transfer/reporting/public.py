"""What of a report may be published: texts without local paths and without the user's name."""

from __future__ import annotations

import contextlib
import getpass
import re
from pathlib import Path
from typing import Any

# The last part of a path may hold spaces where the path is all there is, not inside a sentence.
_WHOLE_PATH = re.compile(r"(?:file:|~|/|[A-Za-z]:[\\/]|\\\\)[^\n:;,\"']*")
_PATH_IN_TEXT = re.compile(
    r"""(?: file:/+                                  # a file URL
          | (?<![\w/])~[\w.-]*[\\/]                  # somebody's home folder
          | (?<![\w/.~…\\)\]}])/(?!/)(?=[^\s/]+/)    # two parts at least: "/s" is a unit, not a path
          | (?<!\w)[A-Za-z]:[\\/](?!/)               # a Windows drive, not the "//" of a URL
          | (?<![\w\\])\\\\                          # a Windows share
        )[^\s'"<>|,;)]*""",
    re.VERBOSE,
)
# Account names that belong to nobody; as words of a report they must stay.
_NOBODY = {"root", "user", "admin", "administrator", "test", "runner", "ubuntu", "nobody", "home", "data"}


def without_paths(value: Any) -> Any:
    """Copy nested plain values with local paths and the user's name taken out of the texts."""
    if isinstance(value, dict):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_paths(each) for each in value]
    return _public_text(value) if isinstance(value, str) else value


def _public_text(text: str) -> str:
    """Shorten local paths to their last part and take out the user's name."""
    if _WHOLE_PATH.fullmatch(text):
        text = _last_part(text)
    else:
        text = re.sub(rf"{re.escape(_home())}(?![\w.-])", "~", text) if _home() else text
        text = _PATH_IN_TEXT.sub(lambda match: _last_part(match.group()), text)
    for name in _user_names():
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", "…", text)
    return text


def _last_part(path: str) -> str:
    """Return the last part of a path behind an ellipsis; nothing of the home folder itself."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", "~", "file:")]
    return f"…/{parts[-1]}" if parts and path.rstrip("/") != _home() else "…"


def _home() -> str:
    """Return the home folder; empty where there is none of its own."""
    with contextlib.suppress(RuntimeError):
        return str(Path.home()).rstrip("/")
    return ""


def _user_names() -> set[str]:
    """Return what the user is called on this machine, where that says anything."""
    names = {Path(_home()).name}
    # A container may run under a number that no account has.
    with contextlib.suppress(OSError, KeyError, ImportError):
        names.add(getpass.getuser())
    return {name for name in names if len(name) > 2 and name.lower() not in _NOBODY}
