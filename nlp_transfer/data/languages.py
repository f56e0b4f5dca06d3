"""Language codes as files and folders spell them: which spellings mean one language, and which do not.

`pt`, `pt_PT` and `pt-pt` are one language, `pt_BR` is another; `nb` and `no` are one; `zh_TW` is `zh-Hant`.
The data behind it is CLDR's likely subtags, through `langcodes`. What models call a language is left to
models/.
"""

from __future__ import annotations

import re
from functools import lru_cache

# CLDR takes a bare pt for Brazil's; catalogues take it for Portugal's and name Brazil's pt_BR.
DEFAULT_REGIONS = {"pt": "PT"}
# Two codes for one language: Bokmål, and codes that ISO 639 withdrew and that files still carry.
ALIASES = {"nb": "no", "no": "nb", "he": "iw", "iw": "he", "id": "in", "in": "id", "yi": "ji", "ji": "yi"}
SCRIPT_NAMES = {"latin": "latn", "cyrillic": "cyrl", "arabic": "arab", "devanagari": "deva"}
LOCALE = re.compile(
    r"([a-z]{2,3})(?:[-_@]([a-z]{2}|[a-z]{4}|latin|cyrillic|valencia|[0-9]{3}))*", re.IGNORECASE
)


def normal_tag(text: str) -> str:
    """Write a locale name as a lower-case tag, the script before the region.

    >>> normal_tag("sr_RS@latin")
    'sr-latn-rs'
    """
    language, *rest = re.split(r"[-_@]", text.strip().partition(".")[0].lower())
    rest = sorted((SCRIPT_NAMES.get(part, part) for part in rest), key=lambda part: len(part) != 4)
    return "-".join([language, *rest])


@lru_cache(maxsize=4096)
def full_tag(text: str) -> tuple[str, str, str]:
    """Complete a tag to (language, script, region) by what is likely; what is unknown stays empty."""
    from langcodes import Language
    from langcodes.data_dicts import LIKELY_SUBTAGS
    from langcodes.tag_parser import LanguageTagError

    tag = normal_tag(text)
    try:
        parsed = Language.get(tag, normalize=False)
    except LanguageTagError:
        return tag, "", ""
    language = parsed.language or tag
    if language not in LIKELY_SUBTAGS:
        return language, parsed.script or "", parsed.territory or ""
    region = parsed.territory or DEFAULT_REGIONS.get(language)
    likely = Language.make(language=language, script=parsed.script, territory=region).maximize()
    return language, likely.script or "", likely.territory or ""


@lru_cache(maxsize=256)
def spellings(code: str) -> tuple[str, ...]:
    """List the normal tags that mean the language of a code, the best first.

    >>> spellings("gl")[:2], "pt-br" in spellings("pt")
    (('gl', 'gl-es'), False)
    """
    language, script, region = full_tag(code)
    found = [normal_tag(code)]
    for name in (language, ALIASES.get(language)):
        if name is None:
            continue
        forms = [(name,), (name, region), (name, script), (name, script, region)]
        tags = ["-".join(form).lower() for form in forms if all(form)]
        found += [tag for tag in tags if full_tag(tag)[1:] == (script, region)]
    return tuple(dict.fromkeys(found))


def matches(wanted: str, found: str) -> bool:
    """Tell whether a file's tag may stand for a wanted code: a region counts only where both name one.

    >>> matches("en", "en-US"), matches("pt_BR", "pt-PT"), matches("zh-Hant", "zh-CN")
    (True, False, False)
    """
    ours, theirs = full_tag(wanted), full_tag(found)
    if theirs[0] not in (ours[0], ALIASES.get(ours[0])) or ours[1] != theirs[1]:
        return False
    return not (_has_region(wanted) and _has_region(found)) or ours[2] == theirs[2]


def looks_like_locale(text: str) -> bool:
    """Tell whether a part of a path names a language: a code of two letters, or one with a region."""
    from langcodes import Language

    found = LOCALE.fullmatch(text)
    if found is None or (len(found[1]) > 2 and found[0] == found[1]):
        return False
    return bool(Language.make(language=found[1].lower()).is_valid())


def _has_region(code: str) -> bool:
    return any(len(part) == 2 or part.isdigit() for part in normal_tag(code).split("-")[1:])
