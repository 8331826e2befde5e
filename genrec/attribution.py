"""Which words made a text likelier: words are left out, the text is scored again, and what each word changed is estimated.

After ContextCite (arXiv 2409.00729): f(z) = log p(text | the words that z keeps). What differs: rows come in complementary pairs, one set of
rows serves every sentence, and the surrogate is no sum over words but a Gaussian process whose kernel falls by a factor of its own
for each word in which two rows differ (automatic relevance determination; Rasmussen & Williams 2006, 5.1). A recommendation is full of "only
together" and "either one", which no sum can tell; docs/LOG.md has what LASSO and boosted trees reach. It knows no model: a scorer is handed
in, so known truths can be recovered in tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from genrec.schema import Word

Scorer = Callable[[np.ndarray], np.ndarray]  # bool (num_rows, num_words) -> nats (num_rows, num_sentences)
MIN_SPREAD = 0.5  # nats; a sentence whose likelihood moves less does not depend on the words
NUM_FOLDS = 5
_MAX_NOISE = 1.0  # of a row's value, as a share of the values' variance
_MIN_NOISE = 1e-4
_NUM_NODES = 8  # of the integral behind a word's effect


@dataclass(frozen=True)
class Effects:
    """What each word changed in one sentence's log-probability, in nats.

    `effects` are Shapley values (num_words,): what keeping the word changes, over all choices of the others, every number of kept words counting
    alike. They are positive where the word made the sentence likelier and add up to what all words together changed; `errors` are their standard
    errors (num_words,). `pairs` is symmetric (num_words, num_words): what two words change together beyond what each does alone, positive for
    "only together", negative for "either one". `share` is the cross-validated share of the variance that `predict` explains, at most 1; a sentence
    that does not depend on the words has 0 there and zeros elsewhere.
    """

    effects: np.ndarray
    errors: np.ndarray
    pairs: np.ndarray
    share: float
    predict: Callable[[np.ndarray], np.ndarray]  # bool (num_rows, num_words) -> nats (num_rows,)


@dataclass(frozen=True)
class Explanation:
    """The effects on every sentence, in the parts that a scorer was given for; a part's effects add up to the whole's."""

    rows: np.ndarray  # bool (num_rows, num_words)
    found: tuple[Effects, ...]  # by sentence: through what was found
    written: tuple[Effects, ...]  # by sentence: through how it was written
    shares: np.ndarray  # (num_sentences,), of both parts together
    share: float  # of the whole text

    @property
    def effects(self) -> np.ndarray:
        """Nats (num_sentences, num_words)."""
        return np.stack([a.effects + b.effects for a, b in zip(self.found, self.written, strict=True)])

    @property
    def errors(self) -> np.ndarray:
        """Standard errors in nats (num_sentences, num_words)."""
        return np.stack([np.hypot(a.errors, b.errors) for a, b in zip(self.found, self.written, strict=True)])

    @property
    def pairs(self) -> np.ndarray:
        """Interactions in nats for the whole text, (num_words, num_words)."""
        return np.sum([part.pairs for part in (*self.found, *self.written)], axis=0)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Nats (num_rows, num_sentences) for rows that were not scored."""
        parts = zip(self.found, self.written, strict=True)
        return np.stack([a.predict(rows) + b.predict(rows) for a, b in parts], axis=1)


def fit_parts(rows: np.ndarray, whole: np.ndarray, written: np.ndarray) -> Explanation:
    """The explanation that rows and their scored values (num_rows, num_sentences) give."""
    found = whole - written
    guesses = np.zeros_like(whole)
    parts: tuple[list[Effects], list[Effects]] = ([], [])
    for values, effects in zip((found, written), parts, strict=True):
        for index in range(whole.shape[1]):
            fitted, guess = _fit(rows, values[:, index])
            effects.append(fitted)
            guesses[:, index] += guess
    shares = np.array([_share(whole[:, index], guesses[:, index]) for index in range(whole.shape[1])])
    return Explanation(rows, tuple(parts[0]), tuple(parts[1]), shares, _share(whole.sum(1), guesses.sum(1)))


def draw_rows(num_words: int, num_rows: int, *, seed: int = 0) -> np.ndarray:
    """Which words each row keeps, bool (num_rows, num_words): all, none, then complementary pairs of which one leaves out anything between one
    word and half of them.

    Halves alone hardly ever keep together the three or four words that a recommendation hangs on. Every word is kept in just half of the rows,
    and left out equally often by the fuller ones. No more rows are drawn than there are different ones.
    """
    rng = np.random.default_rng(seed)
    rows = [np.ones(num_words, bool), np.zeros(num_words, bool)]
    known = {row.tobytes() for row in rows}
    limit = min(num_rows, 2**num_words)
    sizes = np.linspace(1, max(1, num_words / 2), (limit - 1) // 2).round().astype(int)
    times_left_out = np.zeros(num_words, int)
    for size in rng.permutation(sizes):
        row = np.ones(num_words, bool)
        row[np.lexsort((rng.random(num_words), times_left_out))[:size]] = False
        while row.tobytes() in known:
            row = rng.random(num_words) < 0.5
        times_left_out += ~row
        known |= {row.tobytes(), (~row).tobytes()}
        rows += [row, ~row]
    return np.array(rows[: max(limit, 2)])


def fit_words(rows: np.ndarray, values: np.ndarray) -> Effects:
    """What each word changes in `values`, nats (num_rows,), of `rows`, bool (num_rows, num_words)."""
    return _fit(rows, values)[0]


def _fit(rows: np.ndarray, values: np.ndarray) -> tuple[Effects, np.ndarray]:
    """The effects, and what each row is guessed to be by a surrogate that has not seen its pair, nats (num_rows,)."""
    num_rows, num_words = rows.shape
    if values.std() < MIN_SPREAD:
        return _none(num_words, values.mean()), np.full(num_rows, values.mean())
    if num_rows == 2**num_words:
        return _exact(rows, values), values
    fold = np.arange(num_rows) // 2 % NUM_FOLDS
    guesses = np.empty(num_rows)
    for number in np.unique(fold):
        kept = fold != number
        guesses[~kept] = _Surrogate(rows[kept], values[kept]).predict(rows[~kept])
    share = _share(values, guesses)
    if share <= 0:
        return _none(num_words, values.mean()), np.full(num_rows, values.mean())
    return _Surrogate(rows, values).effects(share), guesses


def _exact(rows: np.ndarray, values: np.ndarray) -> Effects:
    """The effects where every choice of words was scored: nothing is guessed."""
    num_words = rows.shape[1]
    place = 2 ** np.arange(num_words)
    known = np.empty(len(rows))
    known[rows @ place] = values

    def mean(kept: Sequence[int], gone: Sequence[int]) -> float:
        """Of the values of rows with and without some words, by Shapley's weights of how many of the others are kept."""
        chosen = rows[:, list(kept)].all(1) & ~rows[:, list(gone)].any(1)
        num_others = num_words - len(kept) - len(gone)
        sizes = rows[chosen].sum(1) - len(kept)
        weights = [1 / (math.comb(num_others, size) * (num_others + 1)) for size in sizes]
        return float(np.dot(weights, values[chosen]))

    effects = np.array([mean([i], []) - mean([], [i]) for i in range(num_words)])
    pairs = np.zeros((num_words, num_words))
    for i, j in combinations(range(num_words), 2):
        pairs[i, j] = pairs[j, i] = mean([i, j], []) - mean([i], [j]) - mean([j], [i]) + mean([], [i, j])
    return Effects(effects, np.zeros(num_words), pairs, 1.0, lambda asked: known[asked @ place])


def _none(num_words: int, mean: float) -> Effects:
    zeros = np.zeros(num_words)
    return Effects(zeros, zeros, np.zeros((num_words, num_words)), 0.0, lambda rows: np.full(len(rows), mean))


def _share(values: np.ndarray, guesses: np.ndarray) -> float:
    """1 - squared error / variance; 0 where the values hardly move or the mean is as good a guess."""
    if values.std() < MIN_SPREAD:
        return 0.0
    return max(0.0, float(1 - np.square(values - guesses).sum() / np.square(values - values.mean()).sum()))


class _Surrogate:
    """A Gaussian process over which words are kept, fitted to scored rows by the largest posterior of its relevances.

    With signs x = ±1 the kernel is a product over words of (1 + w x x') / (1 + w), w in (0, 1) being a word's relevance. Its mean over rows that keep each word
    with some probability is a product too, so Shapley values follow, exactly and with
    their posterior variance, from an integral over that probability (Owen 1972).
    """

    def __init__(self, rows: np.ndarray, values: np.ndarray):
        from scipy.optimize import minimize

        num_rows, num_words = rows.shape
        self._signs = 2.0 * rows - 1  # (num_rows, num_words)
        self._mean, self._scale = values.mean(), max(values.std(), 1e-12)
        scaled = (values - self._mean) / self._scale
        # The prior of a relevance's logit: most words matter little (-3: 5 %), some do; wide, so that the rows decide.
        centre, width = -3.0, 4.0

        def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
            relevances, noise = 1 / (1 + np.exp(-logits[:-1])), math.exp(logits[-1])
            kernel = self._kernel(self._signs, relevances)
            covariance = kernel + noise * np.eye(num_rows)
            inverse = np.linalg.inv(covariance)
            weights = inverse @ scaled
            variance = max(scaled @ weights / num_rows, 1e-12)
            prior = (logits[:-1] - centre) / width
            value = 0.5 * (num_rows * math.log(variance) + np.linalg.slogdet(covariance)[1] + prior @ prior)
            slope = 0.5 * (inverse - np.outer(weights, weights) / variance)  # of the loss by the covariance
            changed = slope * kernel
            differing = changed.sum() - np.einsum("ri,rs,si->i", self._signs, changed, self._signs)
            by_word = -relevances / (1 + relevances) * differing + prior / width
            return value, np.append(by_word, np.trace(slope) * noise)

        bounds = [(-8.0, 4.0)] * num_words + [(math.log(_MIN_NOISE), math.log(_MAX_NOISE))]
        start = np.append(np.full(num_words, -2.5), math.log(0.05))
        logits = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}).x
        self._relevances = 1 / (1 + np.exp(-logits[:-1]))
        covariance = self._kernel(self._signs, self._relevances) + math.exp(logits[-1]) * np.eye(num_rows)
        self._inverse = np.linalg.inv(covariance)
        self._weights = self._inverse @ scaled
        self._variance = scaled @ self._weights / num_rows

    def _kernel(self, signs: np.ndarray, relevances: np.ndarray) -> np.ndarray:
        """Between other rows and those fitted, (num_signs, num_rows)."""
        falls = np.log1p(relevances) - np.log1p(-relevances)  # of the logarithm, for each word that differs
        return np.exp(-(falls.sum() - (signs * falls) @ self._signs.T) / 2)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self._mean + self._scale * self._kernel(2.0 * rows - 1, self._relevances) @ self._weights

    def effects(self, share: float) -> Effects:
        # Q nodes, R rows, N words
        nodes, masses = np.polynomial.legendre.leggauss(_NUM_NODES)  # mean signs of the words, -1 none … 1 all are kept
        masses = masses / masses.sum()
        factors = (
            1 + nodes[:, None, None] * self._signs * self._relevances
        )  # (Q, R, N), of the kernel averaged over rows of that mean
        products = factors.prod(2) / np.prod(1 + self._relevances)  # (Q, R)
        others = products[:, :, None] / factors  # (Q, R, N), without the word itself
        own = self._signs * self._relevances  # (R, N)
        single = 2 * np.einsum(
            "q,qrn,rn->nr", masses, others, own
        )  # (N, R): what a row's weight adds to a word's effect
        crossed = 1 + np.multiply.outer(np.outer(nodes, nodes), self._relevances)  # (Q, Q, N)
        prior = np.einsum("p,q,pqn->n", masses, masses, crossed.prod(2)[..., None] / crossed)
        prior *= 4 * self._relevances / np.prod(1 + self._relevances)
        variances = prior - np.einsum("ir,rs,is->i", single, self._inverse, single)
        errors = self._scale * np.sqrt(np.maximum(variances * self._variance, 0))
        pairs = np.einsum(
            "q,r,qri,ri,rj,qrj->ij", masses, 4 * self._weights, others, own, own, 1 / factors, optimize=True
        )
        np.fill_diagonal(pairs, 0)
        return Effects(self._scale * single @ self._weights, errors, self._scale * pairs, share, self.predict)


def check_rows(effects: np.ndarray) -> np.ndarray:
    """Rows that can refute a fit, bool (num_rows, num_words): without the strongest 1, 3 and 5 words, without all but the strongest 4, and without
    each of the strongest 5. `effects` are nats (num_words,)."""
    ranked = np.argsort(-np.abs(effects), kind="stable")
    left_out = [ranked[:1], ranked[:3], ranked[:5], ranked[4:], *np.split(ranked[1:5], range(1, len(ranked[1:5])))]
    rows = np.ones((len(left_out), len(effects)), bool)
    for row, words in zip(rows, left_out, strict=True):
        row[words] = False
    return np.unique(rows[~rows.all(1)], axis=0)[::-1]


def keep_words(message: str, words: Sequence[Word], kept: np.ndarray) -> str:
    """The message without the words that are not kept, and without the space before each."""
    pieces, position = [], 0
    for word, is_kept in zip(words, kept, strict=True):
        if not is_kept:
            pieces.append(message[position : word.start].rstrip(" "))
            position = word.end
    return ("".join(pieces) + message[position:]).strip()
