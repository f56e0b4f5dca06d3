"""Language codes as users, files, folders, models and libraries spell them.

Of files: which spellings mean one language, and which do not. `pt`, `pt_PT` and `pt-pt` are one language,
`pt_BR` is another; `nb` and `no` are one; `zh_TW` is `zh-Hant`. Of models: which of their codes (`>>pt<<`,
`glg_Latn`) a user's (`pt_BR`, `glg`) means. The data behind it is CLDR's likely subtags, through `langcodes`.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from nlp_transfer.errors import DataError, ModelError, did_you_mean

# CLDR takes a bare pt for Brazil's; catalogues take it for Portugal's and name Brazil's pt_BR.
DEFAULT_REGIONS = {"pt": "PT"}
# Two codes for one language: Bokmål, and codes that ISO 639 withdrew and that files still carry.
ALIASES = {"nb": "no", "no": "nb", "he": "iw", "iw": "he", "id": "in", "in": "id", "yi": "ji", "ji": "yi"}
SCRIPT_NAMES = {"latin": "latn", "cyrillic": "cyrl", "arabic": "arab", "devanagari": "deva"}
# What py3langid calls a language whose standard code is another.
IDENTIFIER_CODES = {"nb": "no", "fil": "tl", "ki": "kik"}
# langcodes puts languages of one script at 84 or less, of two scripts at 100 or more.
NEAR_DISTANCE = 90
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


def standard(code: str) -> str:
    """Write a code as a standard tag, without a script that goes without saying; an unreadable one stays.

    >>> standard("pt_br"), standard("glg_Latn"), standard("sr_RS@latin"), standard("pt_XX")
    ('pt-BR', 'gl', 'sr-Latn-RS', 'pt')
    """
    import langcodes

    try:
        return langcodes.standardize_tag(normal_tag(code.replace("_XX", "")))
    except ValueError:
        return code


def language_of(code: str) -> str:
    """Return a code's language alone, in its shortest form.

    >>> language_of("glg_Latn"), language_of("gl_ES.UTF-8")
    ('gl', 'gl')
    """
    return re.split("[-_@.]", standard(code).lower())[0]


def identifier_code(code: str) -> str:
    """Return a code's language as py3langid has it.

    >>> identifier_code("nob_Latn"), identifier_code("gl_ES")
    ('no', 'gl')
    """
    language = language_of(code)
    return IDENTIFIER_CODES.get(language, language)


def require_code(code: str, *, key: str) -> None:
    """Refuse what is no language code; one that is well-formed may still be of a language that nobody knows.

    Raises:
        DataError: it is none; the code of the language that it names is told.
    """
    from langcodes import Language
    from langcodes.tag_parser import LanguageTagError

    # Of the languages' codes none is longer: "thai" is a name.
    with contextlib.suppress(LanguageTagError):
        if len(Language.get(standard(code.partition("@")[0])).language or code) <= 3:
            return
    named = _code_named(code)
    hint = f"did you mean {named}?" if named else "codes are like en, gl, pt_BR or glg_Latn"
    raise DataError(f"{key}: {code!r} is no language code; {hint}")


def is_known(code: str) -> bool:
    """Tell whether a code's language is one that CLDR or ISO 639 has.

    >>> is_known("pt_BR"), is_known("ca@valencia"), is_known("zz")
    (True, True, False)
    """
    from langcodes import Language

    return bool(Language.make(language=language_of(code)).is_valid())


def _code_named(name: str) -> str | None:
    """Return the code of the language of a name: its English one, its own one, or nearly the English one."""
    from babel import Locale

    english = {str(title).lower(): str(code) for code, title in Locale("en").languages.items()}
    wanted = name.strip().lower()
    if wanted in english:
        return english[wanted]
    found = next((code for code in english.values() if wanted in language_names(code)), None)
    near = difflib.get_close_matches(wanted, english, n=1, cutoff=0.8)
    return found or (english[near[0]] if near else None)


def find_language(wanted: str, known: Iterable[str]) -> str | None:
    """Return the code of a model that means the wanted language, or None.

    An exact match comes first, then the same standard tag, then the only code of the same language whose
    script is the wanted one's or not known.
    """
    codes = list(known)
    if wanted in codes:
        return wanted
    tag = standard(wanted)
    same_tag = [code for code in codes if standard(code) == tag]
    if same_tag:
        return same_tag[0]
    same_language = [code for code in codes if language_of(code) == language_of(wanted)]
    same_script = [code for code in same_language if _may_share_script(code, wanted)]
    return same_script[0] if len(same_script) == 1 else None


def _may_share_script(first: str, second: str) -> bool:
    """Tell whether two codes' scripts are one; that of a language that CLDR does not know may be any."""
    scripts = {full_tag(standard(code))[1] for code in (first, second)} - {""}
    return len(scripts) < 2


def require_language(wanted: str, known: Sequence[str], *, model: str) -> str:
    """Return a model's code of the wanted language.

    Raises:
        ModelError: it has none; the near ones are named.
    """
    found = find_language(wanted, known)
    if found is not None:
        return found
    near = near_languages(wanted, known)
    hint = f"near: {', '.join(near)}" if near else did_you_mean(wanted, known)
    raise ModelError(f"{model} does not know the language {wanted!r}; {hint}")


def near_languages(wanted: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return a model's codes of the languages nearest to the wanted one, the nearest first."""
    import langcodes

    distances = []
    for code in known:
        try:
            distances.append((langcodes.tag_distance(standard(wanted), standard(code)), code))
        except ValueError:
            continue
    return [code for distance, code in sorted(distances)[:most] if distance <= NEAR_DISTANCE]


def language_name(code: str) -> str:
    """Return a language's English name, as T5's prompts have it; the code itself where it has none.

    >>> language_name("gl")
    'Galician'
    """
    from babel import Locale

    return str(Locale("en").languages.get(language_of(code), code))


@lru_cache(maxsize=512)
def language_names(code: str) -> tuple[str, ...]:
    """Return a language's name in English and in itself, in small letters, as headers of tables have them.

    >>> language_names("gl"), language_names("zz")
    (('galician', 'galego'), ())
    """
    from babel import Locale, UnknownLocaleError

    language = language_of(code)
    # Names go by the language alone: "pt-BR" and "pt" are both called Portuguese.
    named = [Locale("en").languages.get(language)]
    with contextlib.suppress(ValueError, UnknownLocaleError):
        named.append(Locale.parse(language).languages.get(language))
    return tuple(dict.fromkeys(name.lower() for name in named if name))


def written_like(wanted: str, example: str) -> str:
    """Write a language's code as a model writes its own.

    >>> written_like("ast", "glg_Latn"), written_like("ast", "gl_ES"), written_like("pt-BR", "fr")
    ('ast_Latn', 'ast_XX', 'pt_BR')
    """
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = langcodes.Language.get(standard(wanted))
    except LanguageTagError:
        # A catalogue's modifier can be longer than a part of a tag: sr@ijekavianlatin.
        tag = langcodes.Language.get(standard(wanted.partition("@")[0]))
    if len(example) == 8 and example[3] == "_":
        # A code that nobody knows has no longer form, and no likely script.
        with contextlib.suppress(LookupError):
            return f"{tag.to_alpha3()}_{tag.maximize().script or example[4:]}"
        return f"{tag.language}_{tag.script or example[4:]}"
    if len(example) == 5 and example[2] == "_":
        return f"{tag.language}_XX"
    return standard(wanted).replace("-", "_")


def looks_like_locale(text: str) -> bool:
    """Tell whether a part of a path names a language: a code of two letters, or one with a region."""
    from langcodes import Language

    found = LOCALE.fullmatch(text)
    if found is None or (len(found[1]) > 2 and found[0] == found[1]):
        return False
    return bool(Language.make(language=found[1].lower()).is_valid())


def _has_region(code: str) -> bool:
    return any(len(part) == 2 or part.isdigit() for part in normal_tag(code).split("-")[1:])
