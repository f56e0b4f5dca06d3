"""Language codes: matching a user's (`pt_BR`, `glg`) with the ones a model has (`>>pt<<`, `glg_Latn`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nlp_transfer.errors import ModelError, did_you_mean

# langcodes puts languages of one script at 84 or less, of two scripts at 100 or more.
NEAR_DISTANCE = 90


def standard(code: str) -> str:
    """Write a code as a standard tag: `glg_Latn` is `gl-Latn`, `pt_XX` is `pt`; an unreadable one stays.

    >>> standard("pt_br"), standard("glg_Latn"), standard("gl_ES")
    ('pt-BR', 'gl-Latn', 'gl-ES')
    """
    import langcodes

    try:
        return langcodes.standardize_tag(code.replace("_XX", ""))
    except ValueError:
        return code


def language_of(code: str) -> str:
    """Return a code's language alone, in its shortest form: `glg_Latn` is `gl`."""
    return standard(code).partition("-")[0]


def find_language(wanted: str, known: Iterable[str]) -> str | None:
    """Return the code of a model that means the wanted language, or None.

    An exact match comes first, then the same standard tag, then the only code of the same language whose
    script is the wanted one's.
    """
    codes = list(known)
    if wanted in codes:
        return wanted
    tag = standard(wanted)
    same_tag = [code for code in codes if standard(code) == tag]
    if same_tag:
        return same_tag[0]
    same_language = [
        code
        for code in codes
        if language_of(code) == language_of(wanted) and _script(code) == _script(wanted)
    ]
    return same_language[0] if len(same_language) == 1 else None


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


def _script(code: str) -> str:
    import langcodes

    try:
        return langcodes.Language.get(standard(code)).maximize().script or ""
    except ValueError:
        return ""
