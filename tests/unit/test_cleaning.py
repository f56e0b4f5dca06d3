"""Pairs are brought into one form, and each that is dropped is counted under the rule that it broke."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from nlp_transfer.data.catalogues import RawPair
from nlp_transfer.data.cleaning import clean_pairs, normalise_pair
from nlp_transfer.data.markup import strip_accelerators, strip_markup
from nlp_transfer.data.placeholders import placeholders, without_placeholders
from nlp_transfer.data.scripts import scripts_of, share_in
from nlp_transfer.errors import DataError


def cleaned(
    *pairs: tuple[str, str], src_lang: str = "en", tgt_lang: str = "gl"
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    dropped: Counter[str] = Counter()
    kept = clean_pairs(
        [RawPair(*pair) for pair in pairs], src_lang=src_lang, tgt_lang=tgt_lang, dropped=dropped
    )
    return [(pair.source, pair.target) for pair in kept], dict(dropped)


@pytest.mark.parametrize(
    ("rule", "source", "target"),
    [
        ("empty", "Open", " \n"),
        ("empty", "%s: %d", "%s: %d"),
        ("empty", "<b></b>", "Abrir"),
        ("empty", "...", "…"),
        ("too long", "word " * 201, "palabra " * 126),
        ("too long", "word", "a" * 100_000),
        ("identical", "Email", "EMAIL"),
        ("identical", "_Plone", "&Plone"),
        ("identifier", "label_add_item", "Engadir elemento"),
        ("identifier", "form.title", "Título"),
        ("placeholder mismatch", "%s of %s", "%s de"),
        ("placeholder mismatch", "Hello {name}", "Ola {nome}"),
        ("length ratio", "On", "Activar esta opción sempre que se poida"),
        ("wrong script", "Settings", "Настройки"),
        ("wrong script", "設定", "Configuración"),
        (
            "wrong language",
            "Please restart the computer now.",
            "You should restart your computer before you continue.",
        ),
    ],
)
def test_each_rule_drops_and_counts(rule: str, source: str, target: str) -> None:
    assert cleaned((source, target)) == ([], {rule: 1})


@pytest.mark.parametrize(
    ("source", "target", "tgt_lang"),
    [
        ("OK", "De acordo", "gl"),
        ("Django administration", "Django адміністрування", "uk"),
        ("The file could not be opened because it is damaged", "ファイルが壊れています", "ja"),
        ("Settings", "Подешавања", "sr"),
        ("Settings", "Podešavanja", "sr"),
        ("100% of the work", "100 % do traballo", "gl"),
        ("Copyright © 2020 by the authors of PDF", "Copyright © 2020 dos autores de PDF", "gl"),
        ("Anything at all", "Вот оно Whatever", "qaa"),
        ("%(count)d items", "%(count)d elementos", "gl"),
    ],
)
def test_good_pairs_stay_as_they_are(source: str, target: str, tgt_lang: str) -> None:
    assert cleaned((source, target), tgt_lang=tgt_lang) == ([(source, target)], {})


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("_File", "_Ficheiro", ("File", "Ficheiro")),
        ("Save &As...", "Gardar c&omo...", ("Save As...", "Gardar como...")),
        ("~Edit", "Editar", ("Edit", "Editar")),
        ("E_xit", "_Saír", ("Exit", "Saír")),
        ("_File", "ファイル(_F)", ("File", "ファイル")),
        ("_Open…", "開く(_O)…", ("Open…", "開く…")),
        ("file_name", "nome_ficheiro", ("file_name", "nome_ficheiro")),
        ("R&D", "I&D", ("R&D", "I&D")),
        ("Q & A", "P & R", ("Q & A", "P & R")),
        ("Fish &amp; chips", "Peixe &amp; patacas", ("Fish &amp; chips", "Peixe &amp; patacas")),
        ("Use %(my_name)s", "Usa %(my_name)s", ("Use %(my_name)s", "Usa %(my_name)s")),
        ("__init__", "__init__", ("__init__", "__init__")),
        ("~5 minutes", "~5 minutos", ("~5 minutes", "~5 minutos")),
    ],
)  # fmt: skip
def test_accelerator_keys_go_from_both_sides(source: str, target: str, expected: tuple[str, str]) -> None:
    assert strip_accelerators(source, target) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>Bold</b> and <span class='x'>more</span><br/>", "Bold and more"),
        ("<guilabel>Save</guilabel> <file>", "Save <file>"),
        ("Usage: cp <source> <target>", "Usage: cp <source> <target>"),
        ("a < b and b > c, 1<2", "a < b and b > c, 1<2"),
        ("<a href=\"{url}\">here</a><!-- note -->", "here"),
        ("</p>", ""),
    ],
)  # fmt: skip
def test_markup_goes_and_arguments_stay(text: str, expected: str) -> None:
    assert strip_markup(text) == expected


def test_texts_are_normalised() -> None:
    assert normalise_pair(" Two\n\tlines\u00a0here ", "Du\u0301as  lin\u0303as") == (
        "Two lines here",
        "Dúas liñas",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%s %1$s %.2f %5d %-10s %ld %zu %@ %n",
         ["%s", "%1$s", "%.2f", "%5d", "%-10s", "%ld", "%zu", "%@", "%n"]),
        ("%(name)s has %(a b)d", ["%(name)s", "%(a b)d"]),
        ("%1 of %2, %L1", ["%1", "%2", "%L1"]),
        ("{} {0} {name} {n:>10} {a.b!r} {{ x }} { $nick }",
         ["{}", "{0}", "{name}", "{n:>10}", "{a.b!r}", "{{ x }}", "{ $nick }"]),
        ("${x} $name $1 #{c} %{d} %user_name%", ["${x}", "$name", "$1", "#{c}", "%{d}", "%user_name%"]),
        ("Please %sreport%s, %dpx, $4ms", ["%s", "%s", "%d", "$4"]),
        ("100% sure, 50% discount, 100%sure, 5%% off, %%s", []),
        ("US$ 5, $5.00, $100, {not one}, a } b {", []),
    ],
)  # fmt: skip
def test_placeholders_are_found_as_they_are_written(text: str, expected: list[str]) -> None:
    assert placeholders(text) == expected


# A pattern that can divide such a line in many ways would take minutes for one of them.
LONG = 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%" + "0" * LONG, []),
        ("%1$" + "0" * LONG, ["%1"]),
        ("%" + "1" * LONG, []),
        ("%." + "0" * LONG, []),
        ("%(a)" + "0" * LONG, ["%(a)" + "0" * LONG]),
        ("%" * LONG, []),
        ("%0" * LONG, ["%0"]),
        ("%(" * LONG, []),
        ("%(" + "a" * LONG, []),
        ("%{" * LONG, []),
        ("%{" + "a" * LONG, []),
        ("%" + "a" * LONG, ["%a"]),
        ("%_" * LONG, []),
        ("{" * LONG, []),
        ("{" + "a" * LONG, []),
        ("{:" + ":" * LONG, []),
        ("{ " + "-" * LONG, []),
        ("${" * LONG, []),
        ("#{" * LONG, []),
        ("$" * LONG, []),
        ("$a" * LONG, ["$a"] * LONG),
        ("$" + "a" * LONG, ["$" + "a" * LONG]),
        ("%" + "0" * LONG + "d", ["%" + "0" * LONG + "d"]),
    ],
    ids=range(23),
)
def test_a_long_line_of_almost_placeholders_is_read_to_its_end(text: str, expected: list[str]) -> None:
    assert placeholders(text) == expected


def test_a_text_without_its_placeholders() -> None:
    assert without_placeholders("%s of {n} is $x").split() == ["of", "is"]


def test_the_majority_translation_is_kept_and_the_first_of_equals() -> None:
    kept, dropped = cleaned(
        ("Open", "Abrir"), ("Open", "Aberto"), ("_Open", "_Aberto"), ("Save", "Gardar"), ("Save", "Garda")
    )
    assert kept == [("Open", "Aberto"), ("Save", "Gardar")]
    assert dropped == {"duplicate": 3}


def test_a_kept_pair_keeps_where_it_came_from() -> None:
    pair = RawPair("_Open", "_Abrir", origin="a.po, line 3", context="menu")
    assert clean_pairs([pair], src_lang="en", tgt_lang="gl") == [
        RawPair("Open", "Abrir", "a.po, line 3", "menu")
    ]


SENTENCES = [
    ("Please restart your computer before you continue.", "Reinicie o seu ordenador antes de continuar."),
    ("The file could not be found in this folder.", "Non foi posible atopar o ficheiro neste cartafol."),
    ("You do not have permission to edit this page.", "Non ten permiso para editar esta páxina."),
    ("This field is required and must not be empty.", "Este campo é obrigatorio e non pode estar baleiro."),
]


def numbered(pairs: list[tuple[str, str]], copies: int) -> list[tuple[str, str]]:
    return [
        (f"{source} {number}", f"{target} {number}") for number in range(copies) for source, target in pairs
    ]


def test_a_set_given_backwards_is_refused() -> None:
    backwards = [(target, source) for source, target in numbered(SENTENCES, 5)]
    with pytest.raises(
        DataError,
        match=r"the pair is given backwards: of 20 long pairs \d+ have a source "
        "in gl",
    ):
        cleaned(*backwards)
    kept, dropped = cleaned(*backwards, src_lang="gl", tgt_lang="en")
    assert (len(kept), dropped) == (20, {})


@pytest.mark.parametrize("languages", [("en", "ast"), ("en", "en_GB"), ("qaa", "gl")])
def test_languages_that_the_identifier_lacks_are_left_alone(languages: tuple[str, str]) -> None:
    kept, dropped = cleaned(*numbered(SENTENCES, 5), src_lang=languages[0], tgt_lang=languages[1])
    assert (len(kept), dropped) == (20, {})


def test_scripts_follow_from_the_language() -> None:
    assert scripts_of("sr") == ("Cyrl", "Latn")
    assert scripts_of("sr@latin") == ("Latn",)
    assert scripts_of("zh_TW") == ("Hani", "Bopo")
    assert scripts_of("qaa") == ()
    assert share_in("123", ("Cyrl",)) == share_in("№ 5", ("Cyrl",)) == 1.0
    assert share_in("ファイル名", scripts_of("ja")) == 1.0


def test_cleaning_hundreds_of_pairs_of_a_packed_table(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{s}\t{t}\n" for s, t in numbered(SENTENCES, 50)).encode()))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [tuple(line.rstrip("\n").split("\t")) for line in islice(lines, 1000)]
    kept, dropped = cleaned(*rows)  # type: ignore[arg-type]
    assert (len(kept), dropped) == (200, {})
