"""A chat as a file that the visitor keeps: Markdown, JSON, or a report of one HTML page with the explanation."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from genrec.schema import Attribution, Item, Language, Reply
from genrec.text import plain
from genrec.ui import render
from genrec.ui.session import Session
from genrec.ui.style import CSS
from genrec.ui.texts import say

_TYPES = {"md": "text/markdown", "json": "application/json", "html": "text/html"}
_PAGE_CSS = """
body {font: 16px/1.6 system-ui, "Noto Sans SC", "PingFang SC", sans-serif; max-width: 760px; margin: 40px auto; padding: 0 16px; color: #1f2937; background: #fff}
blockquote {margin: 24px 0 8px; padding: 8px 16px; border-left: 4px solid #4338ca; background: #eef2ff; white-space: pre-wrap}
"""


def file(session: Session, kind: str, attribution: Attribution | None = None) -> dict[str, str]:
    """The chat as {name, type, text}; `kind` is md, json or html. `attribution` explains the last reply.

    Raises:
        KeyError: another kind.
    """
    write = {"md": markdown, "json": as_json, "html": report}[kind]
    return {"name": f"genrec.{kind}", "type": f"{_TYPES[kind]};charset=utf-8", "text": write(session, attribution)}


def markdown(session: Session, attribution: Attribution | None = None) -> str:
    """The chat to read; the words that counted most for the last reply, once they were asked for, stand below it."""
    lines = ["# GenRec", ""]
    for message, reply in _said(session):
        lines += [*(f"> {line}" for line in message.splitlines()), ""]
        lines += [reply.text.strip(), ""] if reply.text else []
        lines += [f"*{reply.notice}*", ""] if reply.notice else []
        lines += [f"- {_described(item, reply.language)}" for item in reply.items]
        lines += [""] if reply.items else []
    if attribution:
        lines += [f"## {say('why', session.interface)}", ""]
        top = sorted((one for one in attribution.whole if one.is_certain), key=lambda one: -abs(one.score))[:10]
        lines += [f"- {one.word.text}: {one.score:+.2f} ± {one.error:.2f} nats" for one in top]
        lines += ["", f"fit {attribution.fit:.2f}, {attribution.num_rows} rows", ""]
    return "\n".join(lines)


def as_json(session: Session, attribution: Attribution | None = None) -> str:
    """The chat for programs: messages, replies, items, what was withheld, how it was drawn, and the word scores."""
    exchanges: list[dict[str, Any]] = []
    for message, reply in _said(session):
        exchanges.append(
            {
                "message": message,
                "reply": plain(reply.text),
                "language": reply.language,
                "status": reply.status,
                "notice": reply.notice,
                "items": [
                    {"id": item.id, "title": item.title_in(reply.language), "kind": item.kind, "year": item.year}
                    for item in reply.items
                ],
                "withheld": [{"category": one.category, "score": one.score} for one in reply.withheld],
                "model": reply.model,
                "temperature": reply.sampling.temperature,
                "top_p": reply.sampling.top_p,
                "seed": reply.sampling.seed,
            }
        )
    whole: dict[str, Any] = {"exchanges": exchanges}
    if attribution:
        whole["explanation"] = {
            "fit": attribution.fit,
            "words": [
                {
                    "word": one.word.text,
                    "start": one.word.start,
                    "end": one.word.end,
                    "score": one.score,
                    "error": one.error,
                }
                for one in attribution.whole
            ],
        }
    return json.dumps(whole, ensure_ascii=False, indent=2)


def report(session: Session, attribution: Attribution | None = None) -> str:
    """One page that needs nothing else: the chat, its items, and the explanation of the last reply as it stood on the screen."""
    blocks = []
    for message, reply in _said(session):
        blocks.append(f"<blockquote>{escape(message)}</blockquote>")
        blocks.append(f"<p>{render.prose(reply.text.strip())}</p>" if reply.text else "")
        if reply.notice:
            blocks.append(f'<p class="genrec-quiet">{escape(reply.notice)}</p>')
        if reply.items:
            items = "".join(f"<li>{escape(_described(item, reply.language))}</li>" for item in reply.items)
            blocks.append(f"<ul>{items}</ul>")
    if attribution and session.reply:
        blocks.append(
            f"<h2>{say('why', session.interface)}</h2>{render.explanation(attribution, session.reply, session.interface)}"
        )
    return (
        f'<!doctype html><html lang="{session.interface}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>GenRec</title><style>{CSS}{_PAGE_CSS}</style></head><body><h1>GenRec</h1>{''.join(blocks)}</body></html>"
    )


def _said(session: Session) -> list[tuple[str, Reply]]:
    return [(one.message, one.reply) for one in session.finished().exchanges if one.reply is not None]


def _described(item: Item, language: Language) -> str:
    facts = [str(item.year) if item.year is not None else "", item.creator_in(language)]
    return " · ".join([item.title_in(language), *(fact for fact in facts if fact)])
