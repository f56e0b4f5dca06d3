"""The demos: which recipe each one runs, and what it says at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Sentences of no catalogue that the demo learnt from or was tested on.
DEMO_SENTENCES = (
    "Save the file before you close the window.",
    "Your password has expired",
    "Delete %(count)d selected messages?",
    "The search returned no results.",
    "Choose the language of the user interface",
)


@dataclass(frozen=True)
class Demo:
    """One demo."""

    recipe: str
    """Folder of its `demo.yaml` among the shipped recipes."""
    command: str
    """What to try next, with the run folder's place in it."""
    translates: bool = False

    def closing_words(self, folder: Path) -> str:
        """Say where everything is, show five translations, and name the command to try."""
        words = [""]
        if self.translates:
            words += _translated(folder)
        words.append(places_of(folder))
        words.append(f"Try it:  {self.command.format(folder=folder)}")
        return "\n".join(words)


DEMOS = {
    "sentiment": Demo("sentiment_transfer", 'nlp-transfer predict {folder} "Battery died after a week."'),
    "translation": Demo(
        "low_resource_translation", 'nlp-transfer translate {folder} "Save the file"', translates=True
    ),
}


def places_of(folder: Path) -> str:
    """Say where a finished run left what is wanted of it."""
    return f"The report is in {folder}/report.html, the adapted model in {folder}/model."


def _translated(folder: Path) -> list[str]:
    """Translate the demo's sentences, one line each."""
    from nlp_transfer.inference.translator import load_translation_model

    translator = load_translation_model(str(folder / "model"))
    written = translator.translate(list(DEMO_SENTENCES))
    width = max(len(text) for text in DEMO_SENTENCES)
    lines = [f"  {source:<{width}}  {text}" for source, text in zip(DEMO_SENTENCES, written, strict=True)]
    return [f"Five sentences, {translator.src_lang} to {translator.tgt_lang}:", *lines, ""]
