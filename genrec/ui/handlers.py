"""What the app does on each event: plain methods, tested without a browser. Each gives a `Screen`, of which most parts stay as they are.

A message goes in two steps: the first, outside the queue, shows it and locks the input, so that nothing typed meanwhile is lost; the second
streams. It waits for the models where they are still being loaded.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gradio as gr

from genrec.assistant import Assistant
from genrec.engines import Engine
from genrec.errors import CatalogueError, EngineError, GenrecError, InputError, StoreError
from genrec.explaining import Explained
from genrec.onboarding import message_of, onboarding
from genrec.schema import Attribution, Language, Reply
from genrec.store import Vote
from genrec.ui import export, render
from genrec.ui.catalogues import FIELDS, Catalogues, read_upload
from genrec.ui.menu import PRESETS, SECOND_MODEL, Menu, in_setting
from genrec.ui.session import (
    MAX_CHATS,
    Session,
    chat_rows,
    exchange_at,
    new_session,
    paced,
    restored,
    saved,
    typed_message,
)
from genrec.ui.texts import EXAMPLES, SAID, say
from genrec.vocabulary import Vocabulary

_MAX_LINKED = 2000  # characters of a demo prompt in a link
_ENDING_S = 0.5  # a reply looks at least every fifth of a second whether it is to end
_log = logging.getLogger(__name__)


class Screen(NamedTuple):
    """What a handler changes on the screen; every part that it does not name stays as it is."""

    session: Any
    starter: Any
    chat: Any
    cards: Any
    actions: Any
    status: Any
    explanation: Any
    interests: Any
    safety: Any
    trace: Any
    box: Any
    send: Any
    stop: Any
    halt: Any


def screen(**parts: Any) -> Screen:
    return Screen(*(parts[name] if name in parts else gr.skip() for name in Screen._fields))


@dataclass(eq=False)
class Writing:
    """A reply that is being written, as other events of its visitor see it. Gradio cancels an event only after the handler of the press has answered:
    what the event gives meanwhile would be kept and drawn over what the handler gave. So a reply is asked to end itself."""

    wish: Literal["", "stop", "leave"] = ""  # stop: show what there is as a stopped reply; leave: show nothing more
    ended: threading.Event = field(default_factory=threading.Event)


class Handlers:
    """What the app does on each event; plain methods, tested without a browser."""

    def __init__(self, loading: Future[Assistant], load_second: Callable[[], Engine] | None = None):
        """`load_second` loads the model that replies can be compared with, when one is first to be; None where there is none."""
        self._loading = loading
        self._catalogues = Catalogues()
        self._writing: dict[str, Writing] = {}  # by chat
        self._load_second = load_second
        self._second: Future[Engine] | None = None
        self._second_lock = threading.Lock()

    @property
    def _assistant(self) -> Assistant:
        """The assistant of all visitors, waited for while it is being loaded."""
        return self._loading.result()

    def _assistant_of(self, session: Session) -> Assistant:
        """The assistant of this visitor: with his own catalogue where he brought one that is still kept."""
        return (self._catalogues.get(session.catalogue) if session.catalogue else None) or self._assistant

    def _second_engine(self, load: Callable[[], Engine]) -> Future[Engine]:
        """The second model, which is loaded when it is first asked for, and anew where that failed."""
        with self._second_lock:
            if self._second is None or (self._second.done() and self._second.exception()):
                self._second = Future()
                threading.Thread(target=_resolve, args=(self._second, load), daemon=True).start()
            return self._second

    # The page

    def opened(self, question: str, interface: str, history: Sequence[dict] | None, session: Session) -> tuple:
        """What a fresh page needs to know: (the link's demo prompt, earlier chats, and as of `readiness`)."""
        chats = render.history(history or [], "", _language(interface))
        return question[:_MAX_LINKED], chats, *self.readiness(interface, session)

    def readiness(self, interface: str, session: Session) -> tuple:
        """What tells a visitor whether the models are there: (header, notice, why button, clock that asks again, cold start, catalogue in use)."""
        language = _language(interface)
        header = self._header(language)
        if not self._loading.done():
            return header, gr.update(), gr.update(interactive=False), gr.update(), gr.update(), gr.update()
        notice = self._assistant.notice
        return (
            header,
            gr.update(value=f"⚠️ {notice}", visible=bool(notice)),
            gr.update(interactive=True),
            gr.update(active=False),
            gr.update() if session.exchanges else self._starter(session, language),
            render.catalogue_in_use("", len(self._assistant.catalogue.items), language),
        )

    def _starter(self, session: Session, language: Language) -> str:
        """The cold start, with choices from the catalogue at hand; the examples are wishes for the bundled one."""
        if not self._loading.done():
            return render.starter(language)
        assistant = self._assistant_of(session)
        questions = onboarding(assistant.catalogue.items, assistant.vocabulary, language)
        return render.starter(language, questions, has_examples=assistant is self._assistant)

    def spoken(self, session: Session, interface: str, explained: Shown | None = None) -> tuple:
        """The page in another language: (screen…, header, interface, why button, tabs). A label that was ever updated is not translated by the
        browser any more, so those come from here."""
        language = _language(interface)
        session = replace(session, interface=language)
        shown = self._nothing("busy_writing", session) if session.is_writing else self._view(session)
        if explained and explained.reply == session.reply:
            shown = shown._replace(explanation=explained.rendered(language))
        shown = shown._replace(
            box=gr.update(placeholder=say("box_hint", language), label=say("your_message", language)),
            send=gr.update(value=say("send", language)),
            stop=gr.update(value=say("stop", language)),
            halt=gr.update(value=say("halt", language)),
        )
        tabs = (
            gr.update(label=say(name, language))
            for name in ("why", "interests", "safety", "trace", "compare", "evaluate")
        )
        return *shown, self._header(language), language, gr.update(value=say("explain", language)), *tabs

    def _header(self, language: Language) -> str:
        return render.header(language, self._assistant.engine.describe() if self._loading.done() else None)

    # First steps: a message is shown and the input locked

    def take(self, message: str, session: Session, interface: str = "en") -> Screen:
        """Shows the message and locks the input."""
        session = session.of_somebody(_language(interface))
        if session.is_writing:
            return self._nothing("busy_writing", session)
        if not message.strip():
            return self._nothing("type_first", session)
        return self._begin(session.asked(message))

    def linked(self, question: str, session: Session, interface: str) -> Screen:
        """Says the demo prompt of a link, unless something was said meanwhile."""
        return screen() if session.exchanges else self.take(question, session, interface)

    def follow(self, session: Session, interface: str, event: gr.EventData) -> Screen:
        """Says what a chip or example stands for ("say:shorter", "ask:2"), or the last message again ("retry")."""
        act, _, what = event.act.partition(":")
        if act == "retry":
            return self.retry(session)
        if act == "ask":
            return self.take(EXAMPLES[_language(interface)][int(what)], session, interface)
        language = session.reply.language if session.reply else _language(interface)
        return self.take(say(what, language, table=SAID), session, interface)

    def retry(self, session: Session) -> Screen:
        """Asks for another version of the last reply."""
        if session.is_writing:
            return self._nothing("busy_writing", session)
        if not session.exchanges:
            return self._nothing("no_message", session)
        return self._begin(session.asked_again())

    def edit(self, session: Session, event: gr.EditData) -> Screen:
        """Says an earlier message another way; what came after it goes (and stays in the history)."""
        index = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        number = exchange_at(session, index) if isinstance(index, int) else -1
        message = typed_message(_text_of(event.value))
        if number < 0 or session.is_writing or not message.strip():
            return self._nothing("type_first", session)
        return self._begin(session.branched(number, message))

    @staticmethod
    def _nothing(hint: str, session: Session) -> Screen:
        """A first step that begins nothing; the hint stands in the status line, as outside the queue no pop-up reaches the browser."""
        return screen(status=say(hint, session.interface))

    @staticmethod
    def _begin(session: Session) -> Screen:
        return screen(
            session=session,
            starter="",
            chat=chat_rows(session),
            cards="",
            actions="",
            status=say("waiting", session.interface),
            explanation=render.hint("why_hint", session.interface),
            box=gr.update(value="", interactive=False),
            send=gr.update(visible=False),
            stop=gr.update(visible=True),
            halt=gr.update(visible=False),
        )

    # The reply

    def answer(self, session: Session, menu: Menu) -> Iterator[Screen]:
        """Streams the reply. Second step of a submit, which does nothing if the first began nothing."""
        writing = Writing()
        is_wanted = session.is_writing and session.draft is None
        if not is_wanted or self._writing.setdefault(session.chat_id, writing) is not writing:
            yield screen()
            return
        try:
            yield from self._answered(session, menu, writing)
        finally:
            if self._writing.get(session.chat_id) is writing:
                del self._writing[session.chat_id]
            writing.ended.set()

    def _answered(self, session: Session, menu: Menu, writing: Writing) -> Iterator[Screen]:
        """The reply, until it is whole or the visitor wishes it to end."""
        if menu.is_seed_unread:
            _inform("bad_seed", session)
        sampling = menu.sampling(session.message)
        session = replace(session, tone=menu.tone)
        while not self._loading.done():  # in short waits, so that Stop is heard
            yield screen(session=session, chat=chat_rows(session), status=say("warming", session.interface))
            wait([self._loading], timeout=0.2)
            if writing.wish:
                yield from self._wished(writing, session)
                return
        if session.catalogue and not self._catalogues.get(session.catalogue):
            _inform("catalogue_gone", session)
            session = replace(session, catalogue="")
        yield screen(status=say("looking", session.interface))
        try:
            with closing(
                self._assistant_of(session).reply(
                    session.before, session.message, sampling, language=menu.reply_language, tone=menu.tone
                )
            ) as snapshots:
                for reply in paced(snapshots):
                    session = session.drafted(reply)
                    if writing.wish:
                        yield from self._wished(writing, session)
                        return
                    yield self._view(session.finished()) if reply.status != "writing" else self._drafted(session)
        except InputError as error:
            yield self._view(self._ended(session, "refused", str(error)))
        except Exception:  # the outermost border: the visitor gets an apology, the log the trace without his words
            _log.exception("a reply failed")
            yield self._view(self._ended(session, "lost", say("failed", session.interface)))

    def _wished(self, writing: Writing, session: Session) -> Iterator[Screen]:
        """The last output of a reply that its visitor wishes to end."""
        if writing.wish == "stop":
            yield self._stopped(session)

    @staticmethod
    def _ended(session: Session, status: Any, notice: str) -> Session:
        """The session where no reply came; what was written until then is kept."""
        draft = session.draft or Reply(conversation=session.before)
        return session.drafted(replace(draft, status=status, notice=notice)).finished()

    def _drafted(self, session: Session) -> Screen:
        """What a snapshot changes."""
        reply = session.reply or Reply()
        return screen(
            session=session,
            chat=chat_rows(session),
            status=render.status_line(reply, session.interface),
            cards=self._cards(session),
        )

    def _view(self, session: Session) -> Screen:
        """Everything, anew."""
        reply, language = session.reply, session.interface
        last = session.exchanges[-1] if session.exchanges else None
        is_scored = self._loading.done() and self._assistant.engine.describe().can_score
        return screen(
            session=session,
            starter="" if last else self._starter(session, language),
            chat=chat_rows(session),
            cards=self._cards(session),
            actions=render.actions(language, shown=last.shown, num_versions=len(last.replies)) if last else "",
            status=render.status_line(reply, language) if reply else say("ready", language),
            explanation=render.hint("why_hint", language),
            interests=self._interests(session),
            safety=render.safety(session.message, reply, language),
            trace=render.trace(reply, language, self._vocabulary(session), can_score=is_scored),
            halt=gr.update(visible=False),
        )

    def _cards(self, session: Session) -> str:
        reply = session.reply
        if reply is None or not reply.items:
            return ""
        return render.cards(
            reply.items,
            reply,
            self._assistant_of(session).vocabulary,
            interface=session.interface,
            ratings=session.ratings,
        )

    def _interests(self, session: Session) -> str:
        items = self._assistant_of(session).catalogue.by_id if self._loading.done() else {}
        return render.interests(session.conversation.profile, items, self._vocabulary(session), session.interface)

    def _vocabulary(self, session: Session) -> Vocabulary | None:
        return self._assistant_of(session).vocabulary if self._loading.done() else None

    def stop(self, session: Session) -> Screen:
        """Keeps what was written when the visitor pressed Stop; a message that was not begun goes back into the box. A reply that is being written
        shows that itself, as its last output."""
        return screen() if self._end(session, "stop") else self._stopped(session)

    def _end(self, session: Session, wish: Literal["stop", "leave"]) -> bool:
        """Has the reply that is being written end itself; whether it did. One whose model is stuck shows nothing more."""
        writing = self._writing.get(session.chat_id)
        if writing is None:
            return False
        writing.wish = wish
        if writing.ended.wait(_ENDING_S):
            return True
        writing.wish = "leave"
        self._writing.pop(session.chat_id, None)
        return False

    def _stopped(self, session: Session) -> Screen:
        if not session.is_writing:
            return self._view(session)
        stopped = say("stopped", session.interface)
        if session.draft is not None:
            return self._view(session.finished())
        last = session.exchanges[-1]
        if last.reply is not None:  # it was a retry: the version before is shown again
            return self._view(replace(session, is_writing=False, conversation=last.reply.conversation))
        return self._view(session.undone())._replace(box=gr.update(value=last.message), status=stopped)

    def unlock(self, session: Session, status: str) -> Screen:
        """After a reply, whatever became of it. A message that the full queue turned away is said to be so. `status` is what stands in the status line:
        that of a reply under way stays there where the last output of a reply was drawn after what ended it, and then all is drawn anew."""
        parts: dict[str, Any] = {
            "box": gr.update(interactive=True),
            "send": gr.update(visible=True),
            "stop": gr.update(visible=False),
        }
        is_under_way = status in (say(key, session.interface) for key in ("warming", "looking", "checking", "writing"))
        if not session.is_writing:
            return self._view(session)._replace(**parts) if is_under_way else screen(**parts)
        if session.chat_id in self._writing:
            return screen()  # a step that began nothing, while a reply is written
        if session.draft is not None or is_under_way:  # it was cut off
            stopped = self._stopped(session)
            box = parts["box"] if stopped.box == gr.skip() else {**stopped.box, **parts["box"]}
            return stopped._replace(**{**parts, "box": box})
        if status == say("waiting", session.interface):
            ended = self._ended(session, "lost", say("full", session.interface))
            return self._view(ended)._replace(**parts)
        return screen()  # a step that began nothing, while a message waits

    # What can be done with a reply

    def act(self, session: Session, event: gr.EventData) -> Screen:
        """A press on something rendered that needs no writing: rate, leaf through versions, take back, forget, look closer."""
        act, _, what = event.act.partition(":")
        if session.is_writing:
            return self._nothing("busy_writing", session)
        if act in ("like", "dislike", "seen"):
            return self._rate(session, [what], act)
        if act == "version":
            return self._view(session.turned(-1 if what == "-1" else 1))
        if act == "forget":
            return self._forget(session, *what.partition(":")[::2])
        if act == "probabilities":
            return self._probabilities(session)
        if act in ("wrong", "wrong_with"):
            return self._report(session, is_message_sent=act == "wrong_with")
        return screen()

    def undo(self, session: Session) -> Screen:
        """Takes the last exchange back and puts its message into the box."""
        if session.is_writing:
            return self._nothing("busy_writing", session)
        if not session.exchanges:
            return self._nothing("no_undo", session)
        return self._view(session.undone())._replace(box=gr.update(value=session.message))

    def rate(self, session: Session, event: gr.LikeData) -> Screen:
        """Keeps a thumb for every item that the rated reply named. Taking a thumb back (an empty value) changes nothing."""
        index = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        number = exchange_at(session, index) if isinstance(index, int) else -1
        if (
            session.is_writing
            or event.liked not in (True, False, "Like", "Dislike")
            or number < 0
            or chat_rows(session)[index]["role"] == "user"
        ):
            return screen()
        reply = session.exchanges[number].reply
        if reply is None or not reply.items:
            _inform("unrateable", session)
            return screen()
        is_like = event.liked in (True, "Like")
        return self._rate(session, [item.id for item in reply.items], "like" if is_like else "dislike")

    def _rate(self, session: Session, ids: Sequence[str], rating: Any) -> Screen:
        conversation = session.conversation
        try:
            for item_id in ids:
                conversation = self._assistant_of(session).rate(conversation, item_id, rating)
                session = session.rated(item_id, rating)
        except (StoreError, InputError) as error:
            raise _failure(error, session) from error
        _inform(f"noted_{rating}", session)
        session = replace(session, conversation=conversation)
        return screen(session=session, cards=self._cards(session), interests=self._interests(session))

    def _forget(self, session: Session, group: str, key: str) -> Screen:
        """Takes one thing out of the profile: a wish, a condition, a kind, or what was said of an item."""
        conversation = session.conversation
        profile = conversation.profile
        if group in ("liked", "disliked", "seen"):
            try:
                conversation = self._assistant_of(session).forget(conversation, key)
            except StoreError as error:
                raise _failure(error, session) from error
            ratings = {id: given for id, given in session.ratings.items() if id != key}
            session = replace(session, ratings=ratings)
        else:
            profile = replace(
                profile,
                interests=tuple(one for one in profile.interests if group != "interests" or one.text != key),
                constraints=tuple(
                    one for one in profile.constraints if group != "constraints" or render.told(one) != key
                ),
                kinds=tuple(one for one in profile.kinds if group != "kinds" or one != key),
            )
            conversation = replace(conversation, profile=profile)
        session = replace(session, conversation=conversation)
        return screen(session=session, interests=self._interests(session), cards=self._cards(session))

    def _report(self, session: Session, *, is_message_sent: bool) -> Screen:
        """Keeps the visitor's word that something was wrongly withheld; his message only where he says so."""
        if session.reply is None:
            return screen()
        try:
            self._assistant_of(session).report(session.reply, session.message if is_message_sent else None)
        except StoreError as error:
            raise _failure(error, session) from error
        _inform("noted_wrong", session)
        return screen()

    def _probabilities(self, session: Session) -> Screen:
        reply = session.reply
        if reply is None or not reply.text or not reply.messages:
            return screen()
        try:
            tokens = self._assistant_of(session).tokens(reply)
        except GenrecError as error:
            raise _failure(error, session) from error
        return screen(trace=render.trace(reply, session.interface, self._vocabulary(session), tokens=tokens))

    def explain(self, session: Session, num_rows: int, before: Shown | None = None) -> Iterator[tuple[Any, Any, Any]]:
        """Which words led to the last reply: (panel, what it shows, button that stops it), how far it is until it is there. What was scored `before`,
        by an explanation that was stopped too, is not scored again. Closing the iterator stops the work. What it found is drawn by `settled`."""
        reply = session.reply
        if session.is_writing or reply is None or not reply.text:
            hint = "busy_writing" if session.is_writing else "explain_first"
            raise _refusal(hint, session)
        shown = before if before and before.reply == reply else Shown(reply)
        yield render.explaining(0.0, session.interface), shown, gr.update(visible=True)
        try:
            with closing(
                self._assistant_of(session).explaining(
                    session.before,
                    session.message,
                    reply,
                    num_rows=int(num_rows),
                    tone=session.tone,
                    memory=shown.memory,
                )
            ) as steps:
                while True:
                    try:
                        share = next(steps)
                    except StopIteration as end:
                        shown = replace(shown, attribution=end.value)
                        break
                    yield render.explaining(share, session.interface), gr.skip(), gr.skip()
        except GenrecError as error:
            raise _failure(error, session) from error
        yield gr.skip(), shown, gr.skip()

    @staticmethod
    def settled(session: Session, shown: Shown | None) -> tuple[Any, Any]:
        """After an explanation, whatever became of it: (panel, button that stops it). One that was stopped or failed, or whose reply is gone, leaves
        the panel as it was before."""
        is_current = shown is not None and shown.reply == session.reply
        panel = (
            shown.rendered(session.interface) if shown and is_current else render.hint("why_hint", session.interface)
        )
        return panel, gr.update(visible=False)

    def compare(
        self,
        session: Session,
        menu: Menu,
        first: str,
        second: str,
    ) -> Iterator[tuple[str, Comparison]]:
        """Writes the last message in two settings, one after the other, in an order that is drawn: (as a panel, what it shows)."""
        if session.is_writing or not session.exchanges:
            hint = "busy_writing" if session.is_writing else "compare_first"
            raise _refusal(hint, session)
        mine = menu.sampling(session.message)
        mine = replace(mine, seed=secrets.randbits(31) if mine.seed is None else mine.seed)
        shown = Comparison(session.message, tuple(random.sample((first, second), 2)))
        assistant = second_assistant = self._assistant_of(session)
        try:
            if SECOND_MODEL in shown.settings and self._load_second:
                loading = self._second_engine(self._load_second)
                while not loading.done():  # in short waits, so that a new message is heard
                    yield render.hint("loading_second", session.interface), shown
                    wait([loading], timeout=0.2)
                second_assistant = assistant.with_engine(loading.result())
            for number, setting in enumerate(shown.settings):
                writer = second_assistant if setting == SECOND_MODEL else assistant
                with closing(
                    writer.reply(
                        session.before,
                        session.message,
                        in_setting(mine, setting),
                        language=menu.reply_language,
                        tone=menu.tone,
                    )
                ) as snapshots:
                    for reply in paced(snapshots):
                        shown = shown.with_reply(number, reply)
                        yield shown.rendered(session.interface), shown
        except GenrecError as error:
            raise _failure(error, session) from error

    def vote(self, session: Session, shown: Comparison | None, event: gr.EventData) -> tuple[Any, Any]:
        """Keeps which of the two replies is better: (panel, what it shows). A second press on the same comparison changes nothing."""
        better = event.act.partition(":")[2]
        first, second = shown.replies if shown else (None, None)
        if not shown or shown.vote or not first or not second or better not in ("first", "second", "neither"):
            return gr.skip(), gr.skip()
        one, other = shown.settings
        vote = Vote(
            better,
            render.drawn_with(first, one),
            render.drawn_with(second, other),
            first.language,
            self._assistant.engine.describe().model,
        )
        try:
            self._assistant.store.vote(vote)
        except StoreError as error:
            raise _failure(error, session) from error
        _inform("noted_vote", session)
        shown = replace(shown, vote=better)
        return shown.rendered(session.interface), shown

    @staticmethod
    def compare_settled(session: Session, shown: Comparison | None, interface: str) -> tuple[str, Comparison | None]:
        """After a comparison, whatever became of it: (panel, what it shows). One that was cut off, or whose message is gone, is left out."""
        if shown is None or not shown.is_whole or all(one.message != shown.message for one in session.exchanges):
            return render.hint("compare_hint", _language(interface)), None
        return shown.rendered(_language(interface)), shown

    @staticmethod
    def compared(shown: Comparison | None, interface: str) -> str:
        """The comparison in the language of the page."""
        language = _language(interface)
        return shown.rendered(language) if shown else render.hint("compare_hint", language)

    @staticmethod
    def export(session: Session, explained: Shown | None, event: gr.EventData) -> dict[str, str]:
        """The chat as a file for the browser to keep: {name, type, text}."""
        if not session.exchanges:
            raise _refusal("nothing_to_export", session)
        is_current = explained is not None and explained.reply == session.reply
        return export.file(
            session, event.act.partition(":")[2], explained.attribution if explained and is_current else None
        )

    # Cold start, settings, other chats

    @staticmethod
    def picked(interface: str, event: gr.EventData) -> str:
        """The message that the quick choices make so far."""
        chosen = {about: str(words) for about, words in json.loads(event.act.removeprefix("pick:")).items()}
        return message_of(chosen, _language(interface))

    @staticmethod
    def preset(name: str) -> tuple[float, float, float]:
        """(temperature, top-p, surprise) of a preset."""
        return PRESETS[name]

    def restart(self, session: Session, interface: str) -> Screen:
        """A new chat of the same visitor."""
        self._end(session, "leave")
        session = session.of_somebody(_language(interface))
        return self._view(new_session(session.conversation.user_id, session.interface, session.tone, session.catalogue))

    @staticmethod
    def remember(session: Session, history: Sequence[dict] | None, query: str = "") -> tuple[Any, Any]:
        """The chats of the browser with this one first: (history, as a list of those that are searched for)."""
        if not session.exchanges:
            return gr.skip(), gr.skip()
        chats = [saved(session), *(chat for chat in history or [] if chat.get("id") != session.chat_id)][:MAX_CHATS]
        return chats, render.history(chats, query, session.interface)

    @staticmethod
    def search(query: str, history: Sequence[dict] | None, interface: str) -> str:
        return render.history(history or [], query, _language(interface))

    def reopen(self, session: Session, history: Sequence[dict] | None, interface: str, event: gr.EventData) -> Screen:
        """An earlier chat on the screen."""
        self._end(session, "leave")
        wanted = event.act.partition(":")[2]
        session = session.of_somebody(_language(interface))
        chat = next((one for one in history or [] if one.get("id") == wanted), None)
        try:
            return self._view(restored(chat or {}, session, self._assistant_of(session)))
        except (KeyError, TypeError, ValueError):  # an older version of the app wrote it, or somebody changed it
            raise _refusal("unreadable", session) from None

    @staticmethod
    def clear_history(interface: str) -> tuple[list, str]:
        return [], render.history([], "", _language(interface))

    # A catalogue of one's own

    def catalogue_read(self, path: str | None, interface: str) -> tuple:
        """What is in an uploaded file: (report, use button, the columns of each of FIELDS …). Nothing is used yet."""
        if not path:
            return "", gr.update(visible=False), *(gr.update(visible=False) for _ in FIELDS)
        try:
            read = read_upload(path)
        except CatalogueError as error:
            return (
                render.failed(error, _language(interface)),
                gr.update(visible=False),
                *(gr.update(visible=False) for _ in FIELDS),
            )
        names = list(read.columns.profiles)
        chosen = (
            gr.update(choices=names, value=list(read.columns.fields.get(field, ())), visible=True) for field in FIELDS
        )
        report = render.catalogue(Path(path).name, read, _language(interface))
        return report, gr.update(visible=True), *chosen

    def catalogue_corrected(self, path: str | None, interface: str, *columns: Sequence[str]) -> tuple:
        """What is in the file when its columns are read so: (report, use button)."""
        if not path:
            return "", gr.update(visible=False)
        try:
            read = read_upload(path, dict(zip(FIELDS, columns, strict=True)))
        except CatalogueError as error:
            return render.failed(error, _language(interface)), gr.update(visible=False)
        return render.catalogue(Path(path).name, read, _language(interface)), gr.update(visible=True)

    def catalogue_use(
        self, path: str | None, session: Session, interface: str, *columns: Sequence[str], progress=gr.Progress()
    ) -> tuple:
        """A new chat over the uploaded catalogue: (screen …, catalogue in use, back button)."""
        session = session.of_somebody(_language(interface))
        progress(0.1, desc=say("reading", session.interface))
        try:
            read = read_upload(path or "", dict(zip(FIELDS, columns, strict=True)))
            progress(0.4, desc=say("reading", session.interface))
            assistant = self._assistant.with_catalogue(read)
        except GenrecError as error:
            raise _failure(error, session) from error
        self._catalogues.drop(session.catalogue)
        session = replace(session, catalogue=self._catalogues.keep(assistant))
        told = render.catalogue_in_use(Path(path or "").name, len(read.items), session.interface)
        return *self.restart(session, interface), told, gr.update(visible=True)

    def catalogue_back(self, session: Session, interface: str) -> tuple:
        """A new chat over everybody's catalogue: (screen …, catalogue in use, back button)."""
        session = session.of_somebody(_language(interface))
        self._catalogues.drop(session.catalogue)
        num_items = len(self._assistant.catalogue.items)
        told = render.catalogue_in_use("", num_items, session.interface)
        return *self.restart(replace(session, catalogue=""), interface), told, gr.update(visible=False)

    def left(self, session: Session) -> None:
        """Lets go of what was kept for a visitor who has left."""
        self._catalogues.drop(session.catalogue)


@dataclass(frozen=True)
class Shown:
    """A reply, its explanation where there is one yet, and what was scored for it."""

    reply: Reply
    attribution: Attribution | None = None
    memory: Explained = field(default_factory=Explained)

    def rendered(self, language: Language) -> str:
        if self.attribution is None:
            return render.hint("why_hint", language)
        return render.explanation(self.attribution, self.reply, language)


@dataclass(frozen=True)
class Comparison:
    """A message written in two settings, in the order shown."""

    message: str
    settings: tuple[str, ...]
    replies: tuple[Reply | None, Reply | None] = (None, None)
    vote: str = ""

    def with_reply(self, number: int, reply: Reply) -> Comparison:
        first, second = self.replies
        return replace(self, replies=(first, reply) if number else (reply, second))

    @property
    def is_whole(self) -> bool:
        return all(map(render.is_whole, self.replies))

    def rendered(self, language: Language) -> str:
        names = [say(setting, language) for setting in self.settings]
        return render.comparison(self.message, self.replies, names, language, vote=self.vote)


def _inform(key: str, session: Session) -> None:
    """A pop-up in the language of the page that something was done."""
    gr.Info(say(key, session.interface), duration=5)


def _refusal(key: str, session: Session) -> gr.Error:
    """To be raised where a press can do nothing now; says in the language of the page what to do first."""
    return gr.Error(say(key, session.interface), duration=6, print_exception=False)


def _failure(error: GenrecError, session: Session) -> gr.Error:
    """To be raised where something failed, in the language of the page where it can be said in it."""
    told = error.chinese if session.interface == "zh" else str(error)
    return gr.Error(escape(told), print_exception=False)


def _resolve(future: Future[Engine], load: Callable[[], Engine]) -> None:
    try:
        future.set_result(load())
    except GenrecError as error:
        future.set_exception(error)
    except Exception as error:  # the outermost border of a thread: whoever waits must hear of it
        _log.exception("the second model could not be loaded")
        future.set_exception(EngineError(f"The second model could not be loaded: {error}"))


def _language(interface: str) -> Language:
    """The language of the page, of what the browser says."""
    return "zh" if interface == "zh" else "en"


def _text_of(content: Any) -> str:
    """What a Chatbot's event holds: a text, or blocks of them."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return str(content.get("text", ""))
    return "".join(_text_of(block) for block in content or [])
