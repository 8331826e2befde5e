"""Turns replies, candidates and attributions into safe HTML and Markdown. Pure functions; every text from outside is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from genrec.schema import Attribution, Item, Reply, WordScore
from genrec.vocabulary import Vocabulary

_FULL_COLOUR = math.log(10)  # nats; a weaker word than "ten times likelier" is never fully coloured
NO_CARDS = '<p class="genrec-quiet">What a reply recommends is listed here, checked against the catalogue.</p>'
_KIND_ICONS = {
    "film": "🎬", "series": "📺", "book": "📖", "album": "🎧", "game": "🎲", "place": "🧭", "dish": "🍲", "course": "🎓", "activity": "🌿", "product": "🎁",
}  # fmt: skip


def status_line(reply: Reply) -> str:
    """One line of numbers under the chat."""
    if reply.status == "writing" and not reply.text:
        return "Writing …"
    words = {
        "writing": "Writing …",
        "done": "Done",
        "stopped": "Stopped",
        "refused": "Not answered",
        "lost": "Interrupted",
    }
    parts = [words[reply.status]]
    if reply.num_tokens:
        rate = reply.num_tokens / max(reply.seconds, 1e-6)
        parts += [
            f"{reply.num_tokens} tokens",
            f"{rate:.0f} tokens/s",
            f"first sentence {reply.first_sentence_s:.1f} s",
            f"seed {reply.sampling.seed}",
        ]
    if reply.withheld:
        parts.append(
            f"{len(reply.withheld)} withheld ({', '.join(dict.fromkeys(one.category.replace('_', ' ') for one in reply.withheld))})"
        )
    return " · ".join(parts)


def cards(items: Sequence[Item], reply: Reply, vocabulary: Vocabulary) -> str:
    """The items a reply names, as cards with their facts and the visitor's words that they answer."""
    if not items:
        return NO_CARDS
    fits = {candidate.item.id: candidate.fits for candidate in reply.candidates}
    language = reply.language
    blocks = []
    for item in items:
        kind, country = vocabulary.translate(item.kind, language), vocabulary.translate(item.country, language)
        facts = [kind, str(item.year) if item.year is not None else "", item.creator_in(language), country]
        answers = "".join(f'<span class="genrec-chip">{escape(wish)}</span>' for wish in fits.get(item.id, ()))
        blocks.append(
            f'<div class="genrec-card"><div class="genrec-title">{_KIND_ICONS.get(item.kind, "•")} {escape(item.title_in(language))} '
            f'<span class="genrec-mark" title="found in the catalogue">✓</span></div>'
            f'<div class="genrec-facts">{escape(" · ".join(fact for fact in facts if fact))}</div>{answers}</div>'
        )
    return "".join(blocks)


def word_colours(attribution: Attribution, scores: Sequence[WordScore]) -> str:
    """The message with each word coloured by its score: green and underlined made the answer likelier, red and struck less likely; a
    word whose interval holds 0 stays plain."""
    pieces, position = [], 0
    full = max(_FULL_COLOUR, *(abs(score.score) for score in scores))
    by_start = {score.word.start: score for score in scores}
    for word in attribution.words:
        pieces.append(escape(attribution.message[position : word.start]))
        score = by_start.get(word.start)
        text = escape(word.text)
        if score and score.score and score.is_certain:
            strength = min(1.0, abs(score.score) / full)
            side = "up" if score.score > 0 else "down"
            hint = f"{score.score:+.2f} ± {score.error:.2f} nats: {_in_parts(score)}"
            text = f'<span class="genrec-{side}" style="--strength:{strength:.2f}" title="{hint}">{text}</span>'
        pieces.append(text)
        position = word.end
    pieces.append(escape(attribution.message[position:]))
    return "".join(pieces)


def explanation(attribution: Attribution, reply: Reply) -> str:
    """The attribution as a panel: the whole reply first, then sentence by sentence."""
    fit = attribution.fit
    trust = "ok" if fit >= 0.5 else "weak"
    head = (
        f'<p><span class="genrec-badge {trust}">explains {max(0.0, fit):.0%} of what leaving words out does</span></p>'
        f'<p class="genrec-words">{word_colours(attribution, attribution.whole)}</p>'
        f"{_bars(attribution.whole)}{_together(attribution)}"
    )
    rows = []
    for number, (sentence, scores) in enumerate(zip(reply.sentences, attribution.by_sentence, strict=True)):
        told = (
            word_colours(attribution, scores)
            if scores
            else '<span class="genrec-quiet">no single word clearly changed it</span>'
        )
        text = escape(sentence.text.replace("**", "").strip())
        cited = attribution.citations[number] if attribution.citations else ()
        names = ", ".join(f"{escape(one.item.title_in(reply.language))} ({one.score:+.1f})" for one in cited)
        leaning = f'<p class="genrec-quiet">leans on the facts of {names}</p>' if names else ""
        rows.append(f'<details><summary>{text}</summary><p class="genrec-words">{told}</p>{leaning}</details>')
    foot = (
        f'<p class="genrec-quiet">Green and underlined made it likelier, red and struck less likely, in nats. From {attribution.num_rows} shortened '
        f"messages in {attribution.seconds:.1f} s. A local approximation, not a cause.</p>"
    )
    return head + '<div class="genrec-sentences">' + "".join(rows) + "</div>" + foot


def _bars(scores: Sequence[WordScore]) -> str:
    top = sorted((score for score in scores if score.score), key=lambda score: -abs(score.score))[:6]
    largest = max((abs(score.score) for score in top), default=1.0)
    rows = [
        f'<div class="genrec-bar"><span>{escape(score.word.text)}</span>'
        f'<i class="{"up" if score.score > 0 else "down"}" style="width:{abs(score.score) / largest * 55:.0f}%"></i>'
        f'<b title="{_in_parts(score)}">{score.score:+.1f}</b></div>'
        for score in top
    ]
    return "".join(rows)


def _in_parts(score: WordScore) -> str:
    """What of a score went which way."""
    return f"{score.found:+.1f} through what was found, {score.written:+.1f} through how it was written"


def _together(attribution: Attribution) -> str:
    """The strongest pair of words that do something only together, if any does."""
    pair = next((one for one in attribution.pairs if one.score > 0), None)
    if pair is None:
        return ""
    words = f"<b>{escape(pair.first.text)}</b> and <b>{escape(pair.second.text)}</b>"
    return f'<p class="genrec-quiet">{words} did {pair.score:.1f} nats only together.</p>'
