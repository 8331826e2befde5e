"""An explanation for people and programs: an HTML fragment for the browser app, a page of its own that needs no network, plain text, and JSON.

Pure functions; every text from outside is escaped. What people read is in the language asked for, else in the reply's; JSON is the same in every language. The fragment works without script: radio buttons choose whether the colours tell of the whole
reply or of one sentence, or which sentences one word moved. Sign is shown by an underline (solid up, dotted down) and by + and −
as well as by colour; a word whose 95 % interval holds 0 stays plain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any
from zlib import crc32

from genrec.schema import Attribution, Item, Language, Reply, Rewrite, Word, WordPair, WordScore
from genrec.text import has_cjk, plain, words

_FULL_COLOUR = math.log(
    10
)  # nats: "ten times likelier" has the full colour; the scale is the same in every explanation
_FULL_POINTS = 20.0  # the same in points of similarity
_GOOD_FIT = 0.5
_JOINT = 0.75  # share of what two neighbours do that they do only together, from which on they are shown as one
_MAX_WORD_VIEWS = 12  # words that can be clicked, the strongest
_UNITS = {"log-probability": "nats", "similarity": "points"}
_TEXTS: dict[str, dict[Language, str]] = {
    "nats": {"en": "nats", "zh": "奈特"},
    "points": {"en": "points", "zh": "分"},
    "by log-probability": {
        "en": "Measured by how likely the model finds this reply (nats; 2.3 is ten times likelier)",
        "zh": "以模型写出这条回答的可能性衡量（单位奈特，2.3 即可能性为十倍）",
    },
    "by similarity": {
        "en": "Measured by how alike a reply written without the words is (points of 100), since this model gives no probabilities",
        "zh": "这个模型不给出概率，所以看去掉这些词后写出的回答与原来有多相似（满分 100 分）",
    },
    "foot": {
        "en": "{scorer}, from {rows} shortened messages{guessed} in {seconds:.1f} s. A local approximation, not a cause.",
        "zh": "{scorer}，试了 {rows} 条删减过的消息{guessed}，用时 {seconds:.1f} 秒。这是局部的近似，不等于原因。",
    },
    "guessed rows": {
        "en": " ({scored} of them scored by the model, the others guessed from how much of the reply they find; more tries are all scored)",
        "zh": "（其中 {scored} 条由模型打分，其余按其所找到的内容与回答重合多少来估计；尝试次数更多时全部打分）",
    },
    "told": {
        "en": "{score} ± {error:.1f} {unit}: {found} through what was found, {written} through how it was written",
        "zh": "{score} ± {error:.1f} {unit}：经由找到的内容 {found}，经由写法 {written}",
    },
    "fit": {
        "en": "explains {fit:.0%} of what leaving words out does",
        "zh": "能说明删词影响的 {fit:.0%}",
    },
    "fit of sentence": {
        "en": "explains {fit:.0%} of what leaving words out does to this sentence",
        "zh": "能说明删词对这句话影响的 {fit:.0%}",
    },
    "independent": {"en": "This sentence does not depend on your words.", "zh": "这句话与你的用词无关。"},
    "moved": {
        "en": "Sentences that “{word}” moved: {told} for the whole reply.",
        "zh": "“{word}”影响到的句子；对整条回答：{told}。",
    },
    "whole": {"en": "the whole reply", "zh": "整条回答"},
    "sentence": {"en": "sentence {number}", "zh": "第 {number} 句"},
    "the word": {"en": "the word {word}", "zh": "词语“{word}”"},
    "word": {"en": "word", "zh": "词语"},
    "interval": {"en": "{unit}, 95 %", "zh": "{unit}，95% 区间"},
    "found": {"en": "found", "zh": "找到的内容"},
    "written": {"en": "written", "zh": "写法"},
    "uncertain": {"en": "not certain", "zh": "不确定"},
    "together": {
        "en": "{first} and {second}: {score} {unit} only together",
        "zh": "{first}与{second}：{score} {unit}，合在一起才有",
    },
    "either": {
        "en": "{first} and {second}: {score} {unit} (either one is enough)",
        "zh": "{first}与{second}：{score} {unit}（有其中一个就够）",
    },
    "leaning": {"en": "leans on the facts of {names}", "zh": "依据：{names}"},
    "legend": {
        "en": "{unit}. Green and underlined made it likelier, red and dotted less likely. "
        "Click a sentence for the words behind it, or a word for the sentences it moved.",
        "zh": "{unit}。绿色加下划线的词使回答更可能出现，红色加点线的使它更不可能。点一句话，看它由哪些词而来；点一个词，看它影响了哪些句子。",
    },
    "checks": {"en": "Left out and scored anew", "zh": "删去后重新打分"},
    "without": {"en": "without", "zh": "删去"},
    "exact": {"en": "exact drop, {unit}", "zh": "实际下降（{unit}）"},
    "guessed": {"en": "guessed", "zh": "估计"},
    "title": {"en": "Which words led to this reply", "zh": "哪些词促成了这条回答"},
    "written by": {"en": "Written by {model}, seed {seed}.", "zh": "由 {model} 写出，随机种子 {seed}。"},
    "without words": {"en": "Without “{words}”", "zh": "去掉“{words}”"},
    "changed": {
        "en": "{changed:.0%} of the words differ. Written again from the whole message: {same:.0%} with the same seed, "
        "{other:.0%} with another. Only what goes beyond the same seed's is the words' doing.",
        "zh": "有 {changed:.0%} 的词语不同。用完整的消息重写：种子相同差 {same:.0%}，换一个种子差 {other:.0%}。只有比种子相同时多出的部分，才是这些词的作用。",
    },
    "text without": {"en": "Without {words}: {reply}", "zh": "去掉{words}：{reply}"},
    "text head": {
        "en": "The words that most changed how likely this answer was ({unit}; fit on held-out rows {fit:.2f}):",
        "zh": "最影响这条回答是否出现的词（{unit}；对未见过的删减，拟合度 {fit:.2f}）：",
    },
    "text columns": {
        "en": "    whole            found  written   (through what was found, through how it was written)",
        "zh": "    合计              内容    写法   （经由找到的内容，经由写法）",
    },
    "text checks": {
        "en": "Left out and scored anew (lost {unit}; what the fit had guessed):",
        "zh": "删去后重新打分（下降的{unit}；括号里是估计）：",
    },
}
STYLE = """
.why {--up: 22 163 74; --down: 220 38 38; --strong: 0.5; --quiet: #5b6470; --ink: #1f2937; --line: #c9ced6; --ok: #166534; --weak: #92400e; line-height: 1.6}
.dark .why {--up: 74 222 128; --down: 248 113 113; --quiet: #a8b0bb; --ink: #f3f4f6; --line: #4b5563; --ok: #14532d; --weak: #78350f}
.why input.pick {position: absolute; opacity: 0; width: 1px; height: 1px}
.why label {cursor: pointer} .why .view {display: none} .why p {margin: .5em 0}
.why .up, .why .down {color: var(--ink); border-radius: 4px; padding: 1px 2px; text-decoration-thickness: 2px; text-underline-offset: 4px}
.why .up {background: rgb(var(--up) / calc(var(--share) * var(--strong))); text-decoration: underline solid rgb(var(--up))}
.why .down {background: rgb(var(--down) / calc(var(--share) * var(--strong))); text-decoration: underline dotted rgb(var(--down))}
.why .picked {outline: 2px solid var(--line); outline-offset: 2px; border-radius: 4px}
.why .badge {border-radius: 99px; padding: 2px 10px; font-size: .85em; color: #fff; background: var(--ok)} .why .badge.weak {background: var(--weak)}
.why input.pick:focus-visible ~ .view {outline: 2px solid var(--line); outline-offset: 4px}
.why .quiet {color: var(--quiet); font-size: .9em}
.why table {border-collapse: collapse; font-size: .9em} .why td, .why th {padding: 1px 8px 1px 0; text-align: left; font-weight: normal; border: 0}
.why td.number {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap} .why td.word, .why td.quiet {white-space: nowrap} .why svg {display: block; width: 80px}
.why .wide {overflow-x: auto} .why .wide:focus-visible {outline: 2px solid var(--line); outline-offset: 2px}
@media (max-width: 640px) {.why td, .why th {padding-right: 6px} .why table {font-size: .8em} .why svg {width: 56px}}
.why ins {background: rgb(var(--up) / .25); text-decoration: underline} .why del {background: rgb(var(--down) / .25)}
"""
_PAGE_STYLE = """
body {font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937; background: #fff}
.message {border-left: 4px solid #c9ced6; padding-left: 1em}
@media (prefers-color-scheme: dark) {body {color: #e5e7eb; background: #111827}
.why {--up: 74 222 128; --down: 248 113 113; --quiet: #a8b0bb; --ink: #f3f4f6; --line: #4b5563; --ok: #14532d; --weak: #78350f}}
"""


# For programs


def attribution_json(attribution: Attribution, reply: Reply) -> dict[str, Any]:
    """An attribution as other programs read it; spans are those of `message`, effects in its `unit`."""
    sentences = zip(
        reply.sentences, attribution.fit_by_sentence, attribution.by_sentence, attribution.citations, strict=True
    )
    return {
        "message": attribution.message,
        "scorer": attribution.scorer,
        "unit": _UNITS[attribution.scorer],
        "fit": attribution.fit,
        "rows": attribution.num_rows,
        "scored": attribution.num_scored,
        "seconds": round(attribution.seconds, 3),
        "words": [_word_json(score) for score in attribution.whole],
        "pairs": [{"words": [pair.first.text, pair.second.text], "nats": pair.score} for pair in attribution.pairs],
        "checks": [
            {"without": [word.text for word in check.without], "exact": check.exact, "guessed": check.guessed}
            for check in attribution.checks
        ],
        "sentences": [
            {
                "text": plain(sentence.text).strip(),
                "fit": fit,
                "words": [_word_json(score) for score in scores],
                "citations": [{"id": one.item.id, "nats": one.score} for one in citations],
            }
            for sentence, fit, scores, citations in sentences
        ],
    }


def rewrite_json(rewrite: Rewrite) -> dict[str, Any]:
    """A rewrite without some words; `changed` are shares of words in [0, 1] by which a reply differs from the one explained."""
    return {
        "without": [word.text for word in rewrite.without],
        "reply": plain(rewrite.shortened.text),
        "changed": round(changed_share(rewrite.original, rewrite.shortened), 3),
        "changed_same_seed": round(changed_share(rewrite.original, rewrite.same_seed), 3),
        "changed_other_seed": round(changed_share(rewrite.original, rewrite.other_seed), 3),
    }


def changed_share(reply: Reply, other: Reply) -> float:
    """The share of words in [0, 1] that two replies do not have in common, in order; 0 for the same words."""
    one, two = ([word.text for word in words(plain(each.text))] for each in (reply, other))
    return 1 - SequenceMatcher(None, one, two, autojunk=False).ratio() if one or two else 0.0


def _word_json(score: WordScore) -> dict[str, Any]:
    return {
        "word": score.word.text,
        "start": score.word.start,
        "end": score.word.end,
        "nats": score.score,
        "error": score.error,
        "found": score.found,
        "written": score.written,
        "certain": score.is_certain,
    }


# For people


def joint_words(attribution: Attribution) -> list[list[int]]:
    """The indices of the words, two neighbours that only work together in one group: both made the reply likelier, and at least three quarters
    of what they did they did together."""
    together = {(pair.first.start, pair.second.start): pair.score for pair in attribution.pairs}
    groups: list[list[int]] = []
    for index, score in enumerate(attribution.whole):
        before = attribution.whole[index - 1] if groups and len(groups[-1]) == 1 else None
        if before and min(before.score, score.score) > 0:
            pair = together.get((before.word.start, score.word.start), 0.0)
            is_near = not attribution.message[before.word.end : score.word.start].strip(" -")
            if is_near and pair >= _JOINT * (before.score + score.score):
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


def joined(message: str, scores: Sequence[WordScore], groups: Sequence[Sequence[int]]) -> list[WordScore]:
    """One score a group of words: the sum, with the error of a sum of independent ones. No scores give none."""
    if not scores:
        return []
    shown = []
    for group in groups:
        parts = [scores[index] for index in group]
        start, end = parts[0].word.start, parts[-1].word.end
        sums = {name: sum(getattr(part, name) for part in parts) for name in ("score", "found", "written")}
        shown.append(
            WordScore(Word(message[start:end], start, end), error=math.hypot(*(part.error for part in parts)), **sums)
        )
    return shown


def explanation(attribution: Attribution, reply: Reply, language: Language | None = None) -> str:
    """The attribution as an HTML fragment with its own style; in the reply's language where none is told."""
    language = language or reply.language
    what, full = unit(attribution, language), _full(attribution)
    name = f"why{crc32(repr((attribution.message, reply.text, attribution.num_rows)).encode()):08x}"
    groups = joint_words(attribution)
    whole, *by_sentence = (
        joined(attribution.message, scores, groups) for scores in (attribution.whole, *attribution.by_sentence)
    )
    picks = sorted(filter(_is_shown, whole), key=lambda score: -abs(score.score))[:_MAX_WORD_VIEWS]
    sentences = [escape(plain(sentence.text).strip()) for sentence in reply.sentences]

    def label(pick: str, text: str, *, is_picked: bool = False) -> str:
        return f'<label for="{name}-{pick}"{" class=picked" if is_picked else ""}>{text}</label>'

    def said(scores: Sequence[WordScore], picked: WordScore | None = None) -> str:
        """What the visitor said; the words that can be picked are labels."""
        pickable = {score.word.start: f"w{number}" for number, score in enumerate(picks)}
        pieces, position = [], 0
        by_start = {score.word.start: score for score in scores}
        for shown in whole:
            score = by_start.get(shown.word.start)
            pieces.append(escape(attribution.message[position : shown.word.start]))
            text = escape(shown.word.text)
            if score and _is_shown(score):
                text = _marked(text, score.score, _told(score, what, language), full)
            pick = pickable.get(shown.word.start)
            pieces.append(label(pick, text, is_picked=shown is picked) if pick else text)
            position = shown.word.end
        return "".join((*pieces, escape(attribution.message[position:])))

    def view(pick: str, message: str, text: Sequence[str], more: str) -> str:
        joined_text = ("" if reply.language == "zh" else " ").join(text)
        return f'<div class="view" id="{name}-v{pick}"><p class="said">{message}</p><p>{joined_text}</p>{more}</div>'

    plain_labels = [label(f"s{number}", text) for number, text in enumerate(sentences)]
    table = _table(whole, what, full, language) + _together(attribution, language)
    views = [view("all", said(whole), plain_labels, table)]
    for number, scores in enumerate(by_sentence):
        text = [*plain_labels]
        text[number] = label(f"s{number}", sentences[number], is_picked=True)
        fit = attribution.fit_by_sentence[number]
        more = f"<p>{_badge(fit, 'fit of sentence', language)}</p>{_table(scores, what, full, language)}"
        if not scores:
            more = f'<p class="quiet">{_say("independent", language)}</p>'
        views.append(view(f"s{number}", said(scores), text, more + _leaning(attribution, number, reply, language)))
    for number, picked in enumerate(picks):
        text = []
        for index, scores in enumerate(by_sentence):
            score = next((one for one in scores if one.word == picked.word), None)
            is_moved = score is not None and _is_shown(score)
            hint = _told(score, what, language) if score else ""
            moved = _marked(sentences[index], score.score, hint, full) if score and is_moved else None
            text.append(label(f"s{index}", moved or sentences[index]))
        more = _say("moved", language, word=escape(picked.word.text), told=_told(picked, what, language))
        views.append(view(f"w{number}", said([picked], picked), text, f'<p class="quiet">{more}</p>'))
    names = [
        "all",
        *(f"s{number}" for number in range(len(sentences))),
        *(f"w{number}" for number in range(len(picks))),
    ]
    titles = [_say("whole", language)]
    titles += [_say("sentence", language, number=number + 1) for number in range(len(sentences))]
    titles += [_say("the word", language, word=escape(picked.word.text)) for picked in picks]
    radios = "".join(
        f'<input class="pick" type="radio" name="{name}" id="{name}-{pick}" aria-label="{title}"{" checked" if pick == "all" else ""}>'
        for pick, title in zip(names, titles, strict=True)
    )
    shown = ",".join(f"#{name}-{pick}:checked ~ #{name}-v{pick}" for pick in names)
    back = f"<label for='{name}-all' class='quiet'>{_say('whole', language)}</label>"
    head = f"<p>{_badge(attribution.fit, 'fit', language)} {back}</p>"
    return (
        f'<style>{STYLE}{shown} {{display: block}}</style><div class="why" id="{name}" lang="{language}">{radios}{head}{"".join(views)}'
        f'{_legend(full, what, language)}{_checks(attribution, language)}<p class="quiet">{_foot(attribution, language)}</p></div>'
    )


def page(
    message: str,
    reply: Reply,
    attribution: Attribution,
    rewrites: Sequence[Rewrite] = (),
    language: Language | None = None,
) -> str:
    """A page of its own: the message, the reply, its explanation and what was written without some words; in the reply's language
    where none is told."""
    language = language or reply.language
    parts = "".join(rewritten(rewrite, language) for rewrite in rewrites)
    title = _say("title", language)
    written_by = _say("written by", language, model=escape(reply.model), seed=reply.sampling.seed)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="color-scheme" content="light dark"><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
        f"<title>{title}</title></head><body><h1>{title}</h1>"
        f'<p class="message">{escape(message)}</p>{explanation(attribution, reply, language)}{parts}'
        f'<div class="why"><p class="quiet">{written_by}</p></div><style>{_PAGE_STYLE}</style></body></html>\n'
    )


def rewritten(rewrite: Rewrite, language: Language | None = None) -> str:
    """What was written without some words, with what changed marked, and how much two replies differ that should not."""
    language = language or rewrite.original.language
    title = _say("without words", language, words=escape(_listed(rewrite.without, language)))
    return (
        f'<div class="why"><h2>{title}</h2><p>{_difference(rewrite.original, rewrite.shortened)}</p>'
        f'<p class="quiet">{_changed(rewrite, language)}</p></div>'
    )


# For terminals


def as_text(attribution: Attribution, reply: Reply, language: Language | None = None) -> str:
    """The attribution in lines; in the reply's language where none is told."""
    language = language or reply.language
    what = unit(attribution, language)
    lines = [_say("text head", language, unit=what, fit=attribution.fit), _say("text columns", language)]
    for score in sorted(attribution.whole, key=lambda score: -abs(score.score)):
        if score.score:
            sure = " " if score.is_certain else "?"
            parts = f"{score.found:+7.2f} {score.written:+7.2f}"
            lines.append(f"  {score.score:+7.2f} ± {score.error:5.2f} {sure} {parts}  {score.word.text}")
    lines += [f"  {_pair(pair, pair.first.text, pair.second.text, what, language)}" for pair in attribution.pairs]
    lines.append(_foot(attribution, language))
    if attribution.checks:
        lines.append(_say("text checks", language, unit=what))
        lines += [
            f"  {check.exact:7.2f} ({check.guessed:.2f})  {_listed(check.without, language)}"
            for check in attribution.checks
        ]
    for sentence, citations in zip(reply.sentences, attribution.citations):
        if citations:
            names = ", ".join(f"{one.item.title_in(reply.language)} {one.score:+.1f}" for one in citations)
            lines.append(f"  [{names}]  {plain(sentence.text).strip()}")
    return "\n".join(lines)


def rewrite_as_text(rewrite: Rewrite, language: Language | None = None) -> str:
    """A rewrite in lines."""
    language = language or rewrite.original.language
    left_out = _listed(rewrite.without, language)
    told = _say("text without", language, words=left_out, reply=plain(rewrite.shortened.text))
    return f"{told}\n{_changed(rewrite, language)}"


def _difference(reply: Reply, other: Reply) -> str:
    texts = [plain(one.text) for one in (reply, other)]
    found = [words(text) for text in texts]
    one, two = ([word.text for word in each] for each in found)
    matched = SequenceMatcher(None, one, two, autojunk=False).get_opcodes()

    def between(side: int, start: int, end: int) -> str:
        """The text of some words, with what stands between them."""
        if start == end:
            return ""
        last = found[side][end].start if end < len(found[side]) else len(texts[side])
        return escape(texts[side][found[side][start].start : last].rstrip())

    pieces = []
    for what, a, b, c, d in matched:
        if what == "equal":
            pieces.append(between(1, c, d))
        else:
            pieces += [f"<del>{between(0, a, b)}</del>"] * (b > a) + [f"<ins>{between(1, c, d)}</ins>"] * (d > c)
    return ("" if has_cjk(texts[1]) else " ").join(pieces)


def _changed(rewrite: Rewrite, language: Language) -> str:
    changed, same, other = (
        changed_share(rewrite.original, one) for one in (rewrite.shortened, rewrite.same_seed, rewrite.other_seed)
    )
    return _say("changed", language, changed=changed, same=same, other=other)


def _listed(found: Sequence[Word], language: Language) -> str:
    return ("、" if language == "zh" else " ").join(word.text for word in found)


def _say(key: str, language: Language, **values: Any) -> str:
    """A text with values filled in; those from outside are to be escaped before."""
    return _TEXTS[key][language].format(**values)


def unit(attribution: Attribution, language: Language = "en") -> str:
    """What its scores are counted in."""
    return _say(_UNITS[attribution.scorer], language)


def _full(attribution: Attribution) -> float:
    """The score that has the full colour."""
    return _FULL_COLOUR if attribution.scorer == "log-probability" else _FULL_POINTS


def _is_shown(score: WordScore) -> bool:
    return bool(score.score) and score.is_certain


def _marked(text: str, value: float, hint: str, full: float) -> str:
    share = min(1.0, abs(value) / full)
    return f'<span class="{"up" if value > 0 else "down"}" style="--share:{share:.2f}" title="{hint}">{text}</span>'


def _signed(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _told(score: WordScore, unit_name: str, language: Language) -> str:
    """What a word did, in words; safe to stand in an attribute."""
    values = {"score": _signed(score.score), "found": _signed(score.found), "written": _signed(score.written)}
    return _say("told", language, error=1.96 * score.error, unit=unit_name, **values)


def _badge(fit: float, text: str, language: Language) -> str:
    told = _say(text, language, fit=max(0.0, fit))
    return f'<span class="badge {"ok" if fit >= _GOOD_FIT else "weak"}">{told}</span>'


def _table(scores: Sequence[WordScore], unit_name: str, full: float, language: Language) -> str:
    """The strongest words with bars, intervals and parts."""
    top = sorted((score for score in scores if score.score), key=lambda score: -abs(score.score))[:8]
    if not top:
        return ""
    reach = max(full, *(abs(score.score) + 1.96 * score.error for score in top))
    rows = "".join(
        f"<tr><td class=word>{escape(score.word.text)}</td><td>{_bar(score, reach)}</td><td class=number>{_signed(score.score)} ± {1.96 * score.error:.1f}</td>"
        f"<td class=number>{_signed(score.found)}</td><td class=number>{_signed(score.written)}</td>"
        f'<td class="quiet">{"" if score.is_certain else _say("uncertain", language)}</td></tr>'
        for score in top
    )
    interval = _say("interval", language, unit=unit_name)
    names = (_say("word", language), "", interval, _say("found", language), _say("written", language), "")
    head = "".join(f"<th>{name}</th>" for name in names)
    return _wide(f"<table><tr class=quiet>{head}</tr>{rows}</table>", f"{names[0]}, {interval}")


def _wide(table: str, label: str) -> str:
    """A table in a box of its own that scrolls where the page is narrower; the keyboard reaches it."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _bar(score: WordScore, reach: float) -> str:
    """A bar from the middle with the interval as a line, in a box of 120 by 14."""

    def x(value: float) -> float:
        return round(60 + 58 * max(-1.0, min(1.0, value / reach)), 1)

    low, high = sorted((x(0), x(score.score)))
    colour = "up" if score.score > 0 else "down"
    width = 1.96 * score.error
    return (
        f'<svg width="120" height="14" viewBox="0 0 120 14" preserveAspectRatio="none" role="img" aria-label="{_signed(score.score)}"><rect x="{low}" y="3" width="{max(1, high - low):.1f}" height="8" '
        f'fill="rgb(var(--{colour}))" opacity="{1 if score.is_certain else 0.35}"/><path d="M{x(score.score - width)} 7H{x(score.score + width)}M60 0V14" '
        f'stroke="currentColor" fill="none"/></svg>'
    )


def _together(attribution: Attribution, language: Language) -> str:
    what = unit(attribution, language)
    told = []
    for pair in attribution.pairs:
        first, second = (f"<b>{escape(word.text)}</b>" for word in (pair.first, pair.second))
        told.append(_pair(pair, first, second, what, language))
    return f'<p class="quiet">{"<br>".join(told)}</p>' if told else ""


def _pair(pair: WordPair, first: str, second: str, unit_name: str, language: Language) -> str:
    """What two words do together; they are named as told."""
    text = "together" if pair.score > 0 else "either"
    return _say(text, language, first=first, second=second, score=_signed(pair.score), unit=unit_name)


def _leaning(attribution: Attribution, number: int, reply: Reply, language: Language) -> str:
    cited = attribution.citations[number] if attribution.citations else ()

    def name(item: Item) -> str:
        return escape(item.title_in(reply.language))

    names = ", ".join(f"{name(one.item)} ({_signed(one.score)})" for one in cited)
    return f'<p class="quiet">{_say("leaning", language, names=names)}</p>' if names else ""


def _legend(full: float, unit_name: str, language: Language) -> str:
    marks = "".join(
        _marked(f"{_signed(value)}", value, f"{_signed(value)} {unit_name}", full) + " "
        for value in (-full, -full / 2, full / 2, full)
    )
    return f'<p class="quiet">{marks}{_say("legend", language, unit=unit_name)}</p>'


def _checks(attribution: Attribution, language: Language) -> str:
    if not attribution.checks:
        return ""
    rows = "".join(
        f"<tr><td>{escape(_listed(check.without, language))}</td><td class=number>{check.exact:.1f}</td>"
        f"<td class=number>{check.guessed:.1f}</td></tr>"
        for check in attribution.checks
    )
    exact = _say("exact", language, unit=unit(attribution, language))
    head = "".join(f"<th>{name}</th>" for name in (_say("without", language), exact, _say("guessed", language)))
    return (
        f'<details><summary class="quiet">{_say("checks", language)}</summary>'
        + _wide(f"<table><tr class=quiet>{head}</tr>{rows}</table>", _say("checks", language))
        + "</details>"
    )


def _foot(attribution: Attribution, language: Language) -> str:
    scorer = _say(f"by {attribution.scorer}", language)
    rows, scored = attribution.num_rows, attribution.num_scored
    guessed = _say("guessed rows", language, scored=scored) if 0 < scored < rows else ""
    return _say("foot", language, scorer=scorer, rows=rows, guessed=guessed, seconds=attribution.seconds)
