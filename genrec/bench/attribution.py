"""How faithful explanations are: on real first messages, ours beside other explainers, paired on the same replies and the same held-out masks.

Predictive LDS is Spearman's correlation of what a fit predicts and what the model scores over held-out masks that keep each word with
probability one half (ContextCite, arXiv 2409.00729). Every explainer is given the same scorer, which rebuilds the whole pipeline from the kept words,
and draws its own rows. LIME, SHAP and captum serve if installed (requirements-bench.txt); so does ContextCite's own loop, for the time it takes.
captum's LLMAttribution is not used: it knows one prompt template, and its default of scoring within the generation is wrong on recent transformers.
Results are kept message by message, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import starmap, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from genrec.assistant import Assistant
from genrec.attribution import MIN_SPREAD, Explanation, Scorer, every_choice, fit_parts, fit_words
from genrec.catalogue import Catalogue
from genrec.errors import InputError
from genrec.explaining import Explained
from genrec.schema import Conversation, Language, Reply, Sampling
from genrec.settings import Settings
from genrec.text import words
from genrec.vocabulary import Vocabulary

_CITE_ROWS = 128  # the most that ContextCite gets
_PEER_ROWS = 64  # ContextCite's default
_MIN_WORDS, _MAX_WORDS = 8, 40
_SURE = 1.96
_MATTERS = math.log(10)  # nats
_SEED = 7
_HELD_OUT = "what the held-out masks score"
_PLANTED: dict[Language, str] = {
    "en": "Hello there, my sister and I had a rather busy week, so we would be glad of a {0} {1} {2} {3} for tonight, thank you",
    "zh": "你好，我和姐姐这个星期忙了很久，所以今晚想请你推荐一个{0}、{1}、{2}的{3}，谢谢你",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of *_en_dev.jsonl and *_zh_dev.jsonl dialogues"
    )
    parser.add_argument("--messages", type=int, default=40, help="half of them in each language (default: %(default)s)")
    parser.add_argument("--planted", type=int, default=20, help="messages with planted themes (default: %(default)s)")
    parser.add_argument("--rows", type=int, nargs="+", default=[24, 32, 64], help="row counts (default: 24 32 64)")
    parser.add_argument("--held-out", type=int, default=100, help="fresh masks a message (default: %(default)s)")
    parser.add_argument("--peers", action="store_true", help="measure the other explainers that are installed, too")
    parser.add_argument("--results", type=Path, help="JSON lines, one a message; those that it holds are not run again")


def run(args: argparse.Namespace) -> int:
    from genrec.load import load_assistant

    halves = (args.messages - args.messages // 2, args.messages // 2)
    by_language = [first_messages(args.data, language, count) for language, count in zip(("en", "zh"), halves)]
    real = [text for pair in zip_longest(*by_language) for text in pair if text]
    if args.messages and not real:
        raise InputError(f"There are no dialogues in {args.data}.")
    known = _read_results(args.results)
    assistant = load_assistant(Settings(model="bundled", database=":memory:"))
    planted = planted_messages(assistant.catalogue, assistant.vocabulary, args.planted)

    def remembered(text: str, how: list[Any], measuring: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        key = json.dumps([text, *how], ensure_ascii=False)
        if key not in known:
            known[key] = measuring()
            if args.results:
                with args.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "values": known[key]}, ensure_ascii=False) + "\n")
        return known[key]

    def of_message(text: str) -> dict[str, Any]:
        return remembered(text, [list(args.rows), args.held_out], lambda: _of_message(assistant, text, args))

    def of_planted(text: str, theme: frozenset[tuple[int, int]]) -> dict[str, Any]:
        return remembered(text, ["planted"], lambda: _of_planted(assistant, text, theme))

    def of_peers(text: str) -> dict[str, Any]:
        values = of_message(text).get(_HELD_OUT, [])
        return remembered(text, ["peers", args.held_out], lambda: _of_peers(assistant, text, values) if values else {})

    ours = [partial(of_message, text) for text in real]
    kinds = (ours[::2], ours[1::2], starmap(partial, ((of_planted, *one) for one in planted)))
    peers = [partial(of_peers, text) for text in real if args.peers]
    work = [
        one for turn in zip_longest(*kinds, peers) for one in turn if one
    ]  # so a run that is stopped has some of all
    measured: dict[str, list[float]] = defaultdict(list)
    for number, measuring in enumerate(work):
        values = measuring()
        print(f"{number + 1}/{len(work)}", flush=True)
        for name, value in values.items():
            if name != _HELD_OUT:
                measured[name].append(value)
    for name, values_of in measured.items():
        error = statistics.stdev(values_of) / len(values_of) ** 0.5 if len(values_of) > 1 else 0.0
        print(f"{name:56} {statistics.fmean(values_of):9.3f} ± {error:.3f}  ({len(values_of)})")
    if args.peers and (missing := [name for name in ("context_cite", "lime", "shap", "captum") if not find_spec(name)]):
        print(f"not installed, left out: {', '.join(missing)}; see requirements-bench.txt")
    return 0


def _read_results(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    return {row["key"]: row["values"] for row in rows}


def _of_message(assistant: Assistant, message: str, args: argparse.Namespace) -> dict[str, Any]:
    """Every measure's value for the reply to one message, and what the held-out masks score; none where the reply broke off."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=_SEED))
    measured: dict[str, Any] = {
        "seconds: the reply": time.perf_counter() - begun,
        "processor seconds: the reply": time.process_time() - begun_cpu,
    }
    if reply.status != "done" or not reply.text:
        return {}
    begun, begun_cpu = time.perf_counter(), time.process_time()
    assistant.explain(Conversation(), message, reply, num_rows=32)
    name = "ours, 32 rows"
    measured[f"seconds: {name}"] = time.perf_counter() - begun
    measured[f"processor seconds: {name}"] = time.process_time() - begun_cpu
    for unit in ("seconds", "processor seconds"):
        measured[f"{unit}: {name}, as a share of the reply's"] = (
            measured[f"{unit}: {name}"] / measured[f"{unit}: the reply"]
        )
    memory = Explained()
    found, score, _ = assistant.scorers(Conversation(), message, reply, memory=memory)

    def explain(num_rows: int, seed: int) -> Explanation:
        return assistant.weigh(Conversation(), message, reply, num_rows=num_rows, seed=seed)

    seed = zlib.crc32(message.encode())
    measured |= measure(score, explain, len(found), tuple(args.rows), num_held_out=args.held_out, seed=seed)
    measured[_HELD_OUT] = [round(float(value), 4) for value in score(_masks(args.held_out, len(found), seed)).sum(1)]
    return measured


def _of_peers(assistant: Assistant, message: str, held_out_values: list[float]) -> dict[str, Any]:
    """The same for the other explainers, beside the same held-out masks."""
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=_SEED))
    found, score, _ = assistant.scorers(Conversation(), message, reply, memory=Explained())
    seed = zlib.crc32(message.encode())
    held_out = _masks(len(held_out_values), len(found), seed)
    measured = dict(measure_peers(score, held_out, np.array(held_out_values), seed=seed))
    if find_spec("context_cite"):
        measured["processor seconds: context-cite's loop, 64 rows"] = _citing_seconds(assistant, message, reply)
    return measured


def _masks(count: int, num_words: int, seed: int) -> np.ndarray:
    """Held-out masks, bool (count, num_words), that keep each word with probability one half."""
    return np.random.default_rng(seed).random((count, num_words)) < 0.5


def first_messages(folder: Path, language: str, count: int) -> list[str]:
    """The first message of visitors in dialogues of a language, of neither few nor very many words, in an order that has nothing to do with the files'."""
    texts = set()
    for path in sorted(folder.glob(f"*_{language}_dev.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            turns = json.loads(line).get("context", [])
            text = next((turn["text"] for turn in turns if turn["role"] == "user"), "")
            if _MIN_WORDS <= len(words(text)) <= _MAX_WORDS:
                texts.add(text)
    return sorted(texts, key=lambda text: zlib.crc32(text.encode()))[:count]


def planted_messages(
    catalogue: Catalogue, vocabulary: Vocabulary, count: int
) -> list[tuple[str, frozenset[tuple[int, int]]]]:
    """Messages that ask, among words of no consequence, for three tags and the kind of some item, half of them in each language, and the spans
    of these four words."""
    found: list[tuple[str, frozenset[tuple[int, int]]]] = []
    items = sorted(catalogue.items, key=lambda item: item.id)
    languages: tuple[Language, ...] = ("en", "zh")
    for language, wanted in zip(languages, (count - count // 2, count), strict=True):
        rng = random.Random(f"planted {language}")  # more messages begin with the same ones
        for item in rng.sample(items, len(items)):
            if len(found) >= wanted:
                break
            tags = [vocabulary.translate(tag, language) for tag in item.tags]
            kind = vocabulary.translate(item.kind, language)
            tags = [tag for tag in dict.fromkeys(tags) if len(words(tag)) == 1]
            if len(tags) < 3 or len(words(kind)) != 1:
                continue
            theme = [*rng.sample(tags, 3), kind]
            text = _PLANTED[language].format(*theme)
            at = [(word.start, word.end) for word in words(text) if word.text in theme]
            if len(at) == len(theme):
                found.append((text, frozenset(at)))
    return found


def _of_planted(assistant: Assistant, text: str, theme: frozenset[tuple[int, int]]) -> dict[str, float]:
    """How many of the planted words are among the four that changed most; of all of them, and of those that the reply hangs on.

    A tag that two of three candidates lack anyway changes nothing, and no explanation can find it. Which planted words matter is known exactly: each of
    their 16 choices is scored with all other words kept, and a word matters whose Shapley value over these makes the reply ten times likelier or
    less likely.
    """
    *_, reply = assistant.reply(Conversation(), text, Sampling(seed=_SEED))
    if reply.status != "done" or not reply.text:
        return {}
    attribution = assistant.explain(Conversation(), text, reply, num_rows=32)
    order = np.argsort([-abs(score.score) for score in attribution.whole])
    found, score, _ = assistant.scorers(Conversation(), text, reply)
    planted = np.array([index for index, word in enumerate(found) if (word.start, word.end) in theme])
    is_first = np.isin(planted, order[: len(theme)])
    choices = every_choice(len(planted))
    rows = np.ones((len(choices), len(found)), bool)
    rows[:, planted] = choices
    matters = np.abs(fit_words(choices, score(rows).sum(1)).effects) >= _MATTERS
    measured = {
        "ours, 32 rows: planted words among the top 4": float(is_first.mean()),
        "planted words that matter": float(matters.mean()),
    }
    if matters.any():
        measured["ours, 32 rows: those that matter among the top 4"] = float(is_first[matters].mean())
    return measured


def measure(
    score: Scorer,
    explain: Callable[[int, int], Explanation],
    num_words: int,
    row_counts: tuple[int, ...],
    *,
    num_held_out: int,
    seed: int,
) -> Iterator[tuple[str, float]]:
    """Each measure's name and value for one reply: of what `explain` gives for a number of rows and a seed, ContextCite's estimator, how steady the signs are, and
    whether sentences are called null whose values were dealt out anew among the rows, so that they hang on no word. Signs are compared with an
    explanation of another seed, which parts the words elsewhere and draws other rows; the rows that lack one word can be the same."""
    score = _remembered(score)
    held_out = _masks(num_held_out, num_words, seed)
    truth = score(held_out).sum(1)
    cited = _masks(_CITE_ROWS, num_words, seed + 1)
    cited_values = score(cited).sum(1)
    for num_rows in (*row_counts, _CITE_ROWS):
        fit = contextcite(cited[:num_rows], cited_values[:num_rows])
        yield from _faithfulness(f"ContextCite, {num_rows} rows", score, truth, fit, held_out @ fit)
    for num_rows in row_counts:
        name = f"ours, {num_rows} rows"
        ours = explain(num_rows, seed)
        yield from _faithfulness(name, score, truth, ours.effects.sum(0), ours.predict(held_out).sum(1))
        sure = (np.abs(ours.effects) > _SURE * ours.errors) & (ours.effects != 0)
        yield f"{name}: words that are certain", float(sure.mean())
        if num_rows != 32:  # an explanation as it is shown
            continue
        other = explain(num_rows, seed + 1000)
        if sure.any():
            same = np.sign(ours.effects[sure]) == np.sign(other.effects[sure])
            yield f"{name}: certain words keep their sign", float(same.mean())
        rng = np.random.default_rng(seed + 2)
        whole, written = ours.values.copy(), ours.written_values.copy()
        dealt = [column for column in range(whole.shape[1]) if whole[:, column].std() >= MIN_SPREAD][::2]
        for column in dealt:
            order = rng.permutation(len(whole))
            whole[:, column], written[:, column] = whole[order, column], written[order, column]
        if dealt:
            called = fit_parts(ours.rows, whole, written).shares[dealt] <= 0
            yield f"{name}: null sentences called null", float(called.mean())


def measure_peers(score: Scorer, held_out: np.ndarray, truth: np.ndarray, *, seed: int) -> Iterator[tuple[str, float]]:
    """The same for the other explainers that are installed, with about the rows that ContextCite takes; their scores are sums over words. `truth` is
    what the masks `held_out` score, nats (num_masks,)."""
    score = _remembered(score)
    for name, explain in PEERS.items():
        if not find_spec(name.replace(",", " ").split()[0]):
            continue
        effects = explain(lambda rows: score(rows).sum(1), held_out.shape[1], seed)
        yield from _faithfulness(name, score, truth, effects, held_out @ effects)


def _faithfulness(
    name: str, score: Scorer, truth: np.ndarray, effects: np.ndarray, guesses: np.ndarray
) -> Iterator[tuple[str, float]]:
    """Predictive LDS, and how much less likely the reply is without the strongest words or with nothing but them (nats)."""
    yield f"{name}: LDS", _rank_correlation(guesses, truth)
    order = np.argsort(-effects)
    rows = np.ones((5, len(effects)), bool)
    for row, left_out in zip(rows[1:], (order[:1], order[:3], order[:5], order[4:]), strict=True):
        row[left_out] = False
    full, *values = score(rows).sum(1)
    for what, value in zip(("top-1 drop", "top-3 drop", "top-5 drop", "lost with the top 4 only"), values, strict=True):
        yield f"{name}: {what}", float(full - value)


def _remembered(score: Scorer) -> Scorer:
    """The scorer, asked for no row twice."""
    known: dict[bytes, np.ndarray] = {}

    def remembered(rows: np.ndarray) -> np.ndarray:
        new = {row.tobytes(): row for row in rows if row.tobytes() not in known}
        if new:
            known.update(zip(new, score(np.array(list(new.values()))), strict=True))
        return np.array([known[row.tobytes()] for row in rows])

    return remembered


# The other explainers: effects (num_words,) from a scorer of the whole reply, bool (num_rows, num_words) -> nats (num_rows,)

_Total = Callable[[np.ndarray], np.ndarray]


def contextcite(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Word scores (num_words,) by context_cite 0.0.4's solver, up to a factor: LASSO of penalty .01 over standardised columns and values a token.

    Its penalty is for log-probabilities a token; a reply of ours has about a hundred."""
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    columns = scaler.fit_transform(rows.astype(float))
    return Lasso(alpha=0.01).fit(columns, values / 100).coef_ / scaler.scale_


def _lime(score: _Total, num_words: int, seed: int) -> np.ndarray:
    from lime.lime_text import LimeTextExplainer

    names = [f"w{index}" for index in range(num_words)]

    def values(texts: list[str]) -> np.ndarray:
        rows = np.array([[name in text.split() for name in names] for text in texts])
        return score(rows)[:, None]

    explainer = LimeTextExplainer(split_expression=r"\s+", bow=False, random_state=seed, class_names=["reply"])
    told = explainer.explain_instance(
        " ".join(names), values, labels=(0,), num_features=num_words, num_samples=_PEER_ROWS
    )
    effects = np.zeros(num_words)
    for index, weight in told.as_map()[0]:
        effects[index] = weight
    return effects


def _shap(score: _Total, num_words: int, seed: int) -> np.ndarray:
    import shap

    np.random.seed(seed)  # it draws from the global generator
    explainer = shap.KernelExplainer(lambda rows: score(rows > 0.5), np.zeros((1, num_words)))
    return np.asarray(explainer.shap_values(np.ones((1, num_words)), nsamples=_PEER_ROWS, silent=True)).reshape(-1)


def _captum(method: str, **options: Any) -> Callable[[_Total, int, int], np.ndarray]:
    def explain(score: _Total, num_words: int, seed: int) -> np.ndarray:
        import captum.attr
        import torch

        torch.manual_seed(seed)

        def values(rows: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(score(rows.numpy() > 0.5))

        explainer = getattr(captum.attr, method)(values)
        told = explainer.attribute(torch.ones(1, num_words), baselines=torch.zeros(1, num_words), **options)
        return told.numpy().reshape(-1).astype(float)

    return explain


PEERS: dict[str, Callable[[_Total, int, int], np.ndarray]] = {  # by package and method
    "lime, 64 rows": _lime,
    "shap Kernel, 64 rows": _shap,
    "captum KernelShap, 64 rows": _captum("KernelShap", n_samples=_PEER_ROWS),
    "captum FeatureAblation, a row a word": _captum("FeatureAblation"),
}


def _citing_seconds(assistant: Assistant, message: str, reply: Reply) -> float:
    """Processor seconds that context-cite's own loop takes over 64 shortened messages: prompts, model and solver, one prompt at a time as is its default."""
    from context_cite.solver import LassoRegression
    from context_cite.utils import aggregate_logit_probs, get_masks_and_logit_probs

    from genrec.bench.speed import reference
    from genrec.engines.local import LocalEngine

    engine, (model, tokenizer) = assistant.engine, reference()
    assert isinstance(engine, LocalEngine)
    told = assistant._ablation(Conversation(), message, reply, "warm")
    reply_ids = engine._encode(reply.text)

    def prompt_ids(mask: np.ndarray) -> list[int]:
        return engine._encode(engine._render(told.rebuilt(mask).messages))

    begun = time.process_time()
    masks, tokens = get_masks_and_logit_probs(
        model, tokenizer, _PEER_ROWS, len(told.words), prompt_ids, reply_ids, 0.5, 1
    )  # fmt: skip
    LassoRegression().fit(masks, aggregate_logit_probs(tokens), len(reply_ids))
    return time.process_time() - begun


def _rank_correlation(guesses: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's; 0 for a constant guess, which ranks nothing."""
    from scipy.stats import spearmanr

    return float(spearmanr(guesses, truth)[0]) if np.ptp(guesses) > 0 and np.ptp(truth) > 0 else 0.0
