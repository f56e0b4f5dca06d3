"""One run on real reviews with the real encoder: small, and still better than guessing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.resources import resource_dir


@pytest.mark.real
def test_movie_reviews_teach_something_about_products(tmp_path: Path) -> None:
    sizes = [
        "data.source.train_size=200",
        "data.source.test_size=200",
        "data.target.train_size=32",
        "data.target.test_size=200",
    ]
    recipe = SentimentTransfer.from_config(
        resource_dir("recipes") / "sentiment_transfer" / "probe.yaml", [f"output_dir={tmp_path}/run", *sizes]
    )
    report = recipe.run()
    # 232 labels and a frozen encoder: far from the best, but better than guessing beyond the rows' noise.
    accuracy, macro_f1 = (
        entry for entry in report.comparisons if (entry["against"], entry["domain"]) == ("majority", "target")
    )
    assert accuracy["difference"] > 0
    assert macro_f1["low"] > 0.1
    assert report.test_rows("target") == "n = 200"

    assert (
        load_adapted(tmp_path / "run").predict(["Battery died after a week.", "I love it, it works great."])[
            1
        ]["label"]
        == "positive"
    )
    data = json.loads((tmp_path / "run" / "data.json").read_text())["domains"]
    assert (data["source"]["card"], data["target"]["card"]) == ("rotten_tomatoes", "product_reviews")
