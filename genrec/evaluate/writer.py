"""How well a writer keeps to what it is given: titles, years, makers, fit, language, whole sentences; and how varied it is.

Prompts are composed by the training corpus over items that training never saw. The raw text is judged, before the gate corrects anything.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from genrec.catalogue import read_catalogue
from genrec.engines.local import LocalEngine
from genrec.grounding import ground
from genrec.load import set_threads
from genrec.schema import Sampling
from genrec.settings import ASSETS
from genrec.text import has_cjk, plain, sentences, words
from genrec.train.corpus import Corpus, Dialogue
from genrec.vocabulary import Vocabulary

_FRAMES = Path(__file__).resolve().parent.parent / "train" / "frames"
_WITH_ITEMS = ("recommend", "more", "reject", "refine", "mix", "mood", "occasion")
_ENDS = tuple('.!?。！？…）)”"')


def judge(dialogue: Dialogue, reply: str) -> Counter[str]:
    """What one reply got right: pairs of counts named "x" and "x_of"."""
    shelf = [candidate.item for candidate in dialogue.candidates]
    titles = {item.title_in(dialogue.language) for item in shelf}
    message = " ".join(part["content"] for part in dialogue.messages[1:])
    counts: Counter[str] = Counter()
    about: Sequence = ()
    for sentence in sentences([reply]):
        named = re.findall(r"\*\*(.+?)\*\*", sentence)
        counts["titles_of"] += len(named)
        counts["titles"] += sum(title in titles for title in named)
        checked = ground(sentence, shelf, lambda title: (), language=dialogue.language, known_text=message, about=about)
        mentioned = [mention.item for mention in checked.mentions if mention.item]
        about = mentioned[-1:] or about
        if re.search(r"\d{4}", sentence) or re.search(r"\bby [A-Z]|作者|导演", sentence):
            counts["facts_of"] += 1
            unmarked = re.sub(r"\*\*.+?\*\*(?: \(not in the catalogue\)|（不在目录中）)?", "**", checked.text)
            counts["facts"] += not checked.is_false and unmarked == re.sub(r"\*\*.+?\*\*", "**", sentence)
        counts["sentences_of"] += 1
        counts["whole_sentences"] += is_whole(sentence)
    fitting = {candidate.item.title_in(dialogue.language) for candidate in dialogue.candidates if candidate.fits}
    if fitting:
        counts["fit_of"] += 1
        counts["fit"] += any(f"**{title}**" in reply for title in fitting)
    counts["language_of"] += 1
    counts["language"] += has_cjk(re.sub(r"\*\*.+?\*\*", "", reply)) == (dialogue.language == "zh")
    counts["named_of"] += 1
    counts["named"] += any(f"**{title}**" in reply for title in titles)
    return counts


def is_whole(sentence: str) -> bool:
    """Whether a sentence has an end, closed titles and no stutter."""
    text = sentence.strip()
    tokens = [word.text.lower() for word in words(plain(text))]
    stutters = any(tokens[index : index + 3] == tokens[index + 3 : index + 6] for index in range(len(tokens) - 5))
    return text.endswith(_ENDS) and text.count("**") % 2 == 0 and not stutters


def distinct_2(replies: Iterable[str]) -> float:
    """Different word pairs over all word pairs (Li et al. 2016), in [0, 1]; 0 for no pairs."""
    pairs = [
        pair for reply in replies for pair in itertools.pairwise(word.text.lower() for word in words(plain(reply)))
    ]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def self_bleu_4(replies: Sequence[str]) -> float:
    """Mean BLEU-4 of each reply against the others (Zhu et al. 2018), in [0, 1]; higher is more alike."""
    tokens = [[word.text.lower() for word in words(plain(reply))] for reply in replies]
    scores = []
    for index, candidate in enumerate(tokens):
        others = tokens[:index] + tokens[index + 1 :]
        logs = 0.0
        for size in range(1, 5):
            own = Counter(zip(*(candidate[start:] for start in range(size))))
            best: Counter[tuple[str, ...]] = Counter()
            for other in others:
                best |= Counter(zip(*(other[start:] for start in range(size))))
            matched, total = sum((own & best).values()), max(1, sum(own.values()))
            logs += math.log(max(matched, 1e-9) / total) / 4
        length = (
            min((abs(len(other) - len(candidate)), len(other)) for other in others)[1] if others else len(candidate)
        )
        scores.append(min(1.0, math.exp(1 - length / max(1, len(candidate)))) * math.exp(logs))
    return sum(scores) / len(scores) if scores else 0.0


def interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not total:
        return 0.0, 1.0
    share, z = right / total, 1.96
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return centre - spread, centre + spread


def evaluate(
    engine: LocalEngine, corpus: Corpus, *, num_prompts: int, seed: int, sampling: Sampling
) -> dict[str, object]:
    """All figures, by language and together, with their intervals."""
    from tqdm import tqdm

    figures: dict[str, object] = {}
    replies: dict[str, list[str]] = {}
    for language in ("en", "zh"):
        source = (one for one in corpus.dialogues(seed, languages=(language,)) if one.intent in _WITH_ITEMS)
        counts: Counter[str] = Counter()
        for number, dialogue in enumerate(
            tqdm(itertools.islice(source, num_prompts // 2), total=num_prompts // 2, desc=language)
        ):
            reply = "".join(engine.stream(dialogue.messages, replace(sampling, seed=seed + number)))
            replies.setdefault(language, []).append(reply)
            counts += judge(dialogue, reply)
        for name in ("titles", "facts", "fit", "language", "named", "whole_sentences"):
            total = counts["sentences_of" if name == "whole_sentences" else f"{name}_of"]
            low, high = interval(counts[name], total)
            figures[f"{name}_{language}"] = {
                "share": round(counts[name] / max(1, total), 4),
                "of": total,
                "interval": [round(low, 4), round(high, 4)],
            }
        figures[f"distinct_2_{language}"] = round(distinct_2(replies[language][:100]), 3)
        prompt = next(
            one for one in corpus.dialogues(seed + 1, languages=(language,)) if one.intent == "recommend"
        ).messages
        again = ["".join(engine.stream(prompt, replace(sampling, seed=number))) for number in range(20)]
        figures[f"self_bleu_4_{language}"] = round(self_bleu_4(again), 3)
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompts", type=int, default=300, help="held-out prompts, half in each language (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--model", default=str(ASSETS / "models" / "writer"), help="folder of the writer")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    set_threads(0)
    data = ASSETS / "catalogue"
    corpus = Corpus(read_catalogue(data), Vocabulary.load(data / "vocabulary.json"), _FRAMES, held_out=True)
    engine = LocalEngine.load(args.model)
    figures = evaluate(
        engine,
        corpus,
        num_prompts=args.prompts,
        seed=args.seed,
        sampling=Sampling(temperature=args.temperature, top_p=args.top_p),
    )
    if args.json:
        print(json.dumps(figures, ensure_ascii=False))
        return 0
    for name, figure in figures.items():
        if isinstance(figure, dict):
            low, high = figure["interval"]
            print(f"{name:22} {figure['share']:.3f}  [{low:.3f}, {high:.3f}]  of {figure['of']}")
        else:
            print(f"{name:22} {figure:.3f}")
    return 0
