"""Writes the tables of benchmarks/README.md from the results, so that no number is typed by hand.

python benchmarks/tables.py > benchmarks/README.md
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NOTES = {"caveat": "Caveat", "leak_condition": "Leaks"}
SHOWN = ("zero_shot", "probe", "target_only", "setfit", "adapted")


def quality(results: dict[str, Any]) -> list[str]:
    """Tabulate mean accuracy by target labels, with the number of seeds behind each."""
    found: dict[int, dict[str, list[float]]] = {}
    for key, cell in results["cells"].items():
        for system, entry in cell.items():
            found.setdefault(int(key.partition("/")[0]), {}).setdefault(system, []).append(
                100 * entry["accuracy"]
            )
    lines = [f"| target labels | {' | '.join(SHOWN)} |", f"|---:|{'---:|' * len(SHOWN)}"]
    for size in sorted(found):
        lines.append(
            f"| {size:,} | {' | '.join(cell_text(found[size].get(system, [])) for system in SHOWN)} |"
        )
    return lines


def cell_text(values: list[float]) -> str:
    """Write a mean with its sample deviation and number of seeds."""
    if not values:
        return "not measured"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({len(values)})"


def ratios(name: str, values: dict[str, list[float]]) -> list[str]:
    """Tabulate ratios: median, least and greatest over the repeats."""
    lines = [f"| {name} | median | least | greatest | n |", "|---|---:|---:|---:|---:|"]
    for key, each in values.items():
        lines.append(
            f"| {key} | {statistics.median(each):.2f} | {min(each):.2f} | {max(each):.2f} | {len(each)} |"
        )
    return lines


def faults(results: dict[str, Any]) -> list[str]:
    """Tabulate how often each kind of run was disturbed, ended as if it had not been, and lost rows."""
    lines = ["| run | fault | tried | survived | rows lost | in the phases |", "|---|---|---:|---:|---:|---|"]
    for kind, measured in results["kinds"].items():
        for fault, found in measured["faults"].items():
            phases = ", ".join(f"{phase} {times}" for phase, times in sorted(found["phases"].items()))
            counts = f"{found['tried']} | {found['survived']} | {found['rows_lost']}"
            lines.append(f"| {kind} | {fault} | {counts} | {phases} |")
    return lines


def growth(results: dict[str, Any]) -> list[str]:
    """Tabulate seconds, milliseconds a row and peak memory by step and rows."""
    lines = ["| step | rows | seconds | ms / row | own MB, peak | before the rows | resident MB, peak |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for step, cells in results["cells"].items():
        for rows, cell in sorted(cells.items(), key=lambda item: int(item[0])):
            each = f"{1000 * cell['seconds'] / int(rows):.3f}"
            memory = f"{cell['peak_mb']} | {cell['before_mb']} | {cell['rss_mb']}"
            lines.append(f"| {step} | {int(rows):,} | {cell['seconds']:.1f} | {each} | {memory} |")
    return lines


def soak(results: dict[str, Any]) -> list[str]:
    """Tabulate memory and open files of one process at the beginning and at the end of its work."""
    lines = ["| work | texts | MB, start | MB, end | MB, most | open files, start | end |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for work, found in results["work"].items():
        memory = f"{found['start_mb']} | {found['end_mb']} | {found['most_mb']}"
        files = f"{found['open_files_start']} | {found['open_files_end']}"
        lines.append(f"| {work} | {found['texts']:,} | {memory} | {files} |")
    return lines


def translation_quality(results: dict[str, Any]) -> list[str]:
    """Tabulate chrF++ by the number of pairs, the share of the change that was kept, what the parent's pairs
    lost or won, and chrF of `adapted` beside the rule-based system's.
    """
    systems = ("copy", "zero_shot", "scratch", "adapted")
    lines = [
        f"| pairs | {' | '.join(f'{name} chrF++' for name in systems)} | mix | parent's pairs | "
        "adapted chrF | Apertium chrF |",
        f"|---:|{'---:|' * (len(systems) + 4)}",
    ]
    for key in sorted(results["cells"], key=lambda key: int(key.partition("/")[0])):
        cell = results["cells"][key]["systems"]
        scores = [f"{cell[name]['chrf++']['value']:.1f}" if name in cell else "-" for name in systems]
        adapted = f"{cell['adapted']['chrf']:.1f}"
        size, disjoint = int(key.partition("/")[0]), ", no English of the parents'" * key.endswith("disjoint")
        mix = (results["cells"][key]["mix"] or {}).get("alpha", 1)
        change = cell["adapted"]["source_chrf++"]["value"] - cell["zero_shot"]["source_chrf++"]["value"]
        lines.append(
            f"| {size:,}{disjoint} | {' | '.join(scores)} | {mix:g} | {change:+.1f} | {adapted} | "
            f"{results['apertium_chrf']} |"
        )
    return lines


def unlabelled(results: dict[str, Any]) -> list[str]:
    """Tabulate what text without labels brought, by target labels and method, beside the model before."""
    lines = [
        "| target labels | text without labels | zero_shot | adapted | source: zero_shot | source: adapted |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for key, cell in sorted(results["cells"].items(), key=lambda item: int(item[0].partition("/")[0])):
        size, _, method = key.partition("/")
        scores = [
            cell_text([100 * seed[domain] for seed in cell[system]])
            for domain in ("target", "source")
            for system in ("zero_shot", "adapted")
        ]
        said = "none" if method == "none" else f"{method}, {cell['texts']:,} texts"
        lines.append(f"| {int(size):,} | {said} | {' | '.join(scores)} |")
    return lines


def diagnostics_cost(results: dict[str, Any]) -> list[str]:
    """Tabulate the seconds of each group of diagnostics, and their share of training and baselines."""
    stages, seconds = results["seconds"]["stages"], results["seconds"]["diagnostics"]
    lines = ["| part | seconds | share of training and baselines |", "|---|---:|---:|"]
    lines += [f"| {name} | {taken:.1f} | |" for name, taken in stages.items()]
    lines += [f"| {name} | {taken:.2f} | {results['share'][name]:.2%} |" for name, taken in seconds.items()]
    return [*lines, f"| all diagnostics | {sum(seconds.values()):.1f} | {results['share_of_all']:.1%} |"]


def demo(results: dict[str, Any]) -> list[str]:
    """Tabulate a demo's systems on both domains, with intervals."""
    metric, factor = (
        ("chrf++", 1) if "chrf++" in results["systems"]["adapted"]["target"] else ("accuracy", 100)
    )
    lines = [f"| system | target {metric} | source {metric} | seconds |", "|---|---:|---:|---:|"]
    for name, entry in results["systems"].items():
        cells = []
        for domain in ("target", "source"):
            score = entry[domain].get(metric)
            value, low, high = (
                (factor * score[part] for part in ("value", "low", "high")) if score else (0, 0, 0)
            )
            cells.append(f"{value:.1f} ({low:.1f} to {high:.1f})" if score else "-")
        lines.append(f"| {name} | {' | '.join(cells)} | {entry['cost'].get('seconds', 0):.0f} |")
    return lines


def runtime_speed(results: dict[str, Any]) -> list[str]:
    """Tabulate exported models beside the stock way: throughput, score, first answer, memory."""
    lines = [
        f"| way | times faster than {results['stock']}: median (least to greatest, n) | by processor time | "
        f"rows a second | "
        f"{results['score_is']} | equal answers % | first answer s | peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, seconds in results["seconds"].items():
        each, started = results["times_faster"].get(name), results["first_answer"].get(name)
        faster = (
            f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f}, {len(each)})"
            if each
            else "1"
        )
        work = results["times_faster_by_processor"].get(name, [1.0])
        first = (
            f"{started['first_answer_seconds']:.1f} | {started['peak_rss_mb']:,.0f}" if started else "- | -"
        )
        lines.append(
            f"| {name} | {faster} | {statistics.median(work):.2f} | "
            f"{results['rows'] / statistics.median(seconds):,.0f} | "
            f"{results['score'][name]:.2f} | {100 * results['equal_to_stock'][name]:.1f} | {first} |"
        )
    return lines


def training_speed(results: dict[str, Any]) -> list[str]:
    """Tabulate the epoch's seconds beside a stock Trainer's, with what they bought."""
    means = ", ".join(f"{name} {100 * value:.1f}" for name, value in results["mean_accuracy"].items())
    epochs = ", ".join(f"{ratio:.2f}" for ratio in results["probe_to_package_epoch"])
    return [
        *ratios("seconds / stock Trainer's", results["seconds_ratio_to_stock"]),
        "",
        f"Mean accuracy: {means}. The probe reaches {100 * results['probe_share_of_gain']:.0f}% of the gain.",
        f"Probe's time over one epoch of the package's: {epochs}.",
    ]


def times_faster(results: dict[str, Any]) -> list[str]:
    """Tabulate how many times faster the package is than each alternative."""
    return ratios("times faster than", results["times_faster"])


def null_verdicts(results: dict[str, Any]) -> list[str]:
    """Tabulate how often the verdict spoke where there was nothing to say."""
    lines = [
        "| rows | seeds of a run | differ by | helped | harmed | runs | share, upper 95% bound |",
        "|---:|---:|---|---:|---:|---:|---:|",
    ]
    for key, cell in results["cells"].items():
        counts = f"{cell.get('helped', 0)} | {cell.get('harmed', 0)} | {cell['runs']}"
        bound = f"{100 * cell['spoke_share']:.1f}%, {100 * cell['upper_95']:.1f}%"
        lines.append(f"| {' | '.join(key.split('/'))} | {counts} | {bound} |")
    return lines


def curve(results: dict[str, Any]) -> list[str]:
    """Tabulate a learning curve, with what it comes to."""
    points = results["curves"]
    sizes = sorted({point["size"] for point in points})
    cells = {(point["system"], point["size"]): point for point in points}
    lines = [
        f"| system | {' | '.join(f'{size:,}' for size in sizes)} | area |",
        f"|---|{'---:|' * (len(sizes) + 1)}",
    ]
    for system in dict.fromkeys(point["system"] for point in points):
        found = [cells[system, size] for size in sizes]
        halves = [(point["high"] - point["low"]) / 2 for point in found]
        scores = [
            f"{100 * point['value']:.1f} ±{100 * half:.1f} ({len(point['per_seed'])})"
            for point, half in zip(found, halves, strict=True)
        ]
        lines.append(f"| {system} | {' | '.join(scores)} | {100 * results['areas'][system]['value']:.1f} |")
    lines += ["", *(f"- {finding['evidence']}" for finding in results["findings"])]
    return lines


def flipped_source(results: dict[str, Any]) -> list[str]:
    """Tabulate what the report says of a source with exchanged labels."""
    lines = [
        "| labels | trust_source | zero_shot | target_only | adapted | verdict | source_harm | set aside |",
        "|---:|---|---:|---:|---:|---|---|---|",
    ]
    for key, cell in sorted(results["cells"].items(), key=lambda item: int(item[0].partition("/")[0])):
        size, _, trust = key.partition("/")
        shown = ("zero_shot", "target_only", "adapted")
        scores = [f"{100 * cell['accuracy'][system]['value']:.1f}" for system in shown]
        found = {finding["check"]: finding["severity"] for finding in cell["findings"]}
        said = f"{cell['verdict']['transfer']} ({100 * cell['verdict']['difference']:+.1f})"
        aside = "yes" if found.get("source_trust") == "warn" else "no"
        row = [f"{int(size):,}", trust, *scores, said, found.get("source_harm", "-"), aside]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def membership(results: dict[str, Any]) -> list[str]:
    """Tabulate how well learnt rows are told from unseen ones, by passes over them."""
    found: dict[int, list[dict[str, Any]]] = {}
    for key, cell in results["cells"].items():
        found.setdefault(int(key.partition("/")[0]), []).append(cell)
    lines = [
        "| passes | AUC of learnt rows | AUC of rows never seen | learnt rows right | test rows right |",
        "|---:|---:|---:|---:|---:|",
    ]
    for passes, cells in sorted(found.items()):
        aucs = [
            f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)})"
            for name in ("learnt", "control")
            for values in [[cell["auc"][name]["value"] for cell in cells]]
        ]
        right = [cell_text([100 * cell["accuracy"][name] for cell in cells]) for name in ("learnt", "test")]
        lines.append(f"| {passes} | {' | '.join([*aucs, *right])} |")
    return lines


def chain(results: dict[str, Any]) -> list[str]:
    """Tabulate each test set's score after each step of a chain."""
    last = results["chain"]
    lines = [f"| test set | n | after {' | after '.join(last['steps'])} |"]
    lines.append(f"|---|---:|{'---:|' * len(last['steps'])}")
    for each in last["test_sets"]:
        scores = ["-" if score is None else f"{100 * score:.1f}" for score in each["scores"]]
        lines.append(f"| {each['name']} | {each['n']} | {' | '.join(scores)} |")
    return lines


def startup(results: dict[str, Any]) -> list[str]:
    """Tabulate what whole processes take."""
    lines = ["| process | seconds, median | least to greatest |", "|---|---:|---:|"]
    return lines + [
        f"| `{name}` | {took['median']:.2f} | {took['least']:.2f} to {took['greatest']:.2f} |"
        for name, took in results["seconds"].items()
    ]


def serve_load(results: dict[str, Any]) -> list[str]:
    """Tabulate what the clients of a server saw."""
    shown = (
        "answered", "lost", "answered_with_another_result", "clients_that_hung_up", "answered_a_second",
        "p50_ms", "p99_ms", "slowest_ms", "exit_status_after_sigterm",
    )  # fmt: skip
    lines = ["| seen | |", "|---|---:|"]
    return lines + [f"| {name.replace('_', ' ')} | {round(results[name], 1):g} |" for name in shown]


SEEDS = "; mean ± sample deviation (seeds)"
# Files, what is added to their own words, and how each is tabulated.
SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], list[str]]], ...] = (
    ("quality_*", SEEDS, quality),
    ("training_speed", "", training_speed),
    ("frozen_layers", "", times_faster),
    ("predict_speed", "", times_faster),
    ("translation_training_speed", "", times_faster),
    ("translate_speed", "", times_faster),
    ("runtime_speed_*", "", runtime_speed),
    ("translation_quality_*", "", translation_quality),
    ("sentiment_demo", "", demo),
    ("translation_demo", "", demo),
    ("curve_*", "; ± half of the 95% interval over rows (seeds)", curve),
    ("unlabelled_*", SEEDS, unlabelled),
    ("null_verdicts", "", null_verdicts),
    ("flipped_source", "", flipped_source),
    ("membership", "; mean (least to greatest, seeds)", membership),
    ("chain", "", chain),
    ("diagnostics_cost", "", diagnostics_cost),
    ("faults", "", faults),
    ("growth", "", growth),
    ("soak", "", soak),
    ("serve_load", "", serve_load),
    ("startup", "", startup),
)


def main() -> None:
    lines = [
        "# Benchmarks",
        "",
        "Run one at a time on an idle machine; each script says at its head how. The tables are written by",
        "`python benchmarks/tables.py > benchmarks/README.md` from `results/*.json`, which hold versions and",
        "hardware. Results that did not help stand in `results/defaults.json` and in",
        "`translation_defaults.json` beside those that did.",
    ]
    for pattern, added, tabulate in SECTIONS:
        for path in sorted(RESULTS.glob(f"{pattern}.json")):
            results = json.loads(path.read_text(encoding="utf-8"))
            rows = f", n = {results['rows']:,}" if "rows" in results else ""
            lines += ["", f"## {path.stem}", "", f"{results['what']}{rows}{added}.", "", *tabulate(results)]
            notes = [f"{name}: {results[key]}." for key, name in NOTES.items() if key in results]
            lines += [line for note in notes for line in ("", note)]
            lines += ["", *(f"- {note}" for note in results["notes"])] if "notes" in results else []
            if path.with_suffix(".png").exists():
                lines += ["", f"![{path.stem}](results/{path.stem}.png)"]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
