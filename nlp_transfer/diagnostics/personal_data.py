"""Personal data in training texts: e-mail addresses, phone, card, account and identity numbers, user names.

Finding candidates is a pattern's part, deciding a library's: email-validator, phonenumbers (Google's rules)
and python-stdnum (check digits). Counts leave this module, and examples in which every letter and digit is
masked; never a value. Names of people are not looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nlp_transfer.findings import Finding

# One address in the training text is one too many to publish unseen.
MAX_PERSONAL_ROWS = 0
# Told, but no reason to warn: a public name that says who somebody is only to those who know it.
PUBLIC_KINDS = ("user name",)
DEFAULT_REGIONS = ("US", "GB")
MAX_EXAMPLES = 3
# Lengths of card numbers by the issuer's first digit: 2 and 5 Mastercard, 3 American Express, Diners and JCB,
# 4 Visa, 6 Discover, UnionPay and Maestro. Bar codes of goods (978 for books) start otherwise.
CARD = re.compile(r"(?<![\w.])[2-6](?:[ -]?\d){12,18}(?!\w|\.\d)")
EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
USER_NAME = re.compile(r"(?<![\w@./])(?:@[A-Za-z0-9_]{2,30}|/?u/[A-Za-z0-9_-]{3,20})(?![\w@])")
ENOUGH_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")
# Identity numbers whose written form and check digits leave little to chance; module of python-stdnum.
IDENTITY_NUMBERS = {
    "stdnum.us.ssn": re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
    "stdnum.es.dni": re.compile(r"\b\d{8}-?[A-Z]\b"),
    "stdnum.es.nie": re.compile(r"\b[XYZ]-?\d{7}-?[A-Z]\b"),
    "stdnum.it.codicefiscale": re.compile(r"\b[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]\b"),
    "stdnum.br.cpf": re.compile(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b"),
    "stdnum.in_.aadhaar": re.compile(r"(?<![\d-])\d{4}([ -])\d{4}\1\d{4}(?![\d-])"),
    "stdnum.fr.nir": re.compile(r"\b[12] \d{2} \d{2} \d{2} \d{3} \d{3} \d{2}\b"),
}

Span = tuple[int, int]


@dataclass(frozen=True)
class PersonalData:
    """What a scan found."""

    rows: int
    """Texts looked at."""
    rows_with_any: int
    """Texts that hold any kind but user names."""
    counts: dict[str, int] = field(default_factory=dict)
    """Finds of each kind: e-mail, IBAN, card, identity number, phone, user name."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """A few masked finds of each kind."""


def scan_personal_data(texts: Sequence[str], *, regions: Sequence[str] = DEFAULT_REGIONS) -> PersonalData:
    """Count personal data in texts, by kind, with masked examples.

    Args:
        texts: one a row.
        regions: countries (ISO 3166) whose national way of writing phone numbers is known; numbers with a
            country code are found without.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    rows_with_any = 0
    for text in texts:
        found = list(find_personal_data(text, regions=regions))
        rows_with_any += any(kind not in PUBLIC_KINDS for kind, _ in found)
        for kind, value in found:
            counts[kind] += 1
            shown = examples.setdefault(kind, [])
            if len(shown) < MAX_EXAMPLES and masked(value) not in shown:
                shown.append(masked(value))
    return PersonalData(len(texts), rows_with_any, dict(counts), examples)


def find_personal_data(text: str, *, regions: Sequence[str] = DEFAULT_REGIONS) -> Iterator[tuple[str, str]]:
    """Yield (kind, value) of each find in a text; a stretch of text counts for one kind only.

    The values are personal data: mask them before they go anywhere.
    """
    finders: dict[str, Callable[[str], Iterator[Span]]] = {
        "e-mail": _emails,
        "IBAN": _ibans,
        "identity number": _identity_numbers,
        "card": _cards,
        "phone": lambda rest: _phones(rest, regions),
        "user name": lambda rest: (match.span() for match in USER_NAME.finditer(rest)),
    }
    rest = text
    for kind, find in finders.items():
        for start, end in list(find(rest)):
            yield kind, text[start:end]
            # Same length, so that later spans still fit the text.
            rest = f"{rest[:start]}{chr(0) * (end - start)}{rest[end:]}"


def masked(value: str) -> str:
    """Replace each letter by x and each digit by 9, and keep the signs: enough to see what was found.

    >>> masked("jane.doe+1@mail.org")
    'xxxx.xxx+9@xxxx.xxx'
    """
    return "".join("9" if letter.isdigit() else "x" if letter.isalpha() else letter for letter in value)


def personal_data_finding(name: str, found: PersonalData, *, threshold: int = MAX_PERSONAL_ROWS) -> Finding:
    """Word what was found in a domain's training texts; warn where more than `threshold` rows hold any."""
    bad = found.rows_with_any > threshold
    kinds = ", ".join(
        f"{count:,} {kind} ({'; '.join(found.examples[kind])})" for kind, count in found.counts.items()
    )
    return Finding(
        "personal_data", "warn" if bad else "info", float(found.rows_with_any), float(threshold),
        f"{name}: {found.rows_with_any:,} of {found.rows:,} training texts hold personal data"
        + (f": {kinds}" if kinds else ""),
        "take it out or replace it before you train or publish" if bad else "",
    )  # fmt: skip


def _emails(text: str) -> Iterator[Span]:
    if "@" not in text:
        return
    from email_validator import EmailNotValidError, validate_email

    for match in EMAIL.finditer(text):
        try:
            validate_email(match.group(), check_deliverability=False)
        except EmailNotValidError:
            continue
        yield match.span()


def _ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    return (match.span() for match in IBAN.finditer(text) if iban.is_valid(match.group()))


def _cards(text: str) -> Iterator[Span]:
    from stdnum import luhn

    return (match.span() for match in CARD.finditer(text) if luhn.is_valid(re.sub(r"\D", "", match.group())))


def _identity_numbers(text: str) -> Iterator[Span]:
    from importlib import import_module

    for module, pattern in IDENTITY_NUMBERS.items():
        for match in pattern.finditer(text):
            if import_module(module).is_valid(match.group()):
                yield match.span()


def _phones(text: str, regions: Sequence[str]) -> Iterator[Span]:
    """Find phone numbers written as their country writes them; the search is slow, so most texts skip it."""
    if not ENOUGH_DIGITS.search(text):
        return
    import phonenumbers

    seen: list[Span] = []
    for region in regions or (None,):
        strict = phonenumbers.Leniency.STRICT_GROUPING
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=strict):
            if not any(match.start < end and start < match.end for start, end in seen):
                seen.append((match.start, match.end))
    yield from sorted(seen)
