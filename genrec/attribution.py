"""Which words made a text likelier: words are left out, the text is scored again, and a sparse linear model is fitted.

After ContextCite (arXiv 2409.00729): f(v) = log p(text | the words kept by v), fitted by LASSO, here with rows in complementary pairs,
rows near the full message weighted higher, one fit a sentence over the same rows, and a cross-validated fit that tells how far to trust it. It knows no
model: a scorer is handed in, so known truths can be recovered in tests.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from genrec.schema import Word

Scorer = Callable[[np.ndarray], np.ndarray]  # bool (num_rows, num_words) -> nats (num_rows, num_sentences)
MIN_SPREAD = 0.5  # nats; a sentence whose likelihood moves less does not depend on the words
NUM_FOLDS = 5


def draw_rows(num_words: int, num_rows: int, *, seed: int = 0) -> np.ndarray:
    """Which words each row keeps, bool (num_rows, num_words): all, none, then complementary pairs drawn at random.

    No more rows are drawn than there are different ones.
    """
    rng = np.random.default_rng(seed)
    rows = [np.ones(num_words, bool), np.zeros(num_words, bool)]
    known = {row.tobytes() for row in rows}
    limit = min(num_rows, 2**num_words)
    while len(rows) < limit:
        row = rng.random(num_words) < 0.5
        if row.tobytes() not in known:
            known |= {row.tobytes(), (~row).tobytes()}
            rows += [row, ~row]
    return np.array(rows[: max(limit, 2)])


def fit_words(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Word scores in nats (num_words,), their standard errors (num_words,), and the cross-validated fit (at most 1).

    `rows` is bool (num_rows, num_words), `values` nats (num_rows,). Where the values hardly move, all three are zero.
    """
    num_rows, num_words = rows.shape
    if num_words == 1:  # with and without it: nothing to estimate
        change = float(values[0] - values[1])
        return np.array([change if abs(change) >= MIN_SPREAD else 0.0]), np.zeros(1), 1.0
    if num_rows < 4 or values.std() < MIN_SPREAD:
        return np.zeros(num_words), np.zeros(num_words), 0.0
    weights = _nearness(rows)
    alpha = _choose_penalty(rows, values, weights)
    scores = _lasso(rows, values, weights, alpha)
    fit = _held_out_fit(rows, values, weights, alpha)
    rng = np.random.default_rng(0)
    pairs = (num_rows + 1) // 2
    again = []
    for _ in range(24):  # bootstrap over pairs, so that complements stay together
        chosen = rng.integers(0, pairs, pairs)
        sample = np.concatenate([2 * chosen, 2 * chosen + 1])
        sample = sample[sample < num_rows]
        again.append(_lasso(rows[sample], values[sample], weights[sample], alpha))
    return scores, np.std(again, axis=0), fit


def _nearness(rows: np.ndarray) -> np.ndarray:
    """Weights (num_rows,) that favour rows near the full message, mildly: they are more like what was really said."""
    return np.exp(-(1 - rows.mean(1)))


def _lasso(rows: np.ndarray, values: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    return _model(rows, values, weights, alpha).coef_


def _model(rows: np.ndarray, values: np.ndarray, weights: np.ndarray, alpha: float):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Lasso

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Lasso(alpha=alpha, max_iter=5000).fit(rows.astype(float), values, sample_weight=weights)


def _choose_penalty(rows: np.ndarray, values: np.ndarray, weights: np.ndarray) -> float:
    grid = np.geomspace(0.005, 0.2, 6) * values.std()
    return float(max(grid, key=lambda alpha: _held_out_fit(rows, values, weights, alpha)))


def _held_out_fit(rows: np.ndarray, values: np.ndarray, weights: np.ndarray, alpha: float) -> float:
    """1 - squared error / variance over held-out pairs."""
    fold = np.arange(len(rows)) // 2 % NUM_FOLDS
    predicted = np.full(len(rows), values.mean())
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        if train.sum() >= 2:
            predicted[test] = _model(rows[train], values[train], weights[train], alpha).predict(
                rows[test].astype(float)
            )
    return float(1 - ((values - predicted) ** 2).sum() / max(((values - values.mean()) ** 2).sum(), 1e-12))


def keep_words(message: str, words: Sequence[Word], kept: np.ndarray) -> str:
    """The message without the words that are not kept, and without the space before each."""
    pieces, position = [], 0
    for word, is_kept in zip(words, kept, strict=True):
        if not is_kept:
            pieces.append(message[position : word.start].rstrip(" "))
            position = word.end
    return ("".join(pieces) + message[position:]).strip()
