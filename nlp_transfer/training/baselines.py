"""What any transfer has to beat: the commonest label, bag-of-words regression, and a probe on frozen
features.

Each function takes training rows and the texts to score and returns probabilities of shape (texts, classes).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import Rows, cross_validation_folds

Array = npt.NDArray[np.float64]
# Strengths of L2 regularisation that the dev folds choose from; features are standardised first.
PROBE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SELECTION_FOLDS = 4


def majority(train: Rows, texts: Sequence[str], *, classes: int) -> Array:
    """Give every text the class shares of the training rows."""
    shares = np.bincount(train.labels, minlength=classes) / max(1, len(train))
    return np.tile(shares, (len(texts), 1))


def tfidf(train: Rows, texts: Sequence[str], *, classes: int) -> Array:
    """Logistic regression on tf-idf weights of words and word pairs (scikit-learn's standard text
    baseline); of characters and their pairs where the texts have no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    settings = {"sublinear_tf": True, "ngram_range": (1, 2)}
    words = TfidfVectorizer(**settings, min_df=1 if len(train) < 1000 else 2)
    # Texts of signs alone have no words, and of texts that share none each word is too rare.
    signs = TfidfVectorizer(**settings, analyzer="char")
    try:
        words.fit(train.texts)
    except ValueError:
        words = signs
    model = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    model.fit(train.texts, train.labels)
    return spread(model.predict_proba(list(texts)), model[-1].classes_, classes)


def fit_probe(
    features: npt.NDArray[np.float32],
    train: Rows,
    *,
    seed: int,
    select_on: Rows | None = None,
    class_weights: str | None = None,
) -> Any:
    """Fit logistic regression on standardised features, its strength chosen by cross-validation.

    Args:
        features: shape (rows, hidden), one line a training row.
        train: the rows.
        seed: divides the folds.
        select_on: the rows among `train`'s last ones that the strength is chosen for (a target's, where
            source and
            target are learnt together); None chooses for all.
        class_weights: `balanced` lets each class count alike; None each row.

    Returns:
        A fitted scikit-learn pipeline of scaler and regression.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def build(strength: float) -> Any:
        return make_pipeline(StandardScaler(), regression(C=strength))

    regression = functools.partial(LogisticRegression, max_iter=1000, class_weight=class_weights)
    chosen = select_on if select_on is not None and len(select_on) else train
    offset = len(train) - len(chosen)
    smallest = int(np.bincount(chosen.labels)[np.unique(chosen.labels)].min()) if len(chosen) else 0
    if smallest < 2:
        return build(1e-2).fit(features, train.labels)
    folds = cross_validation_folds(chosen, folds=min(SELECTION_FOLDS, smallest), seed=seed)
    losses = []
    for strength in PROBE_STRENGTHS:
        fold_losses = []
        for kept, held in folds:
            rows = np.concatenate([np.arange(offset), offset + kept])
            if len(np.unique(train.labels[rows])) < 2 or len(held) == 0:
                continue
            model = build(strength).fit(features[rows], train.labels[rows])
            wrong = spread(
                model.predict_proba(features[offset + held]), model[-1].classes_, int(train.labels.max()) + 1
            )
            fold_losses.append(-np.log(wrong[np.arange(len(held)), chosen.labels[held]].clip(1e-12)).mean())
        losses.append(np.mean(fold_losses) if fold_losses else np.inf)
    return build(PROBE_STRENGTHS[int(np.argmin(losses))]).fit(features, train.labels)


def spread(probabilities: Array, present: Sequence[int], classes: int) -> Array:
    """Widen probabilities over the classes that a model saw to all classes; unseen ones get 0."""
    wide = np.zeros((len(probabilities), classes))
    wide[:, np.asarray(present, dtype=int)] = probabilities
    return wide
