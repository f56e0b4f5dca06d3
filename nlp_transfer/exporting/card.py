"""What was measured at an export, in the words of a model card's section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_transfer.inference.exported import NEEDED_TO_RUN
from nlp_transfer.whole_files import write_text

HEADING = "## Exported for a faster runtime"
NAMES = {"onnx": "ONNX Runtime", "ctranslate2": "CTranslate2"}
CALLS = {
    "classification": 'predict(["Battery died after a week."])',
    "translation": 'translate(["Save the file"])',
}


def write_card(source: Path, folder: Path, description: dict[str, Any]) -> None:
    """Write the card of an exported folder: the model's own, where it has one, and a section on the export.

    Args:
        source: the model's folder.
        folder: the exported one.
        description: what `export.json` says.
    """
    card = source / "README.md"
    before = card.read_text(encoding="utf-8") if card.is_file() else f"# {description['source']['name']}\n"
    write_text(folder / "README.md", f"{before.rstrip()}\n\n{section(description)}")


def section(description: dict[str, Any]) -> str:
    """Word the section."""
    runtime = NAMES[description["runtime"]]
    bits = "eight bits" if description["int8"] else "float32"
    packages = " ".join(
        f"{name}=={description['versions'][name]}" for name in NEEDED_TO_RUN[description["runtime"]]
    )
    lines = [
        HEADING,
        "",
        f"These are not the weights that `transformers` loads: the model was exported for {runtime}, with "
        f"weights in {bits} (made with {packages}). `export.json` holds what stands here.",
        "",
        *(f"- {line}" for line in measured_lines(description)),
        "",
        "```python",
        "from nlp_transfer import load_adapted",
        "",
        f'load_adapted("path/to/this/folder").{CALLS[description["task"]]}',
        "```",
        "",
        'It needs the extra: `python -m pip install "nlp-transfer[fast]"`.',
    ]
    return "\n".join(lines) + "\n"


def measured_lines(description: dict[str, Any]) -> list[str]:
    """Word what was measured, a line each."""
    found = description["parity"]
    lines = [f"Compared with the model on {found['rows_are']}."]
    if "accuracy" in found:
        scores = found["accuracy"]
        lines.append(
            f"Accuracy {scores['model']:.1f}% before, {scores['exported']:.1f}% exported "
            f"(n = {found['rows']:,})."
        )
    if "equal_labels" in found:
        lines.append(
            f"{100 * found['equal_labels']:.1f}% of the labels are equal; logits differ by "
            f"{found['max_logit_difference']:.1g} at most."
        )
    if "chrf++" in found:
        scores = found["chrf++"]
        lines.append(
            f"chrF++ {scores['model']:.2f} before, {scores['exported']:.2f} exported (n = {found['rows']:,})."
            if "model" in scores
            else f"chrF++ of its output against the model's own {scores['exported']:.2f} "
            f"(n = {found['rows']:,})."
        )
        lines.append(
            f"{100 * found['equal_translations']:.1f}% of the translations with {found['num_beams']} beam(s) "
            f"are equal, {100 * found['equal_greedy_translations']:.1f}% of the greedy ones "
            f"(n = {found['greedy_rows']:,})."
        )
    if description["override"] is not None:
        lines.append(
            f"Out of bounds: {'; '.join(description['problems'])}. Exported all the same: "
            f"{description['override']}"
        )
    return lines
