"""One visitor's chat as the app keeps it: exchanges with their versions. Frozen: each step gives a new one.

What the browser keeps of a chat (`saved`) is plain JSON; `restored` understands its messages anew, so nothing of it is trusted.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genrec.assistant import Assistant
from genrec.safety.screen import clean_prose
from genrec.schema import Conversation, Language, Mention, Reply, Sampling, Sentence, Turn
from genrec.text import sentences

MAX_CHATS = 30  # kept in the browser
_MIN_INTERVAL_S = 0.05  # between updates to a browser, which stay under 25 a second even where two come close together
_TITLE = re.compile(r"\*\*([^*]+)\*\*")


@dataclass(frozen=True)
class Exchange:
    """A message, the conversation it was said in, and every reply that was written to it; `shown` is the one on the screen."""

    message: str
    before: Conversation
    replies: tuple[Reply, ...] = ()
    shown: int = 0

    @property
    def reply(self) -> Reply | None:
        return self.replies[self.shown] if self.replies else None


@dataclass(frozen=True)
class Session:
    """One visitor's chat. `conversation` has everything on the screen taken in; while a reply `is_writing`, `draft` is what there is of it."""

    conversation: Conversation
    exchanges: tuple[Exchange, ...] = ()
    is_writing: bool = False
    draft: Reply | None = None
    tone: str = "warm"
    interface: Language = "en"
    ratings: Mapping[str, frozenset[str]] = field(default_factory=dict)  # of this chat, by item id
    chat_id: str = ""
    catalogue: str = ""  # of his own, by its id; "" for everybody's

    @property
    def message(self) -> str:
        """The latest message; "" before the first."""
        return self.exchanges[-1].message if self.exchanges else ""

    @property
    def before(self) -> Conversation:
        """The conversation that the latest message was said in."""
        return self.exchanges[-1].before if self.exchanges else self.conversation

    @property
    def reply(self) -> Reply | None:
        """The latest reply on the screen, finished or not."""
        if self.is_writing or not self.exchanges:
            return self.draft
        return self.exchanges[-1].reply

    def of_somebody(self, interface: Language) -> Session:
        """With the language of his page, and, where this is the first that is heard of him, ids of his own."""
        named = self if self.conversation.user_id else new_session()
        return replace(named, interface=interface)

    def asked(self, message: str) -> Session:
        """With a new message that waits for its reply."""
        whole = self.finished()
        exchange = Exchange(message, whole.conversation)
        return replace(whole, exchanges=(*whole.exchanges, exchange), is_writing=True)

    def asked_again(self) -> Session:
        """With the latest message waiting for another version of its reply."""
        whole = self.finished()
        return replace(whole, conversation=whole.before, is_writing=True)

    def branched(self, number: int, message: str) -> Session:
        """With the message of exchange `number` said another way, and what came after it gone."""
        whole = self.finished()
        kept = whole.exchanges[:number]
        before = whole.exchanges[number].before
        chat_id = (
            uuid.uuid4().hex if number + 1 < len(whole.exchanges) else whole.chat_id
        )  # the old branch stays in the history
        return replace(whole, exchanges=kept, conversation=before, chat_id=chat_id).asked(message)

    def undone(self) -> Session:
        """Without the latest exchange."""
        whole = self.finished()
        return replace(whole, exchanges=whole.exchanges[:-1], conversation=whole.before)

    def drafted(self, reply: Reply) -> Session:
        """With a snapshot of the reply that is being written."""
        return replace(self, draft=reply, conversation=reply.conversation)

    def finished(self) -> Session:
        """With the draft as the newest version; a message that has no reply at all stays as it is."""
        if not self.exchanges or self.draft is None:
            return replace(self, is_writing=False)
        last = self.exchanges[-1]
        draft = replace(self.draft, status="stopped") if self.draft.status == "writing" else self.draft
        last = replace(last, replies=(*last.replies, draft), shown=len(last.replies))
        return replace(self, exchanges=(*self.exchanges[:-1], last), is_writing=False, draft=None)

    def turned(self, step: int) -> Session:
        """With another version of the latest reply on the screen; at either end nothing changes."""
        if self.is_writing or not self.exchanges:
            return self
        last = self.exchanges[-1]
        shown = min(max(last.shown + step, 0), max(0, len(last.replies) - 1))
        if shown == last.shown:
            return self
        last = replace(last, shown=shown)
        conversation = last.replies[shown].conversation
        return replace(self, exchanges=(*self.exchanges[:-1], last), conversation=conversation)

    def rated(self, item_id: str, rating: str) -> Session:
        """With a rating noted for the screen; like and dislike replace each other, "seen" stands beside them."""
        old = self.ratings.get(item_id, frozenset())
        kept = old - ({"like", "dislike"} if rating != "seen" else set())
        return replace(self, ratings={**self.ratings, item_id: kept | {rating}})


def new_session(user_id: str = "", interface: Language = "en", tone: str = "warm", catalogue: str = "") -> Session:
    conversation = Conversation(user_id=user_id or uuid.uuid4().hex)
    return Session(conversation, interface=interface, tone=tone, chat_id=uuid.uuid4().hex, catalogue=catalogue)


def chat_rows(session: Session) -> list[dict[str, Any]]:
    """What the Chatbot shows. Text goes in blocks: a plain string would be dedented, which shifts offsets."""
    rows = []
    for exchange in session.exchanges:
        rows.append(_row("user", shown_message(exchange.message)))
        is_last = exchange is session.exchanges[-1]
        reply = session.reply if is_last else exchange.reply
        if reply is not None:
            rows.append(_row("assistant", shown_reply(reply)))
    return rows


def exchange_at(session: Session, index: int) -> int:
    """The number of the exchange whose message or reply is row `index` of the chat; -1 where there is none."""
    row = 0
    for number, exchange in enumerate(session.exchanges):
        reply = session.reply if number == len(session.exchanges) - 1 else exchange.reply
        row += 1 if reply is None else 2
        if index < row:
            return number
    return -1


def shown_message(text: str) -> str:
    """A visitor's words so that Markdown makes no image, link or tag of them: they may come from a link that somebody sent him."""
    return re.sub(r"([\[<])", r"\\\1", text)


def typed_message(shown: str) -> str:
    """What `shown_message` was given."""
    return re.sub(r"\\([\[<])", r"\1", shown)


def shown_reply(reply: Reply) -> str:
    """A reply with its notice below it."""
    notice = shown_message(reply.notice)
    if notice and reply.status != "writing":
        return f"{reply.text}\n\n*{notice}*" if reply.text else notice
    return reply.text


def _row(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text or "…"}]}


# Kept in the browser


def saved(session: Session) -> dict[str, Any]:
    """A chat as JSON: what was said, in which language, and the seed."""
    exchanges = []
    for exchange in session.finished().exchanges:
        reply = exchange.reply or Reply()
        exchanges.append(
            {
                "message": exchange.message,
                "text": reply.text,
                "notice": reply.notice,
                "language": reply.language,
                "status": reply.status,
                "seed": reply.sampling.seed,
            }
        )
    return {
        "id": session.chat_id,
        "at": int(time.time()),
        "title": session.exchanges[0].message[:80],
        "exchanges": exchanges,
    }


def restored(chat: Mapping[str, Any], now: Session, assistant: Assistant) -> Session:
    """A kept chat as the session of the visitor who is there `now`; its wishes are understood anew.

    Raises:
        KeyError, TypeError, ValueError: it is no chat.
    """
    session = new_session(now.conversation.user_id, now.interface, now.tone, now.catalogue)
    session = replace(session, chat_id=str(chat["id"]))
    for kept in chat["exchanges"]:
        message, text = str(kept["message"]), clean_prose(str(kept["text"]))
        language: Language = "zh" if kept["language"] == "zh" else "en"
        before = session.conversation
        turns = [Turn("user", message), Turn("assistant", text)] if text else []
        after = assistant.replay(before, turns)
        mentions = tuple(
            Mention(match[1], match.start(1), match.end(1), next(iter(assistant.catalogue.titled(match[1])), None))
            for match in _TITLE.finditer(text)
        )
        reply = Reply(
            text=text,
            language=language,
            sentences=_sentences(text),
            mentions=mentions,
            notice=str(kept["notice"]),
            status=kept["status"] if kept["status"] in ("done", "stopped", "refused", "lost") else "done",
            conversation=after,
            sampling=Sampling(seed=int(kept["seed"]) if kept["seed"] is not None else None),
        )
        exchange = Exchange(message, before, (reply,))
        session = replace(session, exchanges=(*session.exchanges, exchange), conversation=after)
    return session


def _sentences(text: str) -> tuple[Sentence, ...]:
    found, start = [], 0
    for sentence in sentences([text]):
        found.append(Sentence(sentence, start, start + len(sentence)))
        start += len(sentence)
    return tuple(found)


def paced(snapshots: Iterable[Reply]) -> Iterator[Reply]:
    """The states of a reply at a pace that a browser can draw. One that follows too soon is left out if it shows no further sentence, and waits its
    turn if it does: the next may take long to come."""
    last_s, num_shown = 0.0, 0
    for reply in snapshots:
        wait_s = last_s + _MIN_INTERVAL_S - time.monotonic()
        if reply.status == "writing" and wait_s > 0:
            if len(reply.sentences) == num_shown:
                continue
            time.sleep(wait_s)
        last_s, num_shown = time.monotonic(), len(reply.sentences)
        yield reply
