"""The browser app: a chat, the items it names, why it named them, and the controls. Raw Blocks.

Each visitor's conversation lives in his own `gr.State`; it is never parsed back from what the chat shows. A message goes in two steps:
the first, outside the queue, shows it and locks the input, so that nothing typed meanwhile is lost; the second streams. The page is served
while the models are still being loaded; a message sent by then waits for them.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, wait
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
_HEADER = "# GenRec\nSay in your own words what you like. A language model writes you a recommendation."
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
class Row:
    """A line of the chat as it was shown, and the items it names."""

    role: str
    text: str
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Session:
    """One visitor's chat. `rows` are the finished exchanges as shown, refusals and notices included; `message` and `reply` are
    the latest exchange, said in the conversation `before`; `conversation` has it taken in."""

    conversation: Conversation
    before: Conversation
    rows: tuple[Row, ...] = ()
    message: str = ""
    reply: Reply | None = None
    tone: str = "warm"

    def all_rows(self) -> list[Row]:
        """Everything that is on the screen."""
        rows = [*self.rows]
        if self.message:
            rows.append(Row("user", self.message))
        if self.reply is not None:
            rows.append(Row("assistant", _shown(self.reply), tuple(item.id for item in self.reply.items)))
        return rows


def new_session(user_id: str = "") -> Session:
    conversation = Conversation(user_id=user_id or uuid.uuid4().hex)
    return Session(conversation, conversation)


def chat_rows(session: Session) -> list[dict[str, Any]]:
    """What the Chatbot shows. Text goes in blocks: a plain string would be dedented, which shifts offsets."""
    return [{"role": row.role, "content": [{"type": "text", "text": row.text or "…"}]} for row in session.all_rows()]


def _shown(reply: Reply) -> str:
    if reply.notice and reply.status != "writing":
        return f"{reply.text}\n\n*{reply.notice}*" if reply.text else reply.notice
    return reply.text


class Handlers:
    """What the app does on each event; plain methods, tested without a browser."""

    def __init__(self, loading: Future[Assistant]):
        self._loading = loading

    @property
    def _assistant(self) -> Assistant:
        """The assistant, waited for while it is being loaded."""
        return self._loading.result()

    def readiness(self) -> tuple:
        """What tells a visitor whether the models are there: (header, notice, why button, clock that asks again)."""
        if not self._loading.done():
            return f"{_HEADER} · *loading the models …*", gr.update(), gr.update(interactive=False), gr.update()
        info, notice = self._assistant.engine.describe(), self._assistant.notice
        return (
            f"{_HEADER} · **{info.model}** on {info.device}",
            gr.update(value=f"⚠️ {notice}", visible=bool(notice)),
            gr.update(interactive=info.can_score),
            gr.update(active=False),
        )

    def take(self, message: str, session: Session):
        """Shows the message and locks the input. First step of a submit: (session, chat, box, send, stop, panel, status)."""
        if not message.strip():
            return self._nothing("Type what you like first; a few words are enough.")
        return self._begin(
            Session(session.conversation, session.conversation, tuple(session.all_rows()), message, tone=session.tone)
        )

    def retry(self, session: Session):
        """Takes the last exchange back, so that its message is answered again. First step, as `take`."""
        if not session.message:
            return self._nothing("There is no message to answer again yet.")
        return self._begin(replace(session, conversation=session.before, reply=None))

    @staticmethod
    def _nothing(hint: str):
        """A first step that begins nothing; the hint stands in the status line, as outside the queue no pop-up reaches the browser."""
        return *(gr.skip(),) * 6, hint

    @staticmethod
    def _begin(session: Session):
        box, send, stop = gr.update(value="", interactive=False), gr.update(visible=False), gr.update(visible=True)
        return session, chat_rows(session), box, send, stop, "", "Looking through the catalogue …"

    def answer(
        self,
        session: Session,
        temperature: float,
        top_p: float,
        top_k: int,
        length: int,
        seed: str,
        tone: str,
        language: str,
    ) -> Iterator[tuple]:
        """Streams the reply. Second step of a submit, which does nothing if the first began nothing. Yields (session, chat, status, cards)."""
        if not session.message or session.reply is not None:
            yield (gr.skip(),) * 4
            return
        if str(seed).strip() and not str(seed).strip().isdecimal():
            gr.Info("The seed is not a whole number, so a new one is drawn.", duration=5)
        sampling = Sampling(
            temperature=temperature,
            top_p=top_p,
            top_k=int(top_k),
            max_new_tokens=int(length),
            seed=int(seed) if str(seed).strip().isdecimal() else None,
        )
        wanted = {"English": "en", "中文": "zh"}.get(language)
        while not self._loading.done():  # in short waits, so that Stop is heard
            yield session, chat_rows(session), "Warming up: the models are being loaded, then you are next …", gr.skip()
            wait([self._loading], timeout=0.5)
        last_update = 0.0
        try:
            with closing(
                self._assistant.reply(session.before, session.message, sampling, language=wanted, tone=tone)  # type: ignore[arg-type]
            ) as snapshots:
                for reply in snapshots:
                    now = time.monotonic()
                    if reply.status == "writing" and now - last_update < _MIN_INTERVAL_S:
                        continue
                    last_update = now
                    session = replace(session, conversation=reply.conversation, reply=reply, tone=tone)
                    yield self._view(session)
        except InputError as error:
            yield self._view(replace(session, reply=Reply(status="refused", notice=str(error))))
        except Exception:  # the outermost border: the visitor gets an apology, the log the trace without his words
            _log.exception("a reply failed")
            sorry = "Something went wrong on our side. Your message is kept: press retry below it."
            yield self._view(replace(session, reply=Reply(status="lost", notice=sorry)))

    def _view(self, session: Session) -> tuple:
        reply = session.reply or Reply()
        return (
            session,
            chat_rows(session),
            render.status_line(reply),
            render.cards(reply.items, reply, self._assistant.vocabulary),
        )

    def stop(self, session: Session):
        """Keeps what was written when the visitor pressed Stop; a message that was not begun goes back into the box.

        Gives (session, chat, status, box).
        """
        reply = session.reply
        if reply is None:
            box = gr.update(value=session.message) if session.message else gr.skip()
            session = replace(session, conversation=session.before, message="")
            return session, chat_rows(session), "Stopped", box
        if reply.status == "writing":
            session = replace(session, reply=replace(reply, status="stopped"))
        return session, chat_rows(session), render.status_line(session.reply or reply), gr.skip()

    def unlock(self):
        return gr.update(interactive=True), gr.update(visible=True), gr.update(visible=False)

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
        """Keeps a thumb for every item that the rated reply named. Taking a thumb back (an empty value) changes nothing."""
        index = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        rows = session.all_rows()
        if event.liked not in (True, False, "Like", "Dislike") or not isinstance(index, int) or index >= len(rows):
            return session
        if not rows[index].item_ids:
            gr.Info("This reply names nothing that could be rated.", duration=3)
            return session
        is_like = event.liked in (True, "Like")
        conversation = session.conversation
        try:
            for item_id in rows[index].item_ids:
                conversation = self._assistant.rate(conversation, item_id, "like" if is_like else "dislike")
        except StoreError as error:
            raise gr.Error(str(error), print_exception=False) from error
        gr.Info("Noted: more like this." if is_like else "Noted: it won't come again, and less like it.", duration=3)
        return replace(session, conversation=conversation)

    def restart(self, session: Session):
        """A new chat of the same visitor: (session, chat, status, cards, panel)."""
        return (
            new_session(session.conversation.user_id),
            [],
            "Ready",
            render.NO_CARDS,
            "",
        )


def build(loading: Future[Assistant], settings: Settings) -> gr.Blocks:
    """The app for one assistant, which may still be on its way."""
    handlers = Handlers(loading)
    with gr.Blocks(title="GenRec", analytics_enabled=False, fill_height=True) as app:
        session = gr.State(new_session, time_to_live=6 * 3600)
        header = gr.Markdown(_HEADER, elem_id="genrec-header")
        notice = gr.Markdown(visible=False, elem_id="genrec-notice")
        clock = gr.Timer(1.0)
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
                cards = gr.HTML(render.NO_CARDS, elem_id="genrec-cards")
                gr.Markdown("### Why this?")
                why = gr.Button("Show which of my words led to it", elem_id="genrec-why", interactive=False)
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

        private: dict[str, Any] = {"api_visibility": "private"}
        limit: dict[str, Any] = {"concurrency_limit": settings.concurrency, "concurrency_id": "model", **private}
        for moment in (app.load, clock.tick):
            moment(
                handlers.readiness, None, [header, notice, why, clock], queue=False, show_progress="hidden", **private
            )
        begun = [session, chat, box, send, stop, panel, status]
        controls = [session, temperature, top_p, top_k, length, seed, tone, language]
        explaining = why.click(handlers.explain, [session, rows], panel, **limit)
        running: list[Any] = [explaining]
        for trigger, first_step, inputs in (
            (box.submit, handlers.take, [box, session]),
            (send.click, handlers.take, [box, session]),
            (chat.retry, handlers.retry, [session]),
        ):
            step = trigger(first_step, inputs, begun, queue=False, cancels=[explaining], **private)
            answer = step.success(handlers.answer, controls, [session, chat, status, cards], **limit)
            answer.then(handlers.unlock, None, [box, send, stop], queue=False, **private)
            running.append(answer)
        for button, handler, outputs in (
            (stop, handlers.stop, [session, chat, status, box]),
            (fresh, handlers.restart, [session, chat, status, cards, panel]),
        ):
            ended = button.click(handler, session, outputs, cancels=running, queue=False, **private)
            ended.then(handlers.unlock, None, [box, send, stop], queue=False, **private)
        chat.like(handlers.rate, session, session, **private)
    app.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return app


def launch(loading: Future[Assistant], settings: Settings) -> gr.Blocks:
    """Serves the app from a thread of its own and returns it."""
    app = build(loading, settings)
    app.launch(
        server_name=settings.host, server_port=settings.port, theme=gr.themes.Soft(), css=_CSS, footer_links=[], run_history=False, enable_monitoring=False,
        show_error=False, share=False, quiet=False, prevent_thread_lock=True,
    )  # fmt: skip
    return app
