"""Texts cut for the model and joined again: nothing lost, nothing cut in silence."""

from __future__ import annotations

import pytest
from fake_translator import FakeTranslator
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_transfer.inference.long_texts import (
    CutText,
    TooLong,
    cut_texts,
    holds_word,
    translate_cut_texts,
)


def translated(translator: FakeTranslator, *texts: str) -> list[str]:
    cut = cut_texts(translator, texts)
    assert all(isinstance(text, CutText) for text in cut)
    return translate_cut_texts(translator, [text for text in cut if isinstance(text, CutText)])


KEPT_AROUND: dict[str, tuple[str, str]] = {
    "spaces at the edges": ("  Save it\t ", "  «Save it»\t "),
    "paragraphs": ("One.\n\nTwo.", "«One.»\n\n«Two.»"),
    "line breaks of Windows": ("One\r\n Two\r\n", "«One»\r\n «Two»\r\n"),
    "rare line breaks": ("One\u2028Two\x0bThree\x85", "«One»\u2028«Two»\x0b«Three»\x85"),
    "line breaks at the edges": ("\nOne\n", "\n«One»\n"),
    "lines without a word": ("One\n---\n%s\n3.5", "«One»\n---\n%s\n3.5"),
    "control characters": ("One\x00\x07 two", "«One\x00\x07 two»"),
    "a no-break space inside": ("One\xa0two", "«One\xa0two»"),
}


@pytest.mark.parametrize(("text", "expected"), KEPT_AROUND.values(), ids=list(KEPT_AROUND))
def test_what_stands_around_a_line_is_kept(text: str, expected: str) -> None:
    assert translated(FakeTranslator(), text) == [expected]


@pytest.mark.parametrize(
    "text", ["", " ", "\n \r\n", "%s", "%(name)s: {0}", "12.50 €", "...", "😀", "${x} %%"]
)
def test_what_holds_no_word_comes_back_without_a_call(text: str) -> None:
    translator = FakeTranslator()
    assert translated(translator, text) == [text]
    assert translator.settings == []
    assert not holds_word(text)


@pytest.mark.parametrize("text", ["a", "日本", "ё", "%d files", "100% done", "{not a placeholder}"])
def test_a_letter_outside_of_placeholders_is_a_word(text: str) -> None:
    assert holds_word(text)


def test_a_long_line_is_translated_sentence_by_sentence() -> None:
    translator = FakeTranslator(max_length_tokens=5)
    text = "Dr. Smith paid twice.  Was it cheap?\tIt was! Yes.\nA line"
    assert translated(translator, text) == [
        "«Dr. Smith paid twice.»  «Was it cheap?»\t«It was!» «Yes.»\n«A line»"
    ]
    assert "A line" in translator.asked


def test_a_line_that_fits_is_not_divided() -> None:
    translator = FakeTranslator(max_length_tokens=5)
    assert translated(translator, "One. Two. Three.", "One. Two. Three. Four. Five.") == [
        "«One. Two. Three.»",
        "«One.» «Two.» «Three.» «Four.» «Five.»",
    ]


def test_sentences_end_as_the_source_language_ends_them() -> None:
    translator = FakeTranslator(max_length_tokens=1, src_lang="jpn_Jpan")
    translator.count_tokens = lambda texts: [1 + (len(text) > 8) for text in texts]  # type: ignore[method-assign]
    (cut,) = cut_texts(translator, ["これは文です。次の文です。"])
    assert isinstance(cut, CutText)
    assert cut.parts == ("これは文です。", "次の文です。")


def test_a_sentence_that_is_too_long_is_named_and_not_cut() -> None:
    translator = FakeTranslator(max_length_tokens=4)
    short, long = cut_texts(translator, ["Short.", "Short. This one has no end at all and goes on and on."])
    assert isinstance(short, CutText)
    assert isinstance(long, TooLong)
    assert (long.tokens, long.limit) == (13, 4)
    assert str(long) == (
        "a sentence of 13 tokens is longer than the 4 that the model reads "
        "('This one has no end at all and goes on a'...); break it into shorter sentences"
    )
    assert translator.settings == []


def test_equal_parts_are_translated_once_and_settings_are_handed_on() -> None:
    translator = FakeTranslator()
    cut = [text for text in cut_texts(translator, ["Yes", "No\nYes", ""]) if isinstance(text, CutText)]
    results = translate_cut_texts(translator, cut, tgt_lang="ast", num_beams=4, label="bar")
    assert results == ["«Yes»", "«No»\n«Yes»", ""]
    assert translator.asked == ["Yes", "No"]
    assert translator.settings == [("ast", 4, "bar")]


def test_a_model_that_breaks_lines_does_not_change_their_number() -> None:
    assert translated(FakeTranslator(lambda text: f" a\r\nb{text}\n"), "One\nTwo") == ["a bOne\na bTwo"]


# A step that is quadratic in the length takes minutes here.
LONG_LINES: dict[str, tuple[str, int]] = {
    "sentences": ("Hello there my friend. " * 4500, 1),
    "abbreviations": ("Dr. " * 25_000, 0),
    "one word": ("a" * 100_000, 1),
    "spaces between": ("a" + " " * 100_000 + "b", 1),
    "brackets": ("(a " * 33_000, 0),
    "no word": ("{" * 100_000, 0),
}


@pytest.mark.parametrize(("text", "asked"), LONG_LINES.values(), ids=list(LONG_LINES))
def test_a_line_of_100_000_characters_is_translated_or_refused(text: str, asked: int) -> None:
    translator = FakeTranslator(lambda part: part, max_length_tokens=64)
    (cut,) = cut_texts(translator, [text])
    if isinstance(cut, CutText):
        assert translate_cut_texts(translator, [cut]) == [text]
        assert len(translator.asked) == asked
    else:
        assert cut.tokens > 64


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=4), st.integers(1, 6)
)
def test_a_model_that_copies_gives_every_text_back(texts: list[str], limit: int) -> None:
    translator = FakeTranslator(lambda text: text, max_length_tokens=limit)
    for text, cut in zip(texts, cut_texts(translator, texts), strict=True):
        if isinstance(cut, CutText):
            assert "".join(cut.parts) == text
            assert translate_cut_texts(translator, [cut]) == [text]
        else:
            assert len(cut.sentence.split()) + 1 > limit
            assert cut.sentence in text
