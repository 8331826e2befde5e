"""The browser app: a chat, the items it names, why it named them, and the controls. Raw Blocks.

Each visitor's conversation lives in his own `gr.State`; it is never parsed back from what the chat shows. A message goes in two steps:
the first, outside the queue, shows it and locks the input, so that nothing typed meanwhile is lost; the second streams.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from genrec.assistant import Assistant
from genrec.errors import GenrecError, InputError, StoreError
from genrec.schema import Conversation, Reply, Sampling
from genrec.settings import Settings
from genrec.ui import render

_MIN_INTERVAL_S = 0.05  # between updates to the browser
_EXAMPLES = [
    "I love slow-burn science fiction and moody jazz",
    "A cosy board game for two, not too long",
    "Somewhere by the sea that isn't touristy",
    "我喜欢慢热的科幻片，不要恐怖片",
    "想学一道半小时能做好的素菜",
]
_CSS = """
.genrec-card {border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 8px 12px; margin-bottom: 8px}
.genrec-title {font-weight: 600} .genrec-mark {color: #15803d} .dark .genrec-mark {color: #4ade80}
.genrec-facts, .genrec-quiet {color: var(--body-text-color-subdued); font-size: .9em}
.genrec-chip {display: inline-block; border: 1px solid var(--border-color-primary); border-radius: 99px; padding: 0 8px; margin: 4px 4px 0 0; font-size: .85em}
.genrec-words {line-height: 2; font-size: 1.05em}
.genrec-up, .genrec-down {padding: 1px 3px; border-radius: 4px}
.genrec-up {background: rgb(22 163 74 / calc(var(--strength) * .45)); text-decoration: underline; text-underline-offset: 3px}
.genrec-down {background: rgb(220 38 38 / calc(var(--strength) * .45)); text-decoration: line-through}
.genrec-badge {border-radius: 99px; padding: 2px 10px; font-size: .85em; color: #fff; background: #166534} .genrec-badge.weak {background: #92400e}
.genrec-bar {display: flex; align-items: center; gap: 8px; font-size: .9em; margin: 2px 0}
.genrec-bar span {flex: 0 0 30%; overflow: hidden; text-overflow: ellipsis} .genrec-bar i {height: 10px; border-radius: 5px} .genrec-bar i.up {background: #16a34a} .genrec-bar i.down {background: #dc2626}
.genrec-sentences summary {cursor: pointer; padding: 3px 0}
#genrec-status {font-size: .85em; color: var(--body-text-color-subdued)}
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One visitor's chat: the conversation, and the last exchange with the conversation it was said in."""

    conversation: Conversation
    before: Conversation
    message: str = ""
    reply: Reply | None = None
    tone: str = "warm"


def new_session() -> Session:
    conversation = Conversation(user_id=uuid.uuid4().hex)
    return Session(conversation, conversation)


def chat_rows(session: Session, pending: str = "") -> list[dict[str, Any]]:
    """What the chat shows: the turns so far, and a message that is being answered."""
    rows = [_row(turn.role, turn.text) for turn in session.conversation.turns]
    return [*rows, _row("user", pending)] if pending else rows


def _row(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text or "…"}]}


def _reply_row(reply: Reply) -> dict[str, Any]:
    text = reply.text
    if reply.notice and reply.status != "writing":
        text = f"{text}\n\n*{reply.notice}*" if text else reply.notice
    return _row("assistant", text)


class Handlers:
    """What the app does on each event; plain methods, tested without a browser."""

    def __init__(self, assistant: Assistant):
        self._assistant = assistant

    def take(self, message: str, session: Session):
        """Shows the message and locks the input. First step of a submit."""
        if not message.strip():
            raise gr.Error("Type what you like first; a few words are enough.", duration=5, print_exception=False)
        return (
            chat_rows(session, message),
            gr.update(value="", interactive=False),
            message,
            gr.update(visible=False),
            gr.update(visible=True),
        )

    def answer(
        self,
        message: str,
        session: Session,
        temperature: float,
        top_p: float,
        top_k: int,
        length: int,
        seed: str,
        tone: str,
        language: str,
    ) -> Iterator[tuple]:
        """Streams the reply. Second step of a submit. Yields (chat, session, status, cards)."""
        sampling = Sampling(
            temperature=temperature,
            top_p=top_p,
            top_k=int(top_k),
            max_new_tokens=int(length),
            seed=int(seed) if str(seed).strip().isdecimal() else None,
        )
        wanted = {"English": "en", "中文": "zh"}.get(language)
        before, rows = session.conversation, chat_rows(session, message)
        last_update, reply = 0.0, Reply()
        try:
            with closing(self._assistant.reply(before, message, sampling, language=wanted, tone=tone)) as snapshots:  # type: ignore[arg-type]
                for reply in snapshots:
                    now = time.monotonic()
                    if reply.status == "writing" and now - last_update < _MIN_INTERVAL_S:
                        continue
                    last_update = now
                    conversation = reply.conversation if reply.status != "writing" else before
                    session = Session(conversation, before, message, reply, tone)
                    yield (
                        [*rows, _reply_row(reply)],
                        session,
                        render.status_line(reply),
                        render.cards(reply.items, reply),
                    )
        except InputError as error:
            yield [*rows, _row("assistant", str(error))], session, str(error), ""
        except Exception:  # the outermost border: the visitor gets an apology, the log the trace without his words
            _log.exception("a reply failed")
            yield (
                [*rows, _row("assistant", "Something went wrong on our side. Your message is kept; please try again.")],
                session,
                "Interrupted",
                "",
            )

    def stop(self, session: Session):
        """Keeps what was written when the visitor pressed Stop."""
        reply = session.reply
        if reply is None or reply.status != "writing":
            return session, gr.skip(), gr.skip()
        stopped = replace(reply, status="stopped")
        conversation = self._assistant.keep_partial(session.before, session.message, stopped)
        session = replace(session, conversation=conversation, reply=replace(stopped, conversation=conversation))
        return session, chat_rows(session), render.status_line(stopped)

    def unlock(self):
        return gr.update(interactive=True), gr.update(visible=True), gr.update(visible=False)

    def retry(self, session: Session):
        """Takes the last exchange back, so that its message is answered again."""
        if not session.message:
            raise gr.Error("There is no message to answer again yet.", duration=5, print_exception=False)
        session = replace(session, conversation=session.before)
        return session, *self.take(session.message, session)

    def explain(self, session: Session, num_rows: int, progress=gr.Progress()):
        """The panel that says which words led to the last reply."""
        if session.reply is None or not session.reply.text:
            raise gr.Error(
                "Ask for a recommendation first; then I can show which of your words led to it.",
                duration=6,
                print_exception=False,
            )
        try:
            attribution = self._assistant.explain(
                session.before,
                session.message,
                session.reply,
                num_rows=int(num_rows),
                tone=session.tone,
                on_progress=lambda share: progress(share, desc="Leaving words out"),
            )
        except GenrecError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return render.explanation(attribution, session.reply)

    def rate(self, session: Session, event: gr.LikeData) -> Session:
        """Keeps a thumb for every item that the rated reply named."""
        index = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        turns = session.conversation.turns
        if (
            not isinstance(index, int)
            or index >= len(turns)
            or not turns[index].item_ids
            or not isinstance(event.liked, (bool, str))
        ):
            return session
        is_like = event.liked is True or event.liked == "Like"
        conversation = session.conversation
        try:
            for item_id in turns[index].item_ids:
                conversation = self._assistant.rate(conversation, item_id, "like" if is_like else "dislike")
        except StoreError as error:
            raise gr.Error(str(error), print_exception=False) from error
        gr.Info(
            "Noted: more like this." if is_like else "Noted: it won't come again, and things like it less.", duration=3
        )
        return replace(session, conversation=conversation)


def build(assistant: Assistant, settings: Settings) -> gr.Blocks:
    """The app for one assistant."""
    handlers, info = Handlers(assistant), assistant.engine.describe()
    with gr.Blocks(title="GenRec", analytics_enabled=False, fill_height=True) as app:
        session = gr.State(new_session, time_to_live=6 * 3600)
        message = gr.State("")
        gr.Markdown(
            f"# GenRec\nSay in your own words what you like. A language model writes you a recommendation. · **{info.model}** on {info.device}"
        )
        if assistant.notice:
            gr.Markdown(f"⚠️ {assistant.notice}", elem_id="genrec-notice")
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=340):
                chat = gr.Chatbot(
                    elem_id="genrec-chat", height="58vh", min_height=320, show_label=False, buttons=["copy"], latex_delimiters=[], allow_tags=False,
                    placeholder="**What do you feel like?**\n\nA mood, an evening, a film you loved, two people's tastes: anything.",
                    feedback_options=("Like", "Dislike"), layout="bubble",
                )  # fmt: skip
                with gr.Row():
                    box = gr.Textbox(
                        show_label=False,
                        label="Your message",
                        placeholder="I love slow-burn science fiction and moody jazz …",
                        scale=5,
                        autofocus=True,
                        max_length=100_000,
                        lines=1,
                        max_lines=4,
                        elem_id="genrec-box",
                    )
                    send = gr.Button("Send", variant="primary", scale=1, min_width=80, elem_id="genrec-send")
                    stop = gr.Button(
                        "Stop", variant="stop", scale=1, min_width=80, visible=False, elem_id="genrec-stop"
                    )
                status = gr.Markdown("Ready", elem_id="genrec-status")
                gr.Examples(
                    [[text] for text in _EXAMPLES], inputs=box, label="Try one of these", elem_id="genrec-examples"
                )
            with gr.Column(scale=2, min_width=300):
                gr.Markdown("### Recommended")
                cards = gr.HTML(render.cards([], Reply()), elem_id="genrec-cards")
                gr.Markdown("### Why this?")
                why = gr.Button("Show which of my words led to it", elem_id="genrec-why")
                panel = gr.HTML("", elem_id="genrec-explanation")
                with gr.Accordion("How it writes", open=False):
                    temperature = gr.Slider(
                        0,
                        1.5,
                        Sampling().temperature,
                        step=0.05,
                        label="Temperature",
                        info="0 always takes the likeliest word; higher is bolder",
                    )
                    top_p = gr.Slider(
                        0.05,
                        1,
                        Sampling().top_p,
                        step=0.05,
                        label="Top-p",
                        info="draw from the likeliest words that make up this share",
                    )
                    top_k = gr.Slider(
                        0, 200, 0, step=1, label="Top-k", info="draw from at most this many words; 0 means no limit"
                    )
                    length = gr.Slider(40, 400, Sampling().max_new_tokens, step=10, label="Longest reply (tokens)")
                    seed = gr.Textbox(
                        "",
                        label="Seed",
                        info="the same seed writes the same reply; empty draws a new one",
                        max_length=12,
                    )
                    tone = gr.Dropdown(["warm", "brief", "playful", "formal"], value="warm", label="Tone")
                    language = gr.Radio(
                        ["as I write", "English", "中文"], value="as I write", label="Language of the reply"
                    )
                    rows = gr.Slider(
                        16, 128, 32, step=16, label="Tries for an explanation", info="more is slower and surer"
                    )
                fresh = gr.Button("New chat", elem_id="genrec-new")

        taken = [chat, box, message, send, stop]
        controls = [message, session, temperature, top_p, top_k, length, seed, tone, language]
        shown = [chat, session, status, cards]
        limit: dict[str, Any] = {"concurrency_limit": settings.concurrency, "concurrency_id": "model"}
        answers = []
        for trigger, inputs in ((box.submit, [box, session]), (send.click, [box, session])):
            step = trigger(handlers.take, inputs, taken, queue=False, api_visibility="private")
            answer = step.success(handlers.answer, controls, shown, api_visibility="private", **limit)
            answer.then(handlers.unlock, None, [box, send, stop], queue=False, api_visibility="private")
            answers.append(answer)
        again = chat.retry(handlers.retry, session, [session, *taken], queue=False, api_visibility="private")
        answer = again.success(handlers.answer, controls, shown, api_visibility="private", **limit)
        answer.then(handlers.unlock, None, [box, send, stop], queue=False, api_visibility="private")
        answers.append(answer)
        stop.click(
            handlers.stop, session, [session, chat, status], cancels=answers, queue=False, api_visibility="private"
        ).then(handlers.unlock, None, [box, send, stop], queue=False, api_visibility="private")
        why.click(handlers.explain, [session, rows], panel, api_visibility="private", **limit)
        chat.like(handlers.rate, session, session, api_visibility="private")
        fresh.click(
            lambda: (new_session(), [], "Ready", render.cards([], Reply()), ""),
            None,
            [session, chat, status, cards, panel],
            cancels=answers,
            queue=False,
            api_visibility="private",
        ).then(handlers.unlock, None, [box, send, stop], queue=False, api_visibility="private")
    app.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return app


def launch(assistant: Assistant, settings: Settings, *, is_blocking: bool = True):
    """Serves the app; returns gradio's (app, local address, share address)."""
    app = build(assistant, settings)
    return app.launch(
        server_name=settings.host, server_port=settings.port, theme=gr.themes.Soft(), css=_CSS, footer_links=[], run_history=False, enable_monitoring=False,
        show_error=False, share=False, quiet=False, prevent_thread_lock=not is_blocking,
    )  # fmt: skip
