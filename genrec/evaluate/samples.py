"""Unedited replies to held-out messages, good and bad, as Markdown: what a reader needs to judge the prose himself.

The n-th sample of a language has seed n, so `python -m genrec recommend "…" --seed n` gives the same reply again.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from genrec.assistant import Assistant
from genrec.load import load_assistant, set_threads
from genrec.schema import Conversation, Language, Reply, Sampling
from genrec.settings import Settings
from genrec.train.corpus import Corpus

_HEADINGS: dict[Language, str] = {"en": "English", "zh": "中文"}
_INTENTS = ("recommend", "recommend", "recommend", "mood", "occasion")


def samples(assistant: Assistant, corpus: Corpus, language: Language, *, count: int) -> list[tuple[int, str, Reply]]:
    """(seed, message, reply) of `count` first messages that use no frame and no item of the training."""
    rng = random.Random(f"samples {language}")
    found = []
    for seed in range(1, count + 1):
        message = corpus.asks(rng.choice(_INTENTS), rng.choice(corpus.items), language, rng)
        *_, reply = assistant.reply(Conversation(), message, Sampling(seed=seed))
        found.append((seed, message, reply))
    return found


def as_markdown(found: list[tuple[int, str, Reply]]) -> str:
    blocks = []
    for seed, message, reply in found:
        withheld = f"\n\n(withheld: {', '.join(one.category for one in reply.withheld)})" if reply.withheld else ""
        notice = f"\n\n*{reply.notice}*" if reply.notice else ""
        blocks.append(f"**{seed}.** {message}\n\n> {reply.text or '(nothing)'}{notice}{withheld}")
    return "\n\n".join(blocks)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=20, help="samples a language (default: %(default)s)")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--out", type=Path, help="a Markdown file; standard output if none is given")


def run(args: argparse.Namespace) -> int:
    set_threads(0)
    assistant = load_assistant(Settings(model=args.model, database=":memory:"))
    corpus = Corpus(assistant.catalogue, assistant.vocabulary, held_out=True)
    parts = [
        "# Samples",
        f"Replies of the {assistant.engine.describe().model} to messages that are not in its training, unedited, in the order they came:\n\n"
        f"    python -m genrec evaluate samples --count {args.count}\n\n"
        'Each can be had again: `python -m genrec recommend "…" --seed N` with the number before it.',
    ]
    for language, heading in _HEADINGS.items():
        parts += [f"## {heading}", as_markdown(samples(assistant, corpus, language, count=args.count))]
    text = "\n\n".join(parts) + "\n"
    if args.out:
        args.out.write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0
