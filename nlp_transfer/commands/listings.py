"""Commands that list, show and copy what the package ships: data cards and recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlp_transfer.commands.options import AsJson, print_json


def cards_list(as_json: AsJson = False) -> None:
    """List the data cards."""
    from nlp_transfer.data.cards import list_cards, load_card

    cards = [load_card(name) for name in list_cards()]
    if as_json:
        print_json({card.name: card.metadata for card in cards})
        return
    for card in cards:
        rows = f"{card.spec.declared.rows:,} rows" if card.spec.declared else ""
        columns = (f"{card.name:<20}", f"{card.spec.task:<12}", f"{rows:>16} ", f"{card.licence:<12}")
        print(*columns, card.metadata["pretty_name"])


def cards_show(
    name: Annotated[
        str, typer.Argument(help="A card's name; `nlp-transfer cards list` shows them.", metavar="NAME")
    ],
) -> None:
    """Print what a card says."""
    from nlp_transfer.data.cards import load_card

    card = load_card(name)
    print(card.body)
    print(f"\nLicence: {card.licence} ({card.spec.licence_evidence})")


def cards_prepare(
    name: Annotated[
        str, typer.Argument(help="A card's name; `nlp-transfer cards list` shows them.", metavar="NAME")
    ],
    src_lang: Annotated[str, typer.Option(help="Translation: language translated from.")] = "en",
    tgt_lang: Annotated[str | None, typer.Option(help="Translation: language translated into.")] = None,
) -> None:
    """Fetch a card's data into the cache and compare it with what the card declares."""
    from nlp_transfer.data.preparing import prepare_card

    print(prepare_card(name, src_lang=src_lang, tgt_lang=tgt_lang))


def recipes_list() -> None:
    """List the shipped recipes."""
    from nlp_transfer.resources import list_recipes

    for name, opening in list_recipes().items():
        print(f"{name:<32} {opening}")


def recipes_copy(
    name: Annotated[
        str, typer.Argument(help="A recipe's name, such as sentiment_transfer/full.", metavar="NAME")
    ],
    to: Annotated[Path | None, typer.Option(help="The new file; default: the recipe's name here.")] = None,
) -> None:
    """Copy a shipped recipe, to change it."""
    from nlp_transfer.resources import copy_recipe

    print(copy_recipe(name, to))


def recipes_keys(
    section: Annotated[
        str | None, typer.Argument(help="A section, such as data.target; default: all.", metavar="SECTION")
    ] = None,
) -> None:
    """Say what every key of a recipe means, with its type and default.

    nlp-transfer recipes keys adaptation
    """
    from nlp_transfer.config.reference import config_reference

    print(config_reference(section))
