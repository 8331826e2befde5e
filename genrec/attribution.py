"""Which words made a text likelier: words are left out, the text is scored again, and what each word changed is estimated.

After ContextCite (arXiv 2409.00729): f(z) = log p(text | the words that z keeps). What differs: rows are chosen by what earlier ones scored, one set of
rows serves every sentence, and the surrogate is no sum over words but a Gaussian process whose kernel falls by a factor of its own
for each word in which two rows differ (automatic relevance determination; Rasmussen & Williams 2006, 5.1). A recommendation is full of "only
together" and "either one", which no sum can tell; docs/LOG.md has what LASSO and boosted trees reach. Sentences of one reply hang on the same
words, so a word has one factor for all of them. It knows no model: a scorer is handed in, so known truths can be recovered in tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations

import numpy as np

from genrec.schema import Word
from genrec.text import has_cjk

Scorer = Callable[[np.ndarray], np.ndarray]  # bool (num_rows, num_words) -> nats (num_rows, num_sentences)
MIN_SPREAD = 0.5  # nats; a sentence whose likelihood moves less does not depend on the words
BLOCK = 32
_MAX_GROUPS = 8  # that words are first left out in
NUM_FOLDS = 8
NUM_SURE = 3  # of the first rows, how many are scored even where others can be guessed
_MAX_DOUBT = 3.0  # nats: a factor of twenty
_MAX_UNTOLD, _MAX_OFF, _NEGLIGIBLE, _SMALL = 0.75, 0.2, 0.1, 0.05
_RIDGE = 0.01  # of shares: a change of a tenth in one prompt counts half
_LATIN_SIZE, _CHINESE_SIZE = (
    8,
    3,
)  # characters: longer than most words, so that what stands there is told, not just spoken of
# Of the variance, cross-validated, below which a part of a sentence is called null. Of sentences whose values were dealt out anew among 32 rows .96
# fall below it, of those left as they were none (21 fits to what stood in for the bundled writer, seven messages).
_MIN_SHARE = 0.1
_MAX_NOISE = 1.0  # of a row's value, as a share of the values' variance
_MIN_NOISE = 1e-4
_WIDENING = 2.365 / 1.960  # seven degrees of freedom in eight folds: of Student's t, 1.96 such errors hold 95 %
# Of a word; less is none. Rows that differ only in words of no consequence are then guessed alike, not in an order of their own: predictive LDS of five
# messages .84 to .87 with 24 rows, .84 to .86 with 32, .91 with 64 as before. From .02 on small weights of linear scorers are lost.
_LEAST_RELEVANCE = 0.003
_NUM_NODES = 8  # of the integral behind a word's effect


@dataclass(frozen=True)
class Effects:
    """What each word changed in one sentence's log-probability, in nats.

    `effects` are Shapley values (num_words,): what keeping the word changes, over all choices of the others, every number of kept words counting
    alike. They are positive where the word made the sentence likelier and add up to what all words together changed; `errors` are their standard
    errors (num_words,): the posterior's, and what the effect varies by when an eighth of the rows is left out (jackknife), which sees what the posterior
    takes for granted: the kernel; both a little widened, so that 1.96 of them hold 95 %. `pairs` is symmetric (num_words, num_words): what two words change together beyond what each does alone, positive for
    "only together", negative for "either one". `share` is the cross-validated share of the variance that `predict` explains, at most 1; a sentence
    that does not depend on the words, or too little to say on which, has less than a tenth there and zeros elsewhere. It is of rows like
    those chosen; of masks that keep each word with probability one half the share is about .1 lower.
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
    values: np.ndarray  # nats (num_rows, num_sentences), as scored or guessed
    written_values: np.ndarray  # the same without what went through what was found
    is_scored: np.ndarray  # bool (num_rows,); the values of other rows are guessed
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


def fit_parts(
    rows: np.ndarray,
    whole: np.ndarray,
    written: np.ndarray,
    *,
    is_scored: np.ndarray | None = None,
    doubts: np.ndarray | None = None,
) -> Explanation:
    """The explanation that rows and their values (num_rows, num_sentences) give.

    Where only some of the values were scored and the others guessed, `is_scored` (num_rows,) says which, and `doubts` (num_sentences,) how far guesses
    are off, in nats (root mean square): shares are smaller and errors larger by as much.
    """
    import scipy.optimize  # noqa: F401, so that its linear algebra is there to be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # for matrices of 32 rows a second thread costs more than they do
        found, guessed = _fit(rows, whole - written)
        told, guesses = _fit(rows, written)
    guesses = guesses + guessed
    shares = np.array([_share(whole[:, index], guesses[:, index]) for index in range(whole.shape[1])])
    shares[shares < _MIN_SHARE] = 0
    share = _share(whole.sum(1), guesses.sum(1))
    scored = np.ones(len(rows), bool) if is_scored is None else is_scored
    if doubts is not None and not scored.all():
        part = float(np.mean(~scored))
        shares *= 1 - part * np.minimum(1, np.square(doubts) / np.maximum(whole.var(0), 1e-12))
        share *= 1 - part * min(1, float(np.square(doubts).sum() / max(whole.sum(1).var(), 1e-12)))
        # an effect is a difference of means of half the rows, and guesses err together: they hang on the few that were scored
        widths = 2 * doubts * math.sqrt(part / max(1, scored.sum()))
        found = tuple(
            replace(one, errors=np.hypot(one.errors, width * (one.share > 0)))
            for one, width in zip(found, widths, strict=True)
        )
    return Explanation(rows, whole, written, scored, found, told, shares, share)


class Guesses:
    """Guesses what a text scores after prompts that it was not scored after, from how much of it they hold.

    What a model is given to recommend it quotes, so a sentence is the likelier the more of it stands in the prompt: over the prompts of an explanation of the
    bundled writer that alone tells .97 of the variance. A sentence's value is taken to rise with what is copied by a slope that the scored prompts
    give (ridge regression, not below 0), on top of the mean residual of those with the same candidates.
    """

    def __init__(self, copied: np.ndarray, values: np.ndarray, groups: Sequence[object]):
        """`copied` as `Quotes` gives it and `values` nats, both (num_prompts, num_sentences), of prompts that were scored; `groups` says which of them
        have the same candidates."""
        self._copied, self._values = copied.mean(0), values.mean(0)
        off, moved = copied - self._copied, values - self._values
        spread = np.square(off).sum(0) + _RIDGE
        self._slopes = np.maximum((off * moved).sum(0) / spread, 0)
        residuals = moved - self._slopes * off
        self._residuals = {
            group: residuals[[other == group for other in groups]].mean(0) for group in dict.fromkeys(groups)
        }
        # what each residual would be by a line through the other prompts
        held_out = residuals / np.maximum(1 - 1 / len(values) - np.square(off) / spread, 0.1)
        self.doubts = np.sqrt(np.square(held_out).mean(0))  # (num_sentences,), nats
        self._doubt = math.sqrt(np.square(held_out.sum(1)).mean())  # of the whole text
        self._spreads, self._spread = values.std(0), float(values.sum(1).std())
        self._least = max(_MAX_DOUBT, _NEGLIGIBLE * self._spread)

    @property
    def are_useful(self) -> bool:
        """Whether the whole text is guessed well: by a factor of twenty, to a tenth of what it varies by, or three quarters of its variance are told."""
        return self._doubt <= max(self._least, 0.5 * self._spread)

    @property
    def are_good(self) -> bool:
        """Whether no sentence is guessed too badly: off by a factor of twenty, by a tenth of what the whole text varies by, and by most of what it varies by."""
        return bool(np.all(self.doubts <= np.maximum(self._least, _MAX_UNTOLD * self._spreads)))

    def told(self, moved: np.ndarray, copied: np.ndarray) -> tuple[bool, bool]:
        """Whether what two prompts differ by, `moved` nats (num_sentences,), is told by the difference in what they hold of it, `copied`: for the whole text, and for
        each sentence."""
        told = self._slopes * copied
        off, size = np.abs(moved - told), np.maximum(np.abs(moved), np.abs(told))
        least = np.maximum(_MAX_DOUBT, _SMALL * self._spreads)
        most = max(_MAX_DOUBT, _MAX_OFF * self._spread, 0.5 * size.sum())
        return bool(off.sum() <= most), bool(np.all(off <= np.maximum(least, 0.5 * size)))

    def values(self, copied: np.ndarray, group: object) -> np.ndarray:
        """Nats (num_sentences,) after a prompt that holds so much of each sentence."""
        guess = self._values + self._slopes * (copied - self._copied)
        return guess + self._residuals.get(group, 0.0)


class Quotes:
    """Tells how much of each of some texts stands in a prompt. Prompts of one explanation have most lines in common, so what a line holds is remembered."""

    def __init__(self, texts: Sequence[str]):
        self._size = _CHINESE_SIZE if any(map(has_cjk, texts)) else _LATIN_SIZE
        self._sequences = [self._of(text) for text in texts]
        self._wanted = frozenset(one for own in self._sequences for one in own)
        self._held: dict[str, frozenset[str]] = {}  # of the wanted sequences, by line

    def share(self, prompt: str) -> np.ndarray:
        """The share of each text's sequences of a few characters that the prompt has, in [0, 1] (num_texts,)."""
        known: set[str] = set()
        position = 0
        for line in prompt.splitlines(keepends=True):
            position += len(line)
            known |= self._in_line(line + prompt[position : position + self._size - 1])
        return np.array([sum(map(known.__contains__, own)) / max(1, len(own)) for own in self._sequences])

    def _in_line(self, line: str) -> frozenset[str]:
        """`line` has the first characters of what comes next, too."""
        if line not in self._held:
            self._held[line] = self._wanted.intersection(self._of(line))
        return self._held[line]

    def _of(self, text: str) -> list[str]:
        return [text[start : start + self._size] for start in range(len(text) - self._size + 1)]


def choose_rows(num_words: int, num_rows: int, *, seed: int = 0) -> Generator[np.ndarray, np.ndarray, None]:
    """Which words each row keeps. Yields rows to be scored, bool (n, num_words), and is sent their values, nats (n, num_sentences): `num_rows` different ones
    together, or every choice of words if there are no more. The first row keeps all words, the second none, the third a half drawn at random.

    A recommendation hangs on three or four words at once; rows drawn blindly seldom keep all of them or lack just one, and a word of no
    consequence that happens to stay and go with one of them looks like it. So words are sifted first, as in group testing and AttriBoT (arXiv
    2411.15102): neighbours are left out together; where that changed something, each of them alone; then all but the words that did. The rest,
    at least a quarter, are complementary pairs drawn at random: they see where either of two words is enough. More rows begin with the
    same ones from `BLOCK` on, so that what was scored for fewer is of use.
    """
    if 2**num_words <= num_rows:
        yield every_choice(num_words)
        return
    rng = np.random.default_rng(seed)
    num_sifted = min(num_rows, BLOCK)
    num_groups = max(2, min(num_words, _MAX_GROUPS, (num_sifted - 2) // 2))
    words = np.roll(np.arange(num_words), -(seed % num_words))  # another seed parts them elsewhere
    groups = [group.tolist() for group in np.array_split(words, num_groups)][: num_rows - 2]
    sifted = _without(num_words, [[], range(num_words), *groups])[:num_rows]
    alone = _without(num_words, [[word] for word in range(num_words)])  # of which some may come next

    def pair(known: Sequence[np.ndarray], room: int) -> list[np.ndarray]:
        """A row that keeps each word with probability one half, and its complement: those that are new, and for which there is room."""
        row, seen = rng.random(num_words) < 0.5, {one.tobytes() for one in known}
        return [one for one in (row, ~row) if one.tobytes() not in seen][:room]

    first = pair([*sifted, *alone], num_rows - len(sifted))
    rows = np.array([*sifted[:2], *first, *sifted[2:]])
    values = yield rows
    full = values[0]

    def moving(groups: Sequence[Sequence[int]], values: np.ndarray) -> list[Sequence[int]]:
        """Those without which some sentence is scored otherwise, the strongest first."""
        changes = np.linalg.norm(values - full, axis=1)
        return [groups[at] for at in np.argsort(-changes, kind="stable") if changes[at] >= MIN_SPREAD]

    moved = moving(groups, values[2 + len(first) :])
    strong = [group for group in moved if len(group) == 1]
    single = [[word] for group in moved if len(group) > 1 for word in group]
    single = single[: min((num_sifted - len(sifted)) // 2, num_rows - len(rows))]
    if single:
        values = yield _without(num_words, single)
        strong += moving(single, values)
        rows = np.concatenate([rows, _without(num_words, single)])
    num_before = len(rows)
    if strong and num_before < num_rows:
        core = ~_without(num_words, [[word for group in strong for word in group]])
        rows = rows if (rows == core).all(1).any() else np.concatenate([rows, core])
    more = list(rows)
    while len(more) < num_rows:
        more += pair(more, num_rows - len(more))
    if len(more) > num_before:
        yield np.array(more[num_before:])


def sample(score: Scorer, num_words: int, num_rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are chosen for a scorer, bool (num_rows, num_words), and what it scores them, nats (num_rows, num_sentences)."""
    choosing = choose_rows(num_words, num_rows, seed=seed)
    rows = [next(choosing)]
    values = [score(rows[0])]
    with suppress(StopIteration):
        while True:
            rows.append(choosing.send(values[-1]))
            values.append(score(rows[-1]))
    return np.concatenate(rows), np.concatenate(values)


def every_choice(num_words: int) -> np.ndarray:
    """Every choice of words, bool (2 ** num_words, num_words); the first keeps all of them."""
    return (np.arange(2**num_words)[::-1, None] >> np.arange(num_words)) % 2 == 1


def _without(num_words: int, left_out: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows that each lack some words, bool (num_rows, num_words)."""
    rows = np.ones((len(left_out), num_words), bool)
    for row, words in zip(rows, left_out, strict=True):
        row[list(words)] = False
    return rows


def fit_words(rows: np.ndarray, values: np.ndarray) -> Effects:
    """What each word changes in `values`, nats (num_rows,), of `rows`, bool (num_rows, num_words)."""
    return _fit(rows, values[:, None])[0][0]


def _fit(rows: np.ndarray, values: np.ndarray) -> tuple[tuple[Effects, ...], np.ndarray]:
    """The effects on each column of `values`, nats (num_rows, num_sentences), and what each row is guessed to be by a surrogate that has not
    seen its pair, of the same shape."""
    num_rows, num_words = rows.shape
    if num_rows == 2**num_words:
        moved = values.std(0) >= MIN_SPREAD
        return tuple(
            _exact(rows, column) if is_moved else _none(num_words, column.mean())
            for column, is_moved in zip(values.T, moved, strict=True)
        ), np.where(moved, values, values.mean(0))
    effects = [_none(num_words, mean) for mean in values.mean(0)]
    guesses = np.tile(values.mean(0), (num_rows, 1))
    moved = np.flatnonzero(values.std(0) >= MIN_SPREAD)
    if not len(moved):
        return tuple(effects), guesses
    fold = np.arange(num_rows) // 2 % NUM_FOLDS
    surrogate = _Surrogate(rows, values[:, moved])
    kept = fold != np.unique(fold)[:, None]  # (num_folds, num_rows)
    held_out, left_out = np.empty((num_rows, len(moved))), []
    for own, logits in zip(kept, _fold_logits(rows, values[:, moved], kept, surrogate.logits), strict=True):
        part = _Surrogate(rows[own], values[own][:, moved], logits=logits)
        held_out[~own] = part.predict(rows[~own])
        left_out.append(part.effects())
    spread = np.square(np.array(left_out) - np.mean(left_out, 0)).sum(0)  # (num_moved, num_words)
    unstable = np.sqrt((len(left_out) - 1) / len(left_out) * spread)
    shapley, errors = surrogate.effects(), surrogate.errors()
    pairs = surrogate.pairs()
    for at, index in enumerate(moved):
        share = _share(values[:, index], held_out[:, at])
        predict = partial(surrogate.predict_column, at)
        if share <= 0:
            continue
        if share < _MIN_SHARE:  # a weak guess is better than none, but no ground to name words
            effects[index] = replace(effects[index], predict=predict)
            continue
        guesses[:, index] = held_out[:, at]
        errors_of = _WIDENING * np.hypot(errors[at], unstable[at])
        effects[index] = Effects(shapley[at], errors_of, pairs[at], share, predict)
    return tuple(effects), guesses


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
    """Gaussian processes over which words are kept, one for each column of scored values and all with one kernel, that of the largest posterior.

    With signs x = ±1 the kernel is a product over words of (1 + w x x') / (1 + w), w in (0, 1) being a word's relevance. Its mean over rows that keep each word
    with some probability is a product too, so Shapley values follow, exactly and with
    their posterior variance, from an integral over that probability (Owen 1972).
    """

    def __init__(self, rows: np.ndarray, values: np.ndarray, *, logits: np.ndarray | None = None):
        """Finds the kernel, unless its `logits` are known: of each word's relevance, and the logarithm of the noise."""
        num_rows, num_words = rows.shape
        self._signs = 2.0 * rows - 1  # (num_rows, num_words)
        self._mean, self._scale = values.mean(0), np.maximum(values.std(0), 1e-12)  # (num_columns,)
        scaled = (values - self._mean) / self._scale
        if logits is None:
            start = np.append(np.full(num_words, -2.5), math.log(0.05))
            (logits,) = _kernels(self._signs, scaled[None], np.ones((1, num_rows), bool), start[None], most=40)
        self.logits = logits
        relevances = 1 / (1 + np.exp(-logits[:-1]))
        self._relevances = np.where(relevances < _LEAST_RELEVANCE, 0.0, relevances)
        covariance = _kernel(self._signs, self._signs, self._relevances) + math.exp(logits[-1]) * np.eye(num_rows)
        self._inverse = np.linalg.inv(covariance)
        self._weights = self._inverse @ scaled  # (num_rows, num_columns)
        self._variances = np.maximum((scaled * self._weights).sum(0) / num_rows, 0)
        # Q nodes, R rows, N words
        self._nodes, self._masses = _nodes()
        self._own = self._signs * self._relevances  # (R, N)
        self._factors = (
            1 + self._nodes[:, None, None] * self._own
        )  # (Q, R, N), of the kernel averaged over rows of that mean
        products = self._factors.prod(2) / np.prod(1 + self._relevances)  # (Q, R)
        self._others = products[:, :, None] / self._factors  # (Q, R, N), without the word itself

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Nats, one row for each of `rows` and one column for each of those fitted."""
        return self._mean + self._scale * (_kernel(2.0 * rows - 1, self._signs, self._relevances) @ self._weights)

    def predict_column(self, column: int, rows: np.ndarray) -> np.ndarray:
        """Nats (num_rows,)."""
        return self.predict(rows)[:, column]

    def effects(self) -> np.ndarray:
        """Shapley values (num_columns, num_words)."""
        return (self._scale * (self._single() @ self._weights)).T

    def errors(self) -> np.ndarray:
        """The posterior standard errors of the effects (num_columns, num_words)."""
        single = self._single()
        crossed = 1 + np.multiply.outer(np.outer(self._nodes, self._nodes), self._relevances)  # (Q, Q, N)
        prior = np.einsum("p,q,pqn->n", self._masses, self._masses, crossed.prod(2)[..., None] / crossed)
        prior *= 4 * self._relevances / np.prod(1 + self._relevances)
        variances = np.maximum(prior - ((single @ self._inverse) * single).sum(1), 0)  # (N,)
        return (self._scale * np.sqrt(np.outer(variances, self._variances))).T

    def _single(self) -> np.ndarray:
        """What a row's weight adds to each word's effect (N, R)."""
        return 2 * np.einsum("q,qrn,rn->nr", self._masses, self._others, self._own)

    def pairs(self) -> np.ndarray:
        """Interactions (num_columns, num_words, num_words)."""
        num_words = len(self._relevances)
        second = (self._own / self._factors).reshape(-1, num_words)  # (Q R, N)
        found = []
        for weights, scale in zip(self._weights.T, self._scale, strict=True):
            first = np.outer(self._masses, weights)[:, :, None] * self._others * self._own  # (Q, R, N)
            both = 4 * first.reshape(-1, num_words).T @ second
            np.fill_diagonal(both, 0)
            found.append(scale * both)
        return np.array(found)


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Mean signs, from -1 where no word is kept to 1 where all are, and their weights in the mean."""
    nodes, masses = np.polynomial.legendre.leggauss(_NUM_NODES)
    return nodes, masses / masses.sum()


def _kernel(first: np.ndarray, second: np.ndarray, relevances: np.ndarray) -> np.ndarray:
    """Between rows and others, given as signs, (…, num_first, num_second) for relevances (…, num_words)."""
    falls = np.log1p(relevances) - np.log1p(-relevances)  # of the logarithm, for each word that differs
    return np.exp(-(falls.sum(-1)[..., None, None] - (first * falls[..., None, :]) @ second.T) / 2)


def _fold_logits(rows: np.ndarray, values: np.ndarray, kept: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The kernels of the rows that each fold keeps, (num_folds, num_words + 1); `kept` is bool (num_folds, num_rows), `start` the kernel of all rows."""
    scaled = np.zeros((*kept.shape, values.shape[1]))
    for own, part in zip(kept, scaled, strict=True):
        part[own] = (values[own] - values[own].mean(0)) / np.maximum(values[own].std(0), 1e-12)
    return _kernels(2.0 * rows - 1, scaled, kept, np.tile(start, (len(kept), 1)), most=15)  # the start is nearly right


def _kernels(signs: np.ndarray, scaled: np.ndarray, kept: np.ndarray, start: np.ndarray, *, most: int) -> np.ndarray:
    """The logits of the kernels of largest posterior for F choices of rows, (F, num_words + 1), searched for together in at most so many steps.

    `signs` are (num_rows, num_words), `scaled` values (F, num_rows, num_columns), 0 in the rows that are not `kept`, bool (F, num_rows). Such rows stand
    by themselves in the covariance, with variance 1, and so count for nothing.
    """
    from scipy.linalg.lapack import dpotrf as potrf
    from scipy.linalg.lapack import dpotri as potri
    from scipy.optimize import minimize

    num_words, num_columns = signs.shape[1], scaled.shape[2]
    # The prior of a relevance's logit: most words matter little (-3: 5 %), some do; wide, so that the rows decide.
    centre, width = -3.0, 4.0
    unit, num_kept = np.eye(len(signs)), kept.sum(1)
    both = kept[:, :, None] & kept[:, None, :]  # (F, num_rows, num_rows)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logits = flat.reshape(start.shape)
        relevances, noise = 1 / (1 + np.exp(-logits[:, :-1])), np.exp(logits[:, -1])
        kernel = _kernel(signs, signs, relevances) * both
        covariance = kernel + unit * np.where(kept, noise[:, None], 1)[:, None, :]
        inverse, size = np.empty_like(covariance), 0.0
        for one, into in zip(covariance, inverse, strict=True):
            factor, _ = potrf(one, lower=1)  # zeros above the diagonal
            lower, _ = potri(factor, lower=1)
            np.subtract(lower + lower.T, unit * lower, out=into)
            size += 2 * np.log(factor.diagonal()).sum()
        weights = inverse @ scaled  # (F, num_rows, num_columns)
        variances = np.maximum((scaled * weights).sum(1) / num_kept[:, None], 1e-12)  # (F, num_columns)
        prior = (logits[:, :-1] - centre) / width
        value = num_kept @ np.log(variances).sum(1) + num_columns * size + np.square(prior).sum()
        # of the loss by the covariance
        slope = 0.5 * both * (num_columns * inverse - (weights / variances[:, None]) @ weights.transpose(0, 2, 1))
        changed = slope * kernel
        differing = changed.sum((1, 2))[:, None] - ((changed @ signs) * signs).sum(1)
        by_word = -relevances / (1 + relevances) * differing + prior / width
        by_noise = slope.trace(axis1=1, axis2=2) * noise
        return 0.5 * value, np.concatenate([by_word, by_noise[:, None]], 1).ravel()

    bounds = ([(-8.0, 4.0)] * num_words + [(math.log(_MIN_NOISE), math.log(_MAX_NOISE))]) * len(start)
    options = {"maxiter": most, "ftol": 1e-4}  # with 2e-9 a third more steps give the same order of guesses (.9999)
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return found.reshape(start.shape)


def check_rows(effects: np.ndarray, count: int) -> np.ndarray:
    """Rows that can refute a fit, bool (num_rows, num_words), at most `count`: without the strongest 3 words, with nothing but the strongest 4, without the strongest 1
    and 5, and without each of the next four. `effects` are nats (num_words,)."""
    ranked = np.argsort(-np.abs(effects), kind="stable")
    left_out = [ranked[:3], ranked[4:], ranked[:1], ranked[:5], *np.split(ranked[1:5], range(1, len(ranked[1:5])))]
    rows = _without(len(effects), [part.tolist() for part in left_out])
    return np.array(list({row.tobytes(): row for row in rows if not row.all()}.values())[:count]).reshape(
        -1, len(effects)
    )


def keep_words(message: str, words: Sequence[Word], kept: np.ndarray) -> str:
    """The message without the words that are not kept, and without the space before each."""
    pieces, position = [], 0
    for word, is_kept in zip(words, kept, strict=True):
        if not is_kept:
            pieces.append(message[position : word.start].rstrip(" "))
            position = word.end
    return ("".join(pieces) + message[position:]).strip()
