"""How well a writer keeps to what it is given: titles, years, makers, fit, language, whole sentences; and how varied it is.

Two measures. `raw`: prompts composed by the training corpus over items and message frames that training never saw; the text is judged as the
model writes it, with nothing held to the shelf and no gate. `served`: dialogues through the whole flow, opened by held-out messages; the
visitor then turns the first pick down, and in another turn asks for more about it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from genrec.assistant import Assistant
from genrec.engines.local import LocalEngine
from genrec.errors import SettingsError
from genrec.grounding import copied_spans, ground
from genrec.load import ASSETS, load_assistant, set_threads
from genrec.schema import Conversation, Item, Language, Reply, Sampling
from genrec.settings import Settings
from genrec.text import has_cjk, plain, sentences, stutters, words
from genrec.train.corpus import Corpus, Dialogue

_WITH_ITEMS = ("recommend", "more", "reject", "refine", "mix", "mood", "occasion")
_DIVERSE = Sampling(temperature=0.8, top_p=0.9)  # what diversity is measured at
_NUM_ALIKE = 6  # messages whose replies are compared; those of one message say little
LANGUAGES: tuple[Language, ...] = ("en", "zh")
BOLD = re.compile(r"\*\*(.+?)\*\*")
Figure = float | dict[str, Any]  # a number, or a share with its interval and how many it is of
_ENDS = tuple('.!?。！？…；）)”"')


def judge(dialogue: Dialogue, reply: str) -> Counter[str]:
    """What one reply got right: pairs of counts named "x" and "x_of"."""
    shelf = [candidate.item for candidate in dialogue.candidates]
    titles = {item.title_in(dialogue.language) for item in shelf}
    message = " ".join([*(part["content"] for part in dialogue.messages[1:]), *dialogue.fits])
    counts: Counter[str] = Counter()
    about: Sequence = shelf[:1] if dialogue.intent in ("about", "maker", "why") else ()  # whom the visitor asked about
    for sentence in sentences([reply]):
        named = BOLD.findall(sentence)
        counts["titles_of"] += len(named)
        counts["titles"] += sum(title in titles for title in named)
        checked = ground(sentence, shelf, lambda title: (), language=dialogue.language, known_text=message, about=about)
        mentioned = [mention.item for mention in checked.mentions if mention.item]
        about = mentioned[-1:] or about
        if re.search(r"\d{4}", sentence) or re.search(r"\bby [A-Z]|作者|导演", sentence):
            counts["facts_of"] += 1
            unmarked = re.sub(r"\*\*.+?\*\*(?: \(not in the catalogue\)|（不在目录中）)?", "**", checked.text)
            counts["facts"] += not checked.is_false and unmarked == re.sub(r"\*\*.+?\*\*", "**", sentence)
        counts["whole_sentences_of"] += 1
        counts["whole_sentences"] += is_whole(sentence)
    fitting = {candidate.item.title_in(dialogue.language) for candidate in dialogue.candidates if candidate.fits}
    if fitting:
        counts["fit_of"] += 1
        counts["fit"] += any(f"**{title}**" in reply for title in fitting)
    counts["language_of"] += 1
    counts["language"] += has_cjk(BOLD.sub("", reply)) == (dialogue.language == "zh")
    counts["named_of"] += 1
    counts["named"] += any(f"**{title}**" in reply for title in titles)
    return counts


def is_whole(sentence: str) -> bool:
    """Whether a sentence has an end, closed titles and no stutter."""
    text = sentence.strip()
    return text.endswith(_ENDS) and text.count("**") % 2 == 0 and not stutters(text)


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


def evaluate_raw(
    engine: LocalEngine, corpus: Corpus, *, num_prompts: int, seed: int, sampling: Sampling
) -> dict[str, Figure]:
    """Figures of what the model writes on composed prompts, by language."""
    figures: dict[str, Figure] = {}
    for language in LANGUAGES:
        source = (one for one in corpus.dialogues(seed, languages=(language,)) if one.intent in _WITH_ITEMS)
        counts: Counter[str] = Counter()
        for number, dialogue in enumerate(
            tqdm(itertools.islice(source, num_prompts // 2), total=num_prompts // 2, desc=f"raw {language}")
        ):
            reply = "".join(engine.stream(dialogue.messages, replace(sampling, seed=seed + number)))
            counts += judge(dialogue, reply)
        figures |= _shares(counts, f"raw_{{}}_{language}")
        source = (one for one in corpus.dialogues(seed + 1, languages=(language,)) if one.intent in _WITH_ITEMS)
        different = itertools.islice(source, min(100, num_prompts))
        figures[f"distinct_2_{language}"] = distinct_2(
            "".join(engine.stream(one.messages, replace(_DIVERSE, seed=seed + number)))
            for number, one in enumerate(tqdm(different, total=min(100, num_prompts), desc=f"diversity {language}"))
        )
    return figures


def evaluate_served(
    assistant: Assistant, corpus: Corpus, *, num_dialogues: int, seed: int, sampling: Sampling
) -> dict[str, Figure]:
    """Figures of dialogues through the whole flow, half in each language, and how alike 20 replies to one message are."""
    figures: dict[str, Figure] = {}
    makers = {
        language: {maker for item in assistant.catalogue.items if len(maker := item.creator_in(language)) > 3}
        for language in LANGUAGES
    }
    for language in LANGUAGES:
        rng = random.Random(seed)
        counts: Counter[str] = Counter()

        for number in tqdm(range(num_dialogues // 2), desc=f"served {language}"):
            wanted = rng.choice(corpus.items)
            drawn = replace(sampling, seed=seed + number)
            message = corpus.asks("recommend", wanted, language, rng)
            first = last_reply(assistant, Conversation(), message, drawn, language)
            counts += judge_served(first, language, message, makers[language])
            fitting = {candidate.item for candidate in first.candidates if candidate.fits}
            if fitting:
                counts["fit_of"] += 1
                counts["fit"] += bool(fitting & set(first.items))
            counts["answered_of"] += 1
            if not first.items:
                continue
            counts["answered"] += 1
            rejected = first.items[0]
            message = corpus.asks("reject", rejected, language, rng)
            other = last_reply(assistant, first.conversation, message, drawn, language)
            counts += judge_served(other, language, message, makers[language])
            counts["never_again_of"] += 1
            counts["never_again"] += rejected not in other.items
            message = corpus.asks("about", rejected, language, rng)
            more = last_reply(assistant, first.conversation, message, drawn, language)
            counts += judge_served(more, language, message, makers[language])
            counts["more_about_it_of"] += 1
            counts["more_about_it"] += tells_of(more, rejected, language)
        figures |= _shares(counts, f"served_{{}}_{language}")
        alike = []
        for _ in range(min(_NUM_ALIKE, max(1, num_dialogues // 4))):
            message = corpus.asks("recommend", rng.choice(corpus.items), language, rng)
            samplings = [replace(_DIVERSE, seed=number) for number in range(20)]
            replies = [last_reply(assistant, Conversation(), message, one, language).text for one in samplings]
            alike.append(self_bleu_4(replies))
        figures[f"self_bleu_4_{language}"] = statistics.fmean(alike)
    return figures


def tells_of(reply: Reply, item: Item, language: Language) -> bool:
    """Whether a reply speaks of one item and of no other: it names it, or tells a fact of it."""
    if reply.items:
        return reply.items == (item,)
    return not reply.mentions and bool(copied_spans(reply.text, [item], language))


def last_reply(
    assistant: Assistant, before: Conversation, message: str, sampling: Sampling, language: Language
) -> Reply:
    """The finished reply to a message."""
    *_, reply = assistant.reply(before, message, sampling, language=language)
    return reply


def judge_served(reply: Reply, language: str, message: str, makers: Collection[str]) -> Counter[str]:
    """What one reply of the whole flow got right, as `judge` counts it; `makers` are the catalogue's."""
    counts = judge_facts(reply, message, makers)
    counts["titles_of"] += len(reply.mentions)
    counts["titles"] += sum(mention.is_matched for mention in reply.mentions)
    counts["whole_sentences_of"] += len(reply.sentences)
    counts["whole_sentences"] += sum(is_whole(sentence.text) for sentence in reply.sentences)
    if reply.text:
        counts["language_of"] += 1
        counts["language"] += has_cjk(BOLD.sub("", reply.text)) == (language == "zh")
    return counts


def judge_facts(reply: Reply, message: str, makers: Collection[str]) -> Counter[str]:
    """How many of the years and of the catalogue's makers that a reply states are those of an item that the sentence, or the last with a title (the
    next, before there is one), names, or stand in its pitch or in the message. Counts "facts" and "facts_of"; plain look-up, nothing of what `ground` does."""
    counts: Counter[str] = Counter()
    subjects = [one.item for one in reply.mentions[:1] if one.item]
    for sentence in reply.sentences:
        named = [one.item for one in reply.mentions if one.item and sentence.start <= one.start < sentence.end]
        subjects = named or subjects
        told = " ".join(
            f"{item.year} {item.creator} {item.creator_zh} {' '.join((*item.pitches_in('en'), *item.pitches_in('zh')))}"
            for item in subjects
        )
        prose = BOLD.sub("·", sentence.text)
        stated = set(re.findall(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)", prose))
        stated |= {maker for maker in makers if maker in prose}
        counts["facts_of"] += len(stated)
        counts["facts"] += sum(fact in told or fact.lower() in message.lower() for fact in stated)
    return counts


def _shares(counts: Counter[str], name: str) -> dict[str, Figure]:
    """Each pair of counts as a share with its interval, under `name` with the count's own name put in."""
    figures: dict[str, Figure] = {}
    for key in sorted(counts):
        if key.endswith("_of"):
            right, total = counts[key.removesuffix("_of")], counts[key]
            low, high = interval(right, total)
            figures[name.format(key.removesuffix("_of"))] = {
                "share": round(right / max(1, total), 4),
                "of": total,
                "interval": [round(low, 4), round(high, 4)],
            }
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompts", type=int, default=300, help="held-out prompts, half in each language (default: %(default)s)"
    )
    parser.add_argument(
        "--dialogues",
        type=int,
        default=200,
        help="through the whole flow, half in each language (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--model", default="bundled", help="the bundled writer or another model's folder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--card", action="store_true", help="write the figures into the card of the bundled writer")


def run(args: argparse.Namespace) -> int:
    set_threads(0)
    assistant = load_assistant(Settings(model=args.model, database=":memory:"))
    if not isinstance(assistant.engine, LocalEngine):
        raise SettingsError("evaluate writer needs a model of this machine.")
    corpus = Corpus(assistant.catalogue, assistant.vocabulary, held_out=True)
    sampling = Sampling(temperature=args.temperature, top_p=args.top_p)
    figures = evaluate_raw(assistant.engine, corpus, num_prompts=args.prompts, seed=args.seed, sampling=sampling)
    figures |= evaluate_served(assistant, corpus, num_dialogues=args.dialogues, seed=args.seed, sampling=sampling)
    if args.card:
        path = ASSETS / "models" / "writer" / "card.json"
        card = json.loads(path.read_text("utf-8"))
        command = (
            f"python -m genrec evaluate writer --prompts {args.prompts} --dialogues {args.dialogues} --seed {args.seed}"
        )
        card["evaluation"] = {"command": command, "figures": figures}
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if args.json:
        print(json.dumps(figures, ensure_ascii=False))
        return 0
    for name, figure in figures.items():
        if isinstance(figure, dict):
            low, high = figure["interval"]
            print(f"{name:26} {figure['share']:.3f}  [{low:.3f}, {high:.3f}]  of {figure['of']}")
        else:
            print(f"{name:26} {figure:.3f}")
    return 0
