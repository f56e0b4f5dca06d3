"""Reports to show: a whole one, one that lacks much, and one with markup wherever text comes from data."""

from __future__ import annotations

import copy

import numpy as np

from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.side_by_side import SideBySide

NASTY = (
    "<script>alert(1)</script> [bold]x[/bold] a|b \x1b[31mred\x1b[0m\x07 `c` *s* _u_\n"
    "# new ${y}$ &amp; \u202eend"
)
NASTY_AS_TEXT = "<script>alert(1)</script> [bold]x[/bold] a|b red `c` *s* _u_ # new ${y}$ &amp; end"
ACCURACY = {
    "adapted": (0.834, 0.778), "majority": (0.586, 0.5), "tfidf": (0.742, 0.762), "scratch": (0.603, 0.515),
    "zero_shot": (0.768, 0.786), "probe": (0.788, 0.767), "target_only": (0.801, 0.702),
}  # fmt: skip
TABLE_ORDER = ["majority", "tfidf", "scratch", "zero_shot", "probe", "target_only", "adapted"]

OWNED = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
WORST = [
    {
        "id": "r1", "text": f"{OWNED} \x1b[31mred\u202e", "label": "negative", "predicted": "positive",
        "p": 0.991,
    },
    {"id": "r2", "text": "لم يعجبني " * 200, "label": "negative", "predicted": "positive", "p": 0.9},
]  # fmt: skip
CURVES = [
    {"system": system, "size": size, "value": value, "low": value - 0.02, "high": value + 0.01}
    for system, values in {"scratch": (0.55, 0.61), "adapted": (0.79, 0.84), "probe": (0.7, 0.8)}.items()
    for size, value in zip((16, 256), values, strict=True)
]


def scores(accuracy, rows):
    values = {"accuracy": accuracy, "macro_f1": accuracy - 0.01, "matthews_correlation": 2 * accuracy - 1}
    values["expected_calibration_error"] = (1 - accuracy) / 5
    return {name: {"value": v, "low": v - 0.02, "high": v + 0.02, "n": rows} for name, v in values.items()}


def content():
    """Build a whole report; its systems come in another order than they are shown in."""
    trained = {"adapted", "target_only", "scratch"}
    return {
        "schema": 1,
        "task": "sentiment",
        "primary_metric": "accuracy",
        "systems": {
            name: {
                "target": scores(target, 1398),
                "source": scores(source, 1066),
                "cost": {
                    "seconds": 40.0 + index, "selection_seconds": 8.0,
                    "source_seconds": 300.0 * (name == "adapted"), "peak_rss_mb": 900.0 + index,
                    "trainable_parameters": 22_713_602 * (name in trained),
                    "trainable_share": float(name in trained),
                },
                "per_seed": {"target": [target - 0.01, target + 0.01], "source": [source, source]},
            }
            for index, (name, (target, source)) in enumerate(ACCURACY.items())
        },
        "comparisons": [
            {
                "system": "adapted", "against": "target_only", "domain": "target", "metric": "accuracy",
                "difference": 0.033, "low": 0.013, "high": 0.053, "p": 0.002, "test": "paired bootstrap",
                "mcnemar_p": 0.00004,
            },
            {
                "system": "adapted", "against": "target_only", "domain": "target", "metric": "macro_f1",
                "difference": -0.004, "low": -0.01, "high": 0.002, "p": 0.3, "test": "paired bootstrap",
            },
        ],
        "findings": [
            {
                "check": "overlap", "severity": "info", "value": 0.0, "threshold": 0.01,
                "evidence": "none", "advice": "",
            },
            {
                "check": "forgetting", "severity": "warn", "value": -0.008, "threshold": -0.005,
                "evidence": "source accuracy fell by 0.8 points (n = 1,066).",
                "advice": "set adaptation.replay to 0.1",
            },
        ],
        "verdict": {
            "transfer": "helped", "against": "target_only", "sentence": "Transfer helped: 3.3 points.",
            "difference": 0.033, "low": 0.012, "high": 0.054, "seed_noise": "measured",
        },
        "provenance": {
            "config": {"task": "sentiment", "output_dir": "runs/x", "source_stage": {"method": "full"}},
            "versions": {"torch": "2.13.0"},
            "seeds": [0, 1],
            "data": {
                "target": {
                    "train": 58, "dev": 6, "test": 1398, "fingerprint": "0123456789", "licence": "mit",
                    "dropped": {"empty": 3, "label not mapped": 1200}, "unused": 1500,
                },
                "source": {"train": 8530, "dev": 0, "test": 1066, "fingerprint": "9876543210"},
            },
            "num_processes": 1,
            "metric_signatures": {"accuracy": "accuracy|bootstrap:1000"},
        },
    }  # fmt: skip


def nasty_content():
    """Put the nasty text wherever text from data, a file or a card can come from."""
    nasty = content()
    nasty["verdict"]["sentence"] = NASTY
    nasty["findings"] += [
        {
            "check": NASTY,
            "severity": "block",
            "value": None,
            "threshold": None,
            "evidence": NASTY,
            "advice": NASTY,
        }
    ]
    nasty["provenance"]["data"]["target"] |= {"licence": NASTY, "card": NASTY}
    nasty["provenance"]["config"]["hub"] = {NASTY: NASTY + "\n```\n<script>\n````"}
    nasty["provenance"]["metric_signatures"]["accuracy"] = NASTY
    nasty["provenance"]["versions"][NASTY] = NASTY
    nasty["comparisons"][0]["test"] = NASTY
    nasty["systems"][NASTY] = copy.deepcopy(nasty["systems"]["probe"])
    return nasty


def without_source():
    bare = content()
    for system in bare["systems"].values():
        system["source"] = {}
    bare["provenance"]["data"]["source"] = {}
    return bare


def predictions(classes, rows=400):
    generator = np.random.default_rng(classes)
    references = generator.integers(classes, size=rows)
    logits = 1.3 * generator.normal(size=(2, rows, classes))
    logits[:, np.arange(rows), references] += np.array([[1.5], [2.2]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return {"zero_shot": probabilities[0], "adapted": probabilities[1]}, references


def side_by_side(scores=(0.834, 0.801, 0.62)):
    """Three runs that a study may have read, the first of them best."""
    runs, names = {}, ("full", "probe", NASTY_AS_TEXT)
    for name, value in zip(names, scores, strict=True):
        given = content()
        given["systems"]["adapted"]["target"]["accuracy"] |= {"value": value, "low": value - 0.02}
        given["systems"]["adapted"]["target"]["accuracy"] |= {"high": value + 0.02}
        runs[name] = TransferReport(given)
    differences = [
        {
            "system": names[one], "against": names[other], "domain": "target", "metric": "accuracy",
            "difference": scores[one] - scores[other], "low": 0.0, "high": 0.3, "p": 0.02, "mcnemar_p": 0.03,
            "test": "paired bootstrap", "noise_low": scores[one] - scores[other] - 0.05,
            "noise_high": scores[one] - scores[other] + 0.05, "seed_noise": "assumed",
        }
        for one, other in ((0, 1), (0, 2), (1, 2))
    ]  # fmt: skip
    settings = {
        "adaptation.method": ["full", "probe", None],
        "data.label_map": [NASTY_AS_TEXT, None, {"1": "x"}],
    }
    return SideBySide(runs, ["target", "source"], differences, settings, ["The source domain is as it is."])
