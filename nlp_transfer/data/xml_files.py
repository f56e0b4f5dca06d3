"""Pairs out of TMX and XLIFF files.

Both are streamed through lxml, because translation memories reach gigabytes. Both languages of a TMX are
named, so it serves in either direction; an XLIFF file names its direction. XLIFF 1.2 and 2.0 share a reader:
a pair is a `trans-unit` of the one and a `segment` of the other. Inline placeholders without a text
(`<x id="1"/>`, `<ph x="1"/>`) become `{1}`, so that cleaning sees them. Entities that a file declares are
never expanded, and nothing outside of it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from nlp_transfer.data.languages import matches, normal_tag, spellings
from nlp_transfer.data.raw_pairs import OtherLanguageError, RawPair
from nlp_transfer.errors import DataError

LANGUAGE_ATTRIBUTE = "{http://www.w3.org/XML/1998/namespace}lang"
# Inline elements that stand for something in the text, and those that only mark where formatting begins or
# ends.
PLACEHOLDER_ELEMENTS = frozenset({"x", "ph", "it"})
NOT_VOUCHED_FOR = ("new", "initial", "needs-")


def read_tmx(
    stream: BinaryIO, *, name: str, src_lang: str, tgt_lang: str, dropped: Counter[str] | None = None
) -> Iterator[RawPair]:
    """Yield the pairs of a TMX file; units that lack the target language are counted as untranslated.

    Raises:
        DataError: the file is not TMX, or declares entities.
        OtherLanguageError: it has no unit in both languages.
    """
    dropped = Counter() if dropped is None else dropped
    languages: Counter[str] = Counter()
    complete = 0
    for number, element in enumerate(_stream(stream, "tmx", ("tu",), name), start=1):
        texts = {variant: _inline_text(segment) for variant, segment in _segments(element)}
        languages.update(list(texts))
        source, target = _text_in(texts, src_lang), _text_in(texts, tgt_lang)
        if source is None or target is None:
            dropped.update(["untranslated"] if source is not None else [])
            continue
        complete += 1
        yield RawPair(source, target, f"{name}, unit {number}")
    if not complete and languages:
        raise OtherLanguageError(
            f"{name} has no unit in both {src_lang} and {tgt_lang}; its languages: "
            f"{', '.join(language for language, _ in languages.most_common(20))}. Set src_lang and "
            "tgt_lang to two of them"
        )


def read_xliff(
    stream: BinaryIO,
    *,
    name: str,
    src_lang: str,
    tgt_lang: str,
    assured: bool = False,
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of an XLIFF file, version 1 or 2; units not to be translated are no pairs.

    Args:
        stream: the file.
        name: what messages call it.
        src_lang: must be the file's source language.
        tgt_lang: must be the file's target language, where it names one.
        assured: the file's path names its target language, so that the file need not.
        dropped: counts what was left out.

    Raises:
        DataError: the file is not XLIFF, or declares entities.
        OtherLanguageError: it translates from or into another language.
    """
    dropped = Counter() if dropped is None else dropped
    units = filter(_is_translatable, _stream(stream, "xliff", ("trans-unit", "segment"), name))
    for number, element in enumerate(units, start=1):
        _check_direction(element, name, src_lang=src_lang, tgt_lang=tgt_lang, assured=assured)
        source, target = (_child(element, part) for part in ("source", "target"))
        text = "" if target is None else _inline_text(target)
        state = (element if target is None else target).get("state") or element.get("state") or ""
        if not text.strip():
            dropped["untranslated"] += 1
        elif state.startswith(NOT_VOUCHED_FOR) or element.get("approved") == "no":
            dropped["fuzzy"] += 1
        else:
            yield RawPair("" if source is None else _inline_text(source), text, f"{name}, unit {number}")


def _stream(stream: BinaryIO, root: str, tags: Sequence[str], name: str) -> Iterator[Any]:
    """Yield a document's elements of some names; each is freed when the next one is asked for.

    Raises:
        DataError: it is not XML, its root has another name, or it declares entities.
    """
    from lxml import etree

    found = etree.iterparse(
        stream,
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in tags],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    checked = False
    try:
        for _, element in found:
            if not checked:
                _check_document(element.getroottree(), root, name)
                checked = True
            yield element
            _forget(element)
    except etree.XMLSyntaxError as error:
        raise DataError(f"{name} is not {root.upper()} that can be read: {error}") from error
    _check_document(found.root.getroottree(), root, name)


def _check_document(tree: Any, root: str, name: str) -> None:
    """Refuse another kind of document, and one that declares entities, which may stand for gigabytes."""
    from lxml import etree

    found = etree.QName(tree.getroot()).localname
    if found != root:
        raise DataError(f"{name}: its root is <{found}>, expected <{root}>; is the format the right one?")
    if tree.docinfo.internalDTD is not None and any(tree.docinfo.internalDTD.iterentities()):
        raise DataError(
            f"{name} declares XML entities, which are not expanded here; write their text in their place"
        )


def _check_direction(element: Any, name: str, *, src_lang: str, tgt_lang: str, assured: bool) -> None:
    holder = next((parent for parent in element.iterancestors() if _languages_of(parent) != ("", "")), None)
    source, target = ("", "") if holder is None else _languages_of(holder)
    if source and target and matches(src_lang, target) and matches(tgt_lang, source):
        raise OtherLanguageError(
            f"{name} translates from {source} into {target}, and the pair is given backwards; set "
            f"src_lang: {source} "
            f"and tgt_lang: {target}"
        )
    wrong_target = target and not assured and not matches(tgt_lang, target)
    if (source and not matches(src_lang, source)) or wrong_target:
        raise OtherLanguageError(
            f"{name} translates from {source or 'an unnamed language'} into "
            f"{target or 'an unnamed language'}, expected "
            f"{src_lang} into {tgt_lang}; set src_lang and tgt_lang to what the file has"
        )


def _languages_of(element: Any) -> tuple[str, str]:
    return (
        element.get("source-language") or element.get("srcLang") or "",
        element.get("target-language") or element.get("trgLang") or "",
    )


def _child(element: Any, name: str) -> Any:
    return next(element.iterchildren(f"{{*}}{name}"), None)


def _segments(unit: Any) -> Iterator[tuple[str, Any]]:
    for variant in unit.iterchildren("{*}tuv"):
        segment = _child(variant, "seg")
        language = variant.get(LANGUAGE_ATTRIBUTE) or variant.get("lang")
        if segment is not None and language:
            yield language, segment


def _text_in(texts: dict[str, str], code: str) -> str | None:
    """Return the text in the best spelling of a language, else in the first variant of it."""
    normal = {normal_tag(language): text for language, text in texts.items()}
    for tag in spellings(code):
        if tag in normal:
            return normal[tag]
    return next((text for language, text in texts.items() if matches(code, language)), None)


def _inline_text(element: Any) -> str:
    """Join the text of an element and of the inline elements in it."""
    parts = [element.text or ""]
    for child in element:
        # Comments and entities have no name that is a text.
        if isinstance(child.tag, str):
            text = _inline_text(child)
            if not text and child.tag.rpartition("}")[2] in PLACEHOLDER_ELEMENTS:
                text = f"{{{child.get('id') or child.get('x') or ''}}}"
            parts.append(text)
        parts.append(child.tail or "")
    return "".join(parts)


def _is_translatable(unit: Any) -> bool:
    """Tell whether a unit, or the nearest element around it that says so, may be translated."""
    stated = (element.get("translate") for element in (unit, *unit.iterancestors()))
    return next(filter(None, stated), "yes").lower() != "no"


def _forget(element: Any) -> None:
    """Free an element that was read, and what stands before it and before the elements around it."""
    element.clear()
    while element.getparent() is not None:
        while element.getprevious() is not None:
            del element.getparent()[0]
        element = element.getparent()
