"""What a catalogue's `Plural-Forms` asks for: how many forms, and which of the two English ones each is
translated from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.errors import DataError

PLURAL_FORMS = re.compile(r"\s*nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;]+?)\s*;?\s*")
# Rules look at the last two digits, some at thousands; gettext itself tries this many.
NUMBERS = range(1001)


@dataclass(frozen=True)
class PluralForms:
    """A language's plural forms.

    Attributes:
        count: how many there are.
        of_one: the form for the number 1.
        one_is_alone: that form is for no other number.
        one_is_plural: that form is also the one for 2.
    """

    count: int
    of_one: int
    one_is_alone: bool
    one_is_plural: bool

    def sources(self, singular: str, plural: str) -> list[str]:
        """Choose for each form the text that it is translated from.

        The form for 1 comes from the singular, the others from the plural. Where the form for 1 also stands
        for other numbers (0 in French, 21 in Russian) and the singular leaves the number out ("One file"),
        it comes from the plural too: `msgfmt -c` demands it, and "one" would be wrong for 21.

        >>> PluralForms(count=2, of_one=0, one_is_alone=True, one_is_plural=False).sources("a day", "%d days")
        ['a day', '%d days']
        """
        same = sorted(placeholders(singular)) == sorted(placeholders(plural))
        from_singular = not self.one_is_plural and (self.one_is_alone or same)
        return [singular if form == self.of_one and from_singular else plural for form in range(self.count)]


def read_plural_forms(value: str | None, *, name: str) -> PluralForms:
    """Read the header's field.

    Args:
        value: such as `nplurals=2; plural=(n != 1);`.
        name: the catalogue, for errors.

    Raises:
        DataError: it is missing or broken.
    """
    example = 'such as "Plural-Forms: nplurals=2; plural=(n != 1);\\n"; `msginit` knows each language\'s'
    if not value:
        raise DataError(f"{name} has plurals to fill, but its header has no Plural-Forms; add it, {example}")
    found = PLURAL_FORMS.fullmatch(value)
    broken = DataError(f"{name}: its header's Plural-Forms is broken ({value[:80]!r}); mend it, {example}")
    if found is None:
        raise broken
    count = int(found[1])
    try:
        rule = _rule(found[2])
        forms = [rule(number) for number in NUMBERS]
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise broken from error
    if not all(0 <= form < count for form in forms):
        raise broken
    return PluralForms(count, forms[1], forms.count(forms[1]) == 1, forms[1] == forms[2])


def _rule(expression: str) -> Callable[[int], int]:
    """Compile a C expression as the standard library's own `gettext` does when it reads a catalogue."""
    import gettext

    return gettext.c2py(expression)
