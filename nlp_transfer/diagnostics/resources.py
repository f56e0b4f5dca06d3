"""Saves resources: what adapting took beside training without the source, and what is left to store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlp_transfer.findings import Finding

Cost = Mapping[str, float]


def resources_finding(
    costs: Mapping[str, Cost], *, against: Sequence[str], stored_mb: Mapping[str, float]
) -> Finding:
    """Word what the adapted model took; it informs.

    The value is its seconds of optimisation over those of the first of `against` that was run, None where
    none was: a model that starts from nothing and one that is adapted are trained by the same procedure. The
    source model is made once for all targets, so its seconds are not in the value; the evidence tells both
    ratios.

    Args:
        costs: system to its cost, as in the report; `adapted` among them.
        against: systems that learnt from the target alone.
        stored_mb: `model` and `adapter` to their weights' size in MB.
    """
    spent = costs["adapted"]
    beside = next((name for name in against if costs.get(name, {}).get("seconds")), None)
    ratio = spent["seconds"] / costs[beside]["seconds"] if beside and spent.get("seconds") else None
    parts = [
        _seconds(spent, None if beside is None else (beside, costs[beside]["seconds"])),
        f"{spent.get('peak_rss_mb', 0):,.0f} MB of memory at most",
        f"{spent.get('trainable_share', 0):.1%} of the weights were trained",
        *_throughput(spent),
        *(f"{size:,.1f} MB of weights to store as {name}" for name, size in stored_mb.items()),
    ]
    return Finding("resources", "info", ratio, None, f"{'; '.join(parts)} (n = 1 run)", "")


def _seconds(spent: Cost, beside: tuple[str, float] | None) -> str:
    """Word the seconds, with and without the source model's, and how many times those of a baseline they are.

    Args:
        spent: the adapted model's cost.
        beside: name and seconds of the baseline, None where none was run.
    """
    own, source = spent.get("seconds", 0.0), spent.get("source_seconds", 0.0)

    def times(seconds: float) -> str:
        return "" if beside is None else f", {seconds / beside[1]:.1f} times {beside[0]}'s {beside[1]:,.1f} s"

    words = f"adapting took {own:,.1f} s of training{times(own)}"
    if not source:
        return words
    whole = own + source
    return f"{words}; with the source model, made once for all targets, {whole:,.1f} s{times(whole)}"


def _throughput(spent: Cost) -> list[str]:
    """Word real tokens a second and padding, which a system has that was trained step by step."""
    if not spent.get("tokens_per_second"):
        return []
    return [
        f"{spent['tokens_per_second']:,.0f} real tokens a second",
        f"{spent.get('padding_share', 0):.1%} of what was computed was padding",
    ]
