"""Turns replies, candidates, profiles and attributions into safe HTML. Pure functions; every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from genrec import report
from genrec.catalogue import Catalogue
from genrec.engines import EngineInfo
from genrec.errors import GenrecError
from genrec.explaining import Token
from genrec.load import BUNDLED
from genrec.onboarding import Question
from genrec.safety.screen import BLOCK_MESSAGE
from genrec.safety.toxicity import TOXICITY
from genrec.schema import Attribution, Constraint, Item, Language, Profile, Reply
from genrec.text import plain
from genrec.ui.catalogues import MAX_BYTES, MAX_ITEMS
from genrec.ui.texts import CATEGORIES, EXAMPLES, FEATURES, REASONS, SAID, say
from genrec.vocabulary import Vocabulary

_NUM_LEAST_SURE = 6
_NUM_PARTS = 3  # of a candidate's score that are told
_KIND_ICONS = {
    "film": "🎬", "series": "📺", "book": "📖", "album": "🎧", "game": "🎲", "place": "🧭", "dish": "🍲", "course": "🎓", "activity": "🌿", "product": "🎁",
}  # fmt: skip
_RATINGS = (("like", "👍"), ("dislike", "👎"), ("seen", "✓"))


def header(language: Language, info: EngineInfo | None) -> str:
    """The name, what it does, which model writes (None while it is being loaded), and the page's own buttons."""
    if info is None:
        model = f'<span class="genrec-model is-loading">{say("loading", language)}</span>'
    else:
        told = say("model_on", language, model_name(info.model, language), info.device.replace("cpu", "CPU"))
        model = f'<span class="genrec-model">{escape(told)}</span>'
    languages = "".join(
        f'<button type="button" class="genrec-button" data-lang="{code}" lang="{code}" aria-pressed="{str(code == language).lower()}">{name}</button>'
        for code, name in (("en", "EN"), ("zh", "中文"))
    )
    return (
        f'<div class="genrec-head"><h1>Gen<span>Rec</span></h1><p>{say("tagline", language)}</p><div class="genrec-tools">{model}'
        f'<span role="group" class="genrec-languages" aria-label="{say("language_of_page", language)}">{languages}</span>'
        f'<button type="button" class="genrec-button" data-theme="1" title="{say("theme", language)}" aria-label="{say("theme", language)}">◐</button>'
        f'<button type="button" class="genrec-button" data-share="{say("shared", language)}" title="{say("share_hint", language)}">{say("share", language)}</button>'
        f'<span role="status" class="genrec-hide"></span></div></div>'
    )


def both(write: Callable[[Language], str]) -> str:
    """Something in both languages, of which the page shows its own: for what stands there before anybody knows which that is."""
    return f'<div class="genrec-in-en">{write("en")}</div><div class="genrec-in-zh">{write("zh")}</div>'


def starter(language: Language, questions: Sequence[Question] = (), *, has_examples: bool = True) -> str:
    """The cold start: quick choices that make a message, and examples that are sent by a press. Before the catalogue is read there are no choices, but
    their place is kept."""
    groups = []
    for question in questions:
        buttons = "".join(
            f'<button type="button" class="genrec-button" data-pick="{question.about}" data-value="{escape(choice.words)}" aria-pressed="false">{escape(choice.label)}</button>'
            for choice in question.choices
        )
        groups.append(
            f'<div class="genrec-group" role="group" aria-label="{question.text}"><b aria-hidden="true">{say(f"pick_{question.about}", language)}</b>{buttons}</div>'
        )
    examples = "".join(
        f'<li><button type="button" data-act="ask:{place}">{escape(text)}</button></li>'
        for place, text in enumerate(EXAMPLES[language])
    )
    if has_examples:
        examples = f'<h3>{say("examples", language)}</h3><ul class="genrec-examples">{examples}</ul>'
    return (
        f'<section class="genrec-starter"><h2>{say("what", language)}</h2><p>{say("what_more", language)}</p>'
        f'<div class="genrec-picks">{"".join(groups)}</div>{examples if has_examples else ""}</section>'
    )


def status_line(reply: Reply, language: Language = "en") -> str:
    """One line of numbers under the chat."""
    if reply.status == "writing":
        return say("writing" if reply.text else "checking", language)
    parts = [say(reply.status, language)]
    if reply.num_tokens:
        rate = reply.num_tokens / max(reply.seconds, 1e-6)
        parts += [
            say("tokens", language, reply.num_tokens),
            say("rate", language, rate),
            say("first_sentence", language, reply.first_sentence_s),
            say("seed", language, reply.sampling.seed),
        ]
    if reply.withheld:
        names = dict.fromkeys(say(one.category, language, table=CATEGORIES) for one in reply.withheld)
        parts.append(say("num_withheld", language, len(reply.withheld), ", ".join(names)))
    return " · ".join(parts)


def cards(
    items: Sequence[Item],
    reply: Reply,
    vocabulary: Vocabulary,
    *,
    interface: Language = "en",
    ratings: Mapping[str, frozenset[str]] | None = None,
) -> str:
    """The items a reply names, as cards with their facts, the visitor's words that they answer, and buttons to rate them; "" for none."""
    if not items:
        return ""
    fits = {candidate.item.id: candidate.fits for candidate in reply.candidates}
    language = reply.language
    blocks = []
    for item in items:
        kind, country = vocabulary.translate(item.kind, language), vocabulary.translate(item.country, language)
        facts = [kind, str(item.year) if item.year is not None else "", item.creator_in(language), country]
        answers = "".join(f'<span class="genrec-chip">{escape(wish)}</span>' for wish in fits.get(item.id, ()))
        if answers:
            answers = (
                f'<div class="genrec-fits"><span class="genrec-quiet">{say("answers", interface)}</span>{answers}</div>'
            )
        title = escape(item.title_in(language))
        pressed = (ratings or {}).get(item.id, frozenset())
        buttons = "".join(
            f'<button type="button" class="genrec-button" data-act="{rating}:{escape(item.id)}" aria-pressed="{str(rating in pressed).lower()}" '
            f'aria-label="{say(rating, interface)}: {title}"><span aria-hidden="true">{icon}</span> {say(rating, interface)}</button>'
            for rating, icon in _RATINGS
        )
        blocks.append(
            f'<li class="genrec-card"><div class="genrec-title">{_KIND_ICONS.get(item.kind, "•")} {title} '
            f'<span class="genrec-mark" role="img" title="{say("verified", interface)}" aria-label="{say("verified", interface)}">✓</span></div>'
            f'<div class="genrec-facts">{escape(" · ".join(fact for fact in facts if fact))}</div>{answers}'
            f'<div class="genrec-rate">{buttons}</div></li>'
        )
    return f'<ul class="genrec-cards" aria-label="{say("recommended", interface)}">{"".join(blocks)}</ul>'


def actions(language: Language, *, shown: int, num_versions: int) -> str:
    """What can be done after a reply: go on with it, have it written again, leaf through its versions, take it back, export it."""

    def button(act: str, text: str, more: str = "") -> str:
        return f'<button type="button" class="genrec-button" data-act="{act}"{more}>{text}</button>'

    goes_on = "".join(button(f"say:{key}", say(key, language)) for key in SAID)
    versions = ""
    if num_versions > 1:
        back = ' disabled aria-label="{}"' if shown == 0 else ' aria-label="{}"'
        on = ' disabled aria-label="{}"' if shown == num_versions - 1 else ' aria-label="{}"'
        versions = (
            button("version:-1", "‹", back.format(say("previous", language)))
            + f'<span class="genrec-quiet" id="genrec-version">{shown + 1}/{num_versions}</span>'
            + button("version:1", "›", on.format(say("next", language)))
        )
    exports = "".join(
        button(f"export:{kind}", text)
        for kind, text in (("md", "Markdown"), ("json", "JSON"), ("html", say("export_html", language)))
    )
    return (
        f'<div class="genrec-actions"><div class="genrec-group" role="group" aria-label="{say("goes_on", language)}">{goes_on}</div>'
        f'<div class="genrec-group" role="group" aria-label="{say("this_reply", language)}">{versions}{button("retry", "↻ " + say("retry", language))}'
        f'{button("undo", "↶ " + say("undo", language))}<details class="genrec-menu"><summary class="genrec-button">{say("export", language)} ▾</summary>'
        f"<div>{exports}</div></details></div></div>"
    )


def interests(profile: Profile, items: Mapping[str, Item], vocabulary: Vocabulary | None, language: Language) -> str:
    """The profile as chips that forget what they say when they are pressed. `items` by id."""

    def named(ids: Sequence[str]) -> list[tuple[str, str]]:
        return [(id, items[id].title_in(language)) for id in ids if id in items]

    groups = (
        ("wants", "interests", [(one.text, one.text) for one in profile.likes]),
        ("avoids", "interests", [(one.text, one.text) for one in profile.dislikes]),
        ("conditions", "constraints", [(told(one), told(one)) for one in profile.constraints]),
        (
            "kinds",
            "kinds",
            [(kind, vocabulary.translate(kind, language) if vocabulary else kind) for kind in profile.kinds],
        ),
        ("liked", "liked", named(profile.liked)),
        ("disliked", "disliked", named(profile.disliked)),
        ("seen_items", "seen", named(profile.seen)),
    )
    blocks = []
    for name, group, entries in groups:
        if not entries:
            continue
        chips = "".join(
            f'<button type="button" class="genrec-chip" data-act="forget:{group}:{escape(key)}" '
            f'aria-label="{say("forget", language)}: {escape(text)}">{escape(text)} <span aria-hidden="true">×</span></button>'
            for key, text in entries
        )
        blocks.append(
            f'<h2>{say(name, language)}</h2><div class="genrec-group" role="group" aria-label="{say(name, language)}">{chips}</div>'
        )
    if not blocks:
        return _panel(f'<p class="genrec-quiet">{say("interests_hint", language)}</p>')
    return _panel(f'<p class="genrec-quiet">{say("understood", language)}</p>{"".join(blocks)}')


def told(constraint: Constraint) -> str:
    """A condition in the visitor's words, or as a formula where it has none of his."""
    return constraint.text or f"{constraint.field} {constraint.op} {constraint.value}"


def safety(message: str, reply: Reply | None, language: Language) -> str:
    """The scores of the message and of each sentence against their thresholds, and what was withheld and why."""
    if reply is None:
        return _panel(f'<p class="genrec-quiet">{say("safety_hint", language)}</p>')
    rows = [_meter(message, reply.message_toxicity, BLOCK_MESSAGE, say("your_message", language))]
    rows += [_meter(plain(one.text).strip(), one.toxicity, TOXICITY) for one in reply.sentences]
    withheld = "".join(
        f"<li><b>{escape(say(one.category, language, table=CATEGORIES))}</b>"
        f"{': ' + say(one.category, language, table=REASONS) if one.category in REASONS else f' <code>{one.score:.2f}</code>'}</li>"
        for one in reply.withheld
    )
    if withheld:
        withheld = f'<h2>{say("were_withheld", language)}</h2><ul>{withheld}</ul><p class="genrec-quiet">{say("rewritten", language)}</p>'
        if any(one.category not in REASONS for one in reply.withheld):
            buttons = "".join(
                f'<button type="button" class="genrec-button" data-act="{act}">{say(act, language)}</button>'
                for act in ("wrong", "wrong_with")
            )
            withheld += f'<div class="genrec-group" role="group">{buttons}</div>'
    else:
        withheld = f'<p class="genrec-quiet">{say("none_withheld", language)}</p>'
    return _panel(f'<p class="genrec-quiet">{say("probability", language)}</p>{"".join(rows)}{withheld}')


def _meter(text: str, score: float, threshold: float, label: str = "") -> str:
    shortened = text if len(text) <= 120 else text[:119] + "…"
    name = f"<b>{label}</b>: {escape(shortened)}" if label else escape(shortened)
    return (
        f'<div class="genrec-score"><span>{name}</span><code>{score:.3f}</code></div>'
        f'<div class="genrec-meter{" over" if score >= threshold else ""}" role="img" aria-label="{score:.3f} / {threshold}">'
        f'<i style="width:{min(1.0, score):.1%}"></i><b style="left:{threshold:.0%}"></b></div>'
    )


def trace(
    reply: Reply | None,
    language: Language,
    vocabulary: Vocabulary | None,
    *,
    can_score: bool = False,
    tokens: Sequence[Token] = (),
) -> str:
    """What was found, with scores, and what the model read. `tokens` are the pieces of the reply."""
    if reply is None:
        return _panel(f'<p class="genrec-quiet">{say("trace_hint", language)}</p>')
    named = {item.id for item in reply.items}
    rows = []
    for place, one in enumerate(reply.candidates, 1):
        strongest = sorted(one.parts.items(), key=lambda part: -abs(part[1]))[:_NUM_PARTS]
        parts = ("，" if language == "zh" else ", ").join(
            f"{say(name, language, table=FEATURES)} {value:.2f}" for name, value in strongest if value
        )
        kind = vocabulary.translate(one.item.kind, language) if vocabulary else one.item.kind
        mark = (
            f' <span class="genrec-mark" role="img" aria-label="{say("in_reply", language)}">●</span>'
            if one.item.id in named
            else ""
        )
        rows.append(
            f"<tr><td>{place}</td><td>{escape(one.item.title_in(reply.language))}{mark}</td><td>{escape(kind)}</td>"
            f"<td>{one.score:.2f}</td><td>{escape(parts)}</td></tr>"
        )
    table = ""
    if rows:
        heads = "".join(
            f'<th scope="col">{text}</th>'
            for text in ("#", *(say(key, language) for key in ("title", "kind", "score", "parts")))
        )
        table = (
            f'<h2>{say("candidates", language)}</h2><div class="genrec-scroll" tabindex="0" role="region" aria-label="{say("candidates", language)}">'
            f'<table class="genrec-table"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )
    prompt = "".join(
        f'<div class="genrec-prompt"><b>{escape(message["role"])}</b>\n{escape(message["content"])}</div>'
        for message in reply.messages
    )
    if prompt:
        prompt = f"<details><summary>{say('prompt', language)}</summary>{prompt}</details>"
    settings = f'<p class="genrec-quiet">{escape(drawn_with(reply, say("drawn_with", language), language))}</p>'
    pieces = ""
    if tokens:
        coloured = "".join(
            f'<span class="genrec-token" style="--p:{one.share:.2f}" title="{escape(_told_of(one, language))}">{escape(plain(one.text))}</span>'
            for one in tokens
        )
        pieces = f'<p class="genrec-words" id="genrec-tokens">{coloured}</p><p class="genrec-quiet">{say("probabilities_hint", language)}</p>{_least_sure(tokens, language)}'
    elif can_score and reply.text and reply.messages:
        pieces = f'<button type="button" class="genrec-button" data-act="probabilities">{say("probabilities", language)}</button>'
    return _panel(table + pieces + prompt + settings)


def _told_of(token: Token, language: Language) -> str:
    """A token's probability, and what might have stood there."""
    return " | ".join(filter(None, (f"{token.share:.1%}", _likeliest(token, language))))


def _likeliest(token: Token, language: Language) -> str:
    """What might have stood in a token's place; "" where the model does not tell."""
    told = [(text.strip(), share) for text, share in token.choice.likeliest] if token.choice else []
    named = [(say("begins_title", language) if text == "**" else text, share) for text, share in told if text]
    return ", ".join(f"{text} {share:.0%}" for text, share in named)


def _least_sure(tokens: Sequence[Token], language: Language) -> str:
    """The places of highest entropy as a table, with what stands there and what else might have."""
    told = [(place, one) for place, one in enumerate(tokens) if one.choice]
    told = sorted(told, key=lambda entry: -entry[1].choice.entropy if entry[1].choice else 0.0)[:_NUM_LEAST_SURE]
    if not told:
        return ""
    rows = "".join(
        f"<tr><td>{escape(plain(''.join(one.text for one in tokens[max(0, place - 3) : place])))}<b>{escape(plain(token.text))}</b></td><td>{token.share:.0%}</td>"
        f"<td>{token.choice.entropy if token.choice else 0.0:.2f}</td><td>{escape(_likeliest(token, language))}</td></tr>"
        for place, token in told
    )
    heads = "".join(
        f'<th scope="col">{text}</th>'
        for text in (say("written", language), "%", say("entropy", language), say("likeliest", language))
    )
    return f'<h2>{say("least_sure", language)}</h2><table class="genrec-table" id="genrec-least-sure"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def history(chats: Sequence[Mapping[str, Any]], query: str, language: Language) -> str:
    """The chats kept in the browser that hold the words searched for, newest first."""
    wanted = query.casefold().split()

    def holds(chat: Mapping[str, Any]) -> bool:
        text = " ".join(
            f"{one.get('message', '')} {one.get('text', '')}" for one in chat.get("exchanges", ())
        ).casefold()
        return all(word in text for word in wanted)

    entries = "".join(
        f'<li><button type="button" data-act="open:{escape(str(chat.get("id", "")))}">{escape(str(chat.get("title", "")))}</button></li>'
        for chat in chats
        if holds(chat)
    )
    if not entries:
        return f'<p class="genrec-quiet">{say("no_history", language)}</p>'
    return f'<ul class="genrec-chats" aria-label="{say("history", language)}">{entries}</ul>'


def catalogue(name: str, read: Catalogue, language: Language) -> str:
    """What was read of a table: how many items, what its columns are taken for, and what was left out, by line."""
    facts = ", ".join(f"{column} ({kind})" for column, kind in read.columns.attributes.items())
    blocks = [
        f"<p><b>{escape(say('catalogue_read', language, name, len(read.items)))}</b></p>",
        f"<p>{say('catalogue_check', language)}</p>",
        f'<p class="genrec-quiet">{say("catalogue_facts", language)}: {escape(facts)}</p>' if facts else "",
    ]
    for key, found in (("catalogue_left_out", read.left_out), ("catalogue_cleaned", read.cleaned)):
        if found.total:
            told = found.chinese if language == "zh" else found.lines
            lines = "".join(f"<li>{escape(line)}</li>" for line in told)
            more = found.total - len(found.lines)
            lines += f"<li>{say('catalogue_more', language, more)}</li>" if more else ""
            blocks.append(f"<details><summary>{say(key, language, found.total)}</summary><ul>{lines}</ul></details>")
    return _panel("".join(blocks))


def catalogue_in_use(name: str, num_items: int, language: Language) -> str:
    limits = say("catalogue_own", language, MAX_BYTES // 2**20, MAX_ITEMS)
    name = name or say("catalogue_bundled", language)
    return _panel(
        f'<p role="status">{escape(say("catalogue_now", language, name, num_items))}</p><p class="genrec-quiet">{limits}</p>'
    )


def failed(error: GenrecError, language: Language) -> str:
    """What went wrong, where it is to be read."""
    told = error.chinese if language == "zh" else str(error)
    return _panel(f'<p role="alert" class="genrec-alert">{escape(told)}</p>')


def comparison(
    message: str, replies: Sequence[Reply | None], names: Sequence[str], language: Language, *, vote: str = ""
) -> str:
    """Two replies to a message side by side, with buttons to vote once both are whole; after the `vote` it is told what each was drawn with."""
    sides = []
    for letter, name, reply in zip("AB", names, replies, strict=True):
        text = f"<p>{prose(reply.text)}</p>" if reply and reply.text else ""
        if reply and reply.notice and reply.status != "writing":
            text += f'<p class="genrec-quiet">{escape(reply.notice)}</p>'
        drawn = f'<p class="genrec-quiet">{escape(drawn_with(reply, name, language))}</p>' if vote and reply else ""
        is_picked = (vote, letter) in (("first", "A"), ("second", "B"))
        sides.append(
            f'<article class="genrec-card{" is-picked" if is_picked else ""}" aria-label="{letter}" aria-busy="{str(not is_whole(reply)).lower()}">'
            f'<h3 class="genrec-title">{letter}{" ✓" if is_picked else ""}</h3>{text or "<p>…</p>"}{drawn}</article>'
        )
    end = ""
    if not vote and all(map(is_whole, replies)):
        buttons = "".join(
            f'<button type="button" class="genrec-button" data-act="vote:{better}">{say(f"vote_{better}", language)}</button>'
            for better in ("first", "second", "neither")
        )
        end = f'<div class="genrec-group" role="group" aria-label="{say("vote", language)}"><b>{say("vote", language)}</b>{buttons}</div>'
    return _panel(f'<h2>{escape(message)}</h2><div class="genrec-sides">{"".join(sides)}</div>{end}')


def is_whole(reply: Reply | None) -> bool:
    return reply is not None and reply.status != "writing"


def model_name(name: str, language: Language) -> str:
    """What a model is called on the page."""
    return say("bundled_writer", language) if name == BUNDLED else name


def drawn_with(reply: Reply, name: str, language: Language = "en") -> str:
    """How a reply was drawn, with what its setting is called."""
    drawn = reply.sampling
    numbers = (drawn.temperature, drawn.top_p, drawn.top_k, drawn.surprise, drawn.seed)
    colon = "：" if language == "zh" else ": "
    return f"{name}{colon}{say('drawn', language, *numbers, model_name(reply.model, language))}"


def prose(text: str) -> str:
    """A reply's text as HTML: titles bold, line breaks kept, everything else as it stands."""
    pieces = text.split("**")
    bold = (f"<b>{escape(piece)}</b>" if place % 2 else escape(piece) for place, piece in enumerate(pieces))
    return "".join(bold).replace("\n", "<br>")


def hint(key: str, language: Language) -> str:
    return _panel(f'<p class="genrec-quiet">{say(key, language)}</p>')


def _panel(html: str) -> str:
    return f'<div class="genrec-panel">{html}</div>'


def explaining(share: float, language: Language) -> str:
    """How far an explanation is."""
    told = say("leaving_out", language)
    return _panel(
        f'<p>{told}</p><progress class="genrec-progress" max="1" value="{share:.3f}" aria-label="{told}"></progress>'
    )


def explanation(attribution: Attribution, reply: Reply, language: Language) -> str:
    """The attribution as a panel in the language of the page, with its own style."""
    return report.explanation(attribution, reply, language)
