"""The browser app without a browser: its handlers as plain functions, what they render, and the page that it serves."""

from __future__ import annotations

import gc
import json
import re
import socket
import threading
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from html import escape

import gradio as gr
import pytest

from genrec import retrieval
from genrec.errors import EngineError, StoreError
from genrec.onboarding import onboarding
from genrec.schema import (
    Candidate,
    Conversation,
    Item,
    Reply,
    Sampling,
    Sentence,
    Withheld,
)
from genrec.settings import Settings
from genrec.store import Store
from genrec.text import has_cjk, plain
from genrec.ui import figures, render
from genrec.ui.app import launch
from genrec.ui.handlers import Handlers, Screen, Shown, screen
from genrec.ui.menu import Menu, with_menu
from genrec.ui.session import Session, chat_rows, new_session, paced, typed_message
from genrec.ui.texts import CATEGORIES, FEATURES, FIGURES, REASONS, SAID, TEXTS


def loaded(assistant):
    """What the app gets: the assistant as a future."""
    loading = Future()
    loading.set_result(assistant)
    return loading


EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture
def handlers(make_assistant, scripted):
    """Handlers around an engine that says these scripts."""

    def make(*scripts, store=None, **options):
        engine = scripted(scripts, **options)
        handlers = Handlers(loaded(make_assistant(engine, store or Store())))
        handlers.engine = engine  # for the test to look at
        return handlers

    return make


MENU = Menu(length=60, seed="1")


def begun(handlers, screen, **controls):
    """The second step after a first one; yields what each snapshot leaves on the screen."""
    with closing(handlers.answer(screen.session, MENU._replace(**controls))) as snapshots:
        for snapshot in snapshots:
            screen = merged(screen, snapshot)
            yield screen


def merged(before, after):
    """The screen when `after` came over `before`."""
    return Screen(*(old if new == gr.skip() else new for old, new in zip(before, after, strict=True)))


def answer(handlers, message, session, **controls):
    """Both steps of a submit; yields screens."""
    yield from begun(handlers, handlers.take(message, session), **controls)


def last(steps):
    """The screen at the end of a stream."""
    *_, end = steps
    return end


def acted(handlers, session, act):
    """The session and screen after a press on something rendered."""
    shown = handlers.act(session, gr.EventData(None, {"act": act}))
    return (session if shown.session == gr.skip() else shown.session), shown


def texts(rows):
    return [(row["role"], row["content"][0]["text"]) for row in rows]


def named(catalogue, number):
    return f"You may like **{catalogue.by_id[f'film-{number:03d}'].title}**."


# A message


def test_a_message_is_shown_at_once_and_the_input_is_locked(handlers):
    shown = handlers("x").take("slow  jazz\n", new_session())
    assert texts(shown.chat) == [("user", "slow  jazz\n")] and shown.session.message == "slow  jazz\n"
    assert shown.status.startswith("Waiting") and shown.starter == ""
    assert shown.box["value"] == "" and shown.box["interactive"] is False
    assert shown.send["visible"] is False and shown.stop["visible"] is True


@pytest.mark.parametrize("message", ["", "  \n\t"])
def test_an_empty_message_is_refused_kindly_and_begins_nothing(handlers, message):
    never = handlers("x")
    shown = never.take(message, new_session())
    assert shown == screen(status="Type what you like first; a few words are enough.")
    assert list(never.answer(new_session(), MENU)) == [screen()]
    assert never.engine.calls == []


def test_a_second_message_while_a_reply_is_written_begins_nothing(handlers):
    one = handlers("x")
    waiting = one.take("slow jazz", new_session()).session
    for shown in (
        one.take("slow jazz", waiting),
        one.retry(waiting),
        one.undo(waiting),
        acted(one, waiting, "version:-1")[1],
    ):
        assert shown == screen(status="A reply is being written. Stop it first.")


def test_after_the_reply_the_input_is_unlocked(handlers):
    shown = handlers("x").unlock(new_session(), "Done")
    assert (shown.box["interactive"], shown.send["visible"], shown.stop["visible"]) == (True, True, False)


def test_what_began_nothing_unlocks_nothing_while_a_reply_is_written_or_waited_for(handlers):
    one = handlers("Fine.")
    waiting = one.take("slow jazz", new_session())
    assert one.unlock(waiting.session, "A reply is being written. Stop it first.") == screen()


def test_a_message_that_the_full_queue_turned_away_is_kept_and_can_be_retried(handlers):
    one = handlers("Fine.")
    waiting = one.take("slow jazz", new_session())
    shown = one.unlock(waiting.session, waiting.status)
    assert texts(shown.chat)[0] == ("user", "slow jazz") and "Too many visitors" in texts(shown.chat)[1][1]
    assert shown.box["interactive"] is True and shown.status.startswith("Interrupted")
    assert texts(last(begun(one, one.retry(shown.session))).chat)[-1] == ("assistant", "Fine.")


def test_the_reply_streams_into_chat_session_status_and_cards(handlers, catalogue, monkeypatch):
    monkeypatch.setattr("genrec.ui.session._MIN_INTERVAL_S", 0.0)
    one = handlers(named(catalogue, 1) + " It is a calm one. It suits an evening.")
    steps = list(answer(one, "an animated film", new_session()))
    shown = [texts(step.chat)[-1][1] for step in steps if len(step.chat) == 2]
    assert len(shown) >= 4 and all(after.startswith(before.rstrip()) for before, after in zip(shown[1:], shown[2:]))
    end = steps[-1]
    assert texts(end.chat) == [
        ("user", "an animated film"),
        ("assistant", f"{named(catalogue, 1)} It is a calm one. It suits an evening."),
    ]
    assert texts(chat_rows(end.session)) == texts(end.chat)
    assert end.session.reply.status == "done" and end.session.conversation.turns[-1].item_ids == ("film-001",)
    assert end.status.startswith("Done · ") and "seed 1" in end.status
    title = catalogue.by_id["film-001"].title
    assert title in end.cards and "Shorter" in end.actions and "animated" in end.interests and title in end.trace
    assert "an animated film" in end.safety and "Nothing was withheld" in end.safety


def test_the_controls_come_one_by_one_and_reach_a_handler_as_one_menu():
    def step(session, menu, *rest):
        yield session, menu, rest

    (told,) = with_menu(step)("session", 0.3, 0.8, 5.0, 60.0, " 7 ", "formal", "zh", 0.2, "more")
    assert told == ("session", Menu(0.3, 0.8, 5.0, 60.0, " 7 ", "formal", "zh", 0.2), ("more",))
    menu = told[1]
    assert menu.reply_language == "zh" and not menu.is_seed_unread and Menu(seed="x").is_seed_unread
    assert menu.sampling("slow jazz") == Sampling(0.3, 0.8, 5, max_new_tokens=60, seed=7, surprise=0.2)
    assert menu.sampling("surprise me").surprise == 1.0 and Menu(language="auto").reply_language is None


def test_the_controls_reach_the_model(handlers):
    one = handlers("这张唱片很安静。")
    shown = last(
        answer(
            one, "slow jazz", new_session(), temperature=0.2, top_p=0.5, top_k=9.0, length=77.0, seed=" 42 ", tone="brief", language="zh", surprise=0.9,
        )
    )  # fmt: skip
    messages, sampling = one.engine.calls[0]
    drawn = (
        sampling.temperature,
        sampling.top_p,
        sampling.top_k,
        sampling.max_new_tokens,
        sampling.seed,
        sampling.surprise,
    )
    assert drawn == (0.2, 0.5, 9, 77, 42, 0.9)
    reply = shown.session.reply
    assert reply.language == "zh" and shown.session.tone == "brief" and "简短" in messages[0]["content"]


def test_surprise_ranks_what_fewer_know_first(handlers):
    def popularity(surprise):
        session = last(answer(handlers("Fine."), "a science fiction film", new_session(), surprise=surprise)).session
        return sum(candidate.item.popularity for candidate in session.reply.candidates[:10])

    assert popularity(0.0) > popularity(1.0)


def test_the_chip_that_asks_for_a_surprise_gets_one_whatever_the_slider_says(handlers):
    one = handlers("Fine.")
    first = last(answer(one, "slow jazz", new_session())).session
    follow = one.follow(first, "en", gr.EventData(None, {"act": "say:surprise"}))
    last(begun(one, follow, surprise=0.1))
    assert [sampling.surprise for _, sampling in one.engine.calls] == [0.5, 1.0]


@pytest.mark.filterwarnings("ignore:The seed")
@pytest.mark.parametrize("seed", ["", "abc", "--5", "-1", "²", "1.5", None])
def test_a_seed_that_is_no_whole_number_draws_a_fresh_one(handlers, seed):
    session = last(answer(handlers("Fine."), "slow jazz", new_session(), seed=seed)).session
    assert session.reply.status == "done" and session.reply.sampling.seed >= 0


def test_a_message_of_nothing_but_control_characters_is_answered_in_words(handlers):
    before = new_session()
    shown = last(answer(handlers("x"), "\x00\u200b", before))
    assert "empty" in texts(shown.chat)[-1][1] and shown.status == "Not answered"
    assert shown.session.conversation == before.conversation and not shown.session.is_writing


def test_an_unexpected_failure_apologises_without_details_and_keeps_the_conversation(handlers, caplog):
    one, before = handlers("Fine."), new_session()
    one.engine.stream = None  # calling it is a TypeError, as a bug would be
    shown = last(answer(one, "my secret wish for jazz", before))
    assert "went wrong" in texts(shown.chat)[-1][1] and "TypeError" not in str(shown.chat)
    assert shown.session.conversation.turns == before.conversation.turns and not shown.session.is_writing
    assert "secret" not in "".join(record.getMessage() for record in caplog.records)


def test_a_model_that_stops_leaves_its_sentence_and_a_notice(handlers):
    shown = last(answer(handlers("One sentence. And then it", fail_after=16), "slow jazz", new_session()))
    text = texts(shown.chat)[-1][1]
    assert text.startswith("One sentence.") and "try again" in text and shown.status.startswith("Interrupted")
    assert 'data-act="retry"' in shown.actions


def test_a_withheld_sentence_never_reaches_the_browser_and_the_safety_panel_says_why(handlers):
    steps = list(answer(handlers("You are a stupid worthless idiot. ", "Try slow jazz."), "slow jazz", new_session()))
    assert not any("idiot" in str(step) for step in steps) and "1 withheld (insult)" in steps[-1].status
    assert re.search(r"<li><b>insult</b> <code>[01]\.\d\d</code></li>", steps[-1].safety)


def test_closing_the_page_stops_the_model(handlers, monkeypatch):
    monkeypatch.setattr("genrec.ui.session._MIN_INTERVAL_S", 0.0)
    one = handlers("One sentence. Two sentences. " * 20)
    stream = answer(one, "slow jazz", new_session())
    while one.engine.num_open == 0:
        next(stream)
    stream.close()
    assert one.engine.num_open == 0


# Stop, retry and versions, edit, undo


@pytest.fixture
def stopped(handlers, catalogue, monkeypatch):
    """(handlers, session) of a reply that was left after its first sentence."""
    monkeypatch.setattr("genrec.ui.session._MIN_INTERVAL_S", 0.0)
    one = handlers(named(catalogue, 1) + " It is a calm one. It suits an evening.", named(catalogue, 2))
    stream = answer(one, "an animated film", new_session())
    with_text = next(step.session for step in stream if step.session.reply and step.session.reply.text)
    stream.close()
    return one, with_text


def test_stop_keeps_what_was_written_and_knows_what_it_recommended(stopped, catalogue):
    one, session = stopped
    shown = one.stop(session)
    session = shown.session
    assert session.reply.status == "stopped" and shown.status.startswith("Stopped")
    assert texts(shown.chat)[0] == ("user", "an animated film")
    assert texts(shown.chat)[1][1].startswith(named(catalogue, 1))
    assert "film-001" in session.conversation.profile.shown
    after = last(answer(one, "another one", session)).session
    assert "film-001" not in [candidate.item.id for candidate in after.reply.candidates]


def test_a_second_stop_and_a_stop_without_a_reply_change_nothing(stopped):
    one, session = stopped
    session = one.stop(session).session
    assert one.stop(session).session == session
    fresh = new_session()
    assert one.stop(fresh).session == fresh


def test_stop_before_the_first_word_puts_the_message_back_into_the_box(handlers):
    one = handlers("Fine.")
    first = last(answer(one, "slow jazz", new_session())).session
    shown = one.stop(one.take("something longer", first).session)
    assert shown.box["value"] == "something longer" and shown.status == "Stopped"
    assert texts(shown.chat) == texts(chat_rows(first)) and shown.session.conversation == first.conversation


@pytest.fixture
def under_way(handlers):
    """(handlers, further screens, the screen as a press finds it) of a reply that is being written."""
    one = handlers("It is fine. " * 40, "Something else.", size=4)
    steps = answer(one, "slow jazz", new_session())
    found = next(step for step in steps if step.session.reply and step.session.reply.text)
    yield one, steps, found
    steps.close()


def pressed_meanwhile(handlers, press, session, steps):
    """(what the handler of a press gives, what the reply gives after the press)."""
    with ThreadPoolExecutor(1) as other:
        given = other.submit(press)
        while not handlers._writing[session.chat_id].wish:
            pass
        return list(steps), given.result(10)


def test_a_reply_that_is_stopped_shows_that_itself_so_that_nothing_of_it_comes_after(under_way):
    one, steps, found = under_way
    (rest, given) = pressed_meanwhile(one, lambda: one.stop(found.session), found.session, steps)
    assert given == screen() and len(rest) == 1 and rest[0].session.reply.status == "stopped"
    assert rest[0].session.reply.text.startswith(found.session.reply.text) and not rest[0].session.is_writing
    assert one.unlock(rest[0].session, rest[0].status).send["visible"] and one._writing == {}
    assert texts(last(answer(one, "another one", rest[0].session)).chat)[-1] == ("assistant", "Something else.")


def test_a_reply_that_is_left_for_a_new_chat_shows_nothing_more(under_way):
    one, steps, found = under_way
    rest, fresh = pressed_meanwhile(one, lambda: one.restart(found.session, "en"), found.session, steps)
    assert rest == [] and fresh.session.exchanges == () and one.engine.num_open == 0
    late = one.unlock(fresh.session, found.status)  # what the reply gave last was drawn over the new chat
    assert late.chat == [] and late.status == "Ready" and late.box["interactive"] and late.stop["visible"] is False


def test_a_reply_whose_model_is_stuck_is_stopped_at_once_and_shows_nothing_more(under_way, monkeypatch):
    monkeypatch.setattr("genrec.ui.handlers._ENDING_S", 0.01)
    one, steps, found = under_way
    shown = one.stop(found.session)
    assert shown.session.reply.status == "stopped" and list(steps) == []
    assert texts(last(answer(one, "another one", shown.session)).chat)[-1][0] == "assistant"


def test_a_message_is_answered_once_and_a_reply_that_was_cut_off_is_taken_for_stopped(under_way):
    one, steps, found = under_way
    assert list(one.answer(found.session, MENU)) == [screen()]
    assert list(one.answer(replace(found.session, draft=None), MENU)) == [screen()]
    assert one.unlock(found.session, found.status) == screen()  # it goes on
    steps.close()
    cut = one.unlock(found.session, found.status)
    assert cut.session.reply.status == "stopped" and cut.box["interactive"] and cut.send["visible"]


def test_a_message_cut_off_before_its_first_word_goes_back_into_the_box(handlers):
    one = handlers("Fine.")
    waiting = one.take("slow jazz", new_session())
    cut = one.unlock(waiting.session, "Looking through the catalogue …")
    assert cut.box["value"] == "slow jazz" and cut.box["interactive"] and cut.session.exchanges == ()


def test_a_refusal_stays_on_the_screen_when_the_chat_goes_on(handlers):
    one = handlers("Fine.")
    refused = last(answer(one, "I want to kill myself", new_session())).session
    shown = last(answer(one, "slow jazz", refused))
    assert "helpline" in texts(shown.chat)[1][1] and len(shown.chat) == 4


@pytest.fixture
def twice(handlers, catalogue):
    """(handlers, session) of two messages with a reply each, of which the last was written again."""
    one = handlers(*(named(catalogue, number) for number in (1, 2, 3, 4)))
    first = last(answer(one, "an animated film", new_session())).session
    second = last(answer(one, "something longer", first)).session
    return one, last(begun(one, one.retry(second))).session


def test_retry_answers_the_same_message_from_where_it_was_said_and_keeps_both_versions(twice):
    _, session = twice
    assert [turn.text for turn in session.conversation.turns if turn.role == "user"] == [
        "an animated film",
        "something longer",
    ]
    assert "film-002" not in session.conversation.profile.shown and "film-003" in session.conversation.profile.shown
    assert [[item.id for item in reply.items] for reply in session.exchanges[1].replies] == [["film-002"], ["film-003"]]


def test_leafing_back_shows_the_version_before_and_the_chat_goes_on_from_it(twice, catalogue):
    one, session = twice
    session, shown = acted(one, session, "version:-1")
    assert catalogue.by_id["film-002"].title in texts(shown.chat)[-1][1] and "1/2" in shown.actions
    assert "film-002" in session.conversation.profile.shown and "film-003" not in session.conversation.profile.shown
    assert acted(one, session, "version:-1")[0] == session  # there is none before the first
    session, shown = acted(one, session, "version:1")
    assert catalogue.by_id["film-003"].title in texts(shown.chat)[-1][1] and "2/2" in shown.actions


def test_a_retry_that_is_stopped_before_its_first_word_shows_the_version_before(twice, catalogue):
    one, session = twice
    shown = one.stop(one.retry(session).session)
    assert shown.session.conversation == session.conversation and len(shown.session.exchanges[1].replies) == 2
    assert catalogue.by_id["film-003"].title in texts(shown.chat)[-1][1]


def test_retry_without_a_message_is_refused_kindly(handlers):
    assert handlers("x").retry(new_session()).status == "There is no message to answer again yet."


def test_undo_takes_the_last_exchange_back_and_gives_its_message_back(twice):
    one, session = twice
    shown = one.undo(session)
    session = shown.session
    assert len(shown.chat) == 2 and shown.box["value"] == "something longer"
    assert len(session.conversation.turns) == 2 and "film-003" not in session.conversation.profile.shown
    shown = one.undo(session)
    session = shown.session
    assert shown.chat == [] and "genrec-starter" in shown.starter and session.conversation.turns == ()
    assert one.undo(session).status == "There is nothing to take back."


def test_an_edited_message_is_answered_from_where_it_stood(twice):
    one, session = twice
    event = gr.EditData(None, {"index": 0, "value": "a \\[quiet] book", "previous_value": "an animated film"})
    shown = last(begun(one, one.edit(session, event)))
    assert [turn.text for turn in shown.session.conversation.turns if turn.role == "user"] == ["a [quiet] book"]
    assert shown.session.chat_id != session.chat_id  # the branch that was left stays in the history
    assert "film-001" not in shown.session.conversation.profile.shown


# Rate, forget


def like(index, liked):
    return gr.LikeData(None, {"index": index, "value": "", "liked": liked})


@pytest.fixture
def answered(handlers, catalogue):
    store = Store()
    one = handlers(
        f"{named(catalogue, 1)} Or **{catalogue.by_id['film-002'].title}**.", named(catalogue, 3), store=store
    )
    session = last(answer(one, "an animated film without war", new_session())).session
    return one, session, store


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("index", "liked", "field"),
    [
        (1, True, "liked"),
        ([1, 0], True, "liked"),
        (1, "Like", "liked"),
        (1, False, "disliked"),
        (1, "Dislike", "disliked"),
    ],
)
def test_a_thumb_counts_for_every_item_of_its_reply(answered, index, liked, field):
    one, session, store = answered
    rated = one.rate(session, like(index, liked)).session
    ids = session.conversation.turns[1].item_ids
    assert len(ids) == 2 and getattr(rated.conversation.profile, field) == ids
    assert {(feedback.item_id, feedback.rating) for feedback in store.of_user(session.conversation.user_id)} == {
        (id, field.removesuffix("d")) for id in ids
    }


def test_the_same_thumb_twice_counts_once_and_the_other_thumb_replaces_it(answered):
    one, session, store = answered
    once = one.rate(session, like(1, True)).session
    assert one.rate(once, like(1, True)).session == once and store.count() == 2
    changed = one.rate(once, like(1, False)).session.conversation.profile
    assert changed.liked == () and len(changed.disliked) == 2 and store.count() == 2


@pytest.mark.parametrize(("index", "liked"), [(0, True), (9, True), (None, True), (1, None)])
def test_a_thumb_that_belongs_to_no_reply_changes_nothing(answered, index, liked):
    one, session, store = answered
    assert one.rate(session, like(index, liked)) == screen() and store.count() == 0


@pytest.mark.parametrize(("rating", "field"), [("like", "liked"), ("dislike", "disliked"), ("seen", "seen")])
def test_a_button_of_a_card_rates_that_item_alone_and_stays_pressed(answered, rating, field, catalogue):
    one, session, store = answered
    rated, shown = acted(one, session, f"{rating}:film-002")
    assert getattr(rated.conversation.profile, field) == ("film-002",)
    assert [(kept.item_id, kept.rating) for kept in store.of_user(session.conversation.user_id)] == [
        ("film-002", rating)
    ]
    pressed = re.findall(r'data-act="([^"]+)" aria-pressed="true"', shown.cards)
    assert pressed == [f"{rating}:film-002"] and catalogue.by_id["film-002"].title in shown.interests


def test_a_rating_of_an_item_that_is_not_there_is_said_and_kept_nowhere(answered):
    one, session, store = answered
    with pytest.raises(gr.Error, match="no item"):
        acted(one, session, "like:film-999999")
    assert store.count() == 0


def test_what_is_forgotten_leaves_the_profile_and_the_store(answered):
    one, session, store = answered
    session, _ = acted(one, session, "dislike:film-001")
    profile = session.conversation.profile
    wish, fear = profile.likes[0].text, profile.dislikes[0].text
    session, shown = acted(one, session, f"forget:interests:{fear}")
    assert [interest.text for interest in session.conversation.profile.interests] == [
        wish
    ] and fear not in shown.interests
    assert acted(one, session, f"forget:interests:{fear}")[0] == session  # pressed twice
    session, shown = acted(one, session, "forget:kinds:film")
    assert session.conversation.profile.kinds == ()
    session, shown = acted(one, session, "forget:disliked:film-001")
    assert session.conversation.profile.disliked == () and store.count() == 0
    assert 'aria-pressed="true"' not in shown.cards


def test_a_thumb_that_cannot_be_kept_is_said(answered):
    one, session, store = answered
    store.close()
    with pytest.raises(gr.Error, match="could not be kept"):
        one.rate(session, like(1, True))


def test_the_trace_and_a_pop_up_speak_the_language_of_the_page(handlers, monkeypatch):
    one = handlers("Fine.")
    end = last(begun(one, one.take("慢热的科幻片", new_session(), "zh")))
    assert re.search(r"<td>电影</td>.*名气 \d\.\d\d", end.trace) and "温度 0.7" in end.trace
    assert not re.search(r"popularity|temperature|<td>film</td>", end.trace)
    assert set(FEATURES) == set(retrieval.FEATURES)
    with pytest.raises(gr.Error) as refused:
        next(one.explain(new_session(interface="zh"), 8))
    assert has_cjk(refused.value.message)
    monkeypatch.setattr(
        one._assistant.store, "vote", lambda vote: (_ for _ in ()).throw(StoreError("No room.", "没有地方。"))
    )
    *_, (_, shown) = compared(one, end.session)
    with pytest.raises(gr.Error) as failed:
        one.vote(end.session, shown, gr.EventData(None, {"act": "vote:first"}))
    assert failed.value.message == "没有地方。"


# Explain, look closer, export


@pytest.fixture(scope="module")
def real(assistant):
    """(handlers, session, panel, explained) of a reply of the bundled writer, explained."""
    one = Handlers(loaded(assistant))
    session = last(answer(one, "I like slow jazz", new_session(), length=40, temperature=0.3, seed="3")).session
    *steps, (_, explained, _) = one.explain(session, 8)
    shares = [float(share) for panel, *_ in steps for share in re.findall(r'<progress[^>]* value="([\d.]+)"', panel)]
    assert len(shares) == len(steps) > 2 and shares == sorted(shares) and shares[-1] == 1.0
    return one, session, one.settled(session, explained)[0], explained


def test_explain_shows_the_words_of_the_message_with_the_real_model(real):
    _, _, panel, _ = real
    assert "explains" in panel and "slow" in re.sub(r"<[^>]+>", "", panel)


def test_an_explanation_speaks_the_language_of_the_page_and_stays_when_that_is_switched(real):
    one, session, panel, explained = real
    switched = dict(zip(Screen._fields, one.spoken(session, "zh", explained), strict=False))["explanation"]
    assert 'lang="en"' in panel and 'class="why"' in switched and 'lang="zh"' in switched
    other = Shown(replace(session.reply, text="Something else."), explained.attribution, explained.memory)
    for old in (None, other):  # of no reply, or of another one
        assert 'class="why"' not in one.spoken(session, "zh", old)[Screen._fields.index("explanation")]


def test_the_trace_shows_how_likely_each_piece_of_the_reply_was(real):
    one, session, *_ = real
    trace = acted(one, session, "probabilities")[1].trace
    pieces = re.findall(r'class="genrec-token" style="--p:([\d.]+)"[^>]*>([^<]*)<', trace)
    assert "".join(text for _, text in pieces) == escape(plain(session.reply.text))
    shares = [float(share) for share, _ in pieces]
    assert all(0 <= share <= 1 for share in shares) and max(shares) > 0.9
    table = trace.split('id="genrec-least-sure"')[1]
    entropies = [float(cell) for cell in re.findall(r"<td>(\d+\.\d\d)</td>", table)]
    assert len(entropies) == 6 and entropies == sorted(entropies, reverse=True) and entropies[0] > 0.5
    assert re.search(r"<b>[^<]+</b></td><td>\d+%</td><td>[^<]+</td><td>\S+ \d+%, ", table)


def test_an_export_holds_the_whole_chat_and_the_explanation_of_its_last_reply(real):
    one, session, _, explained = real

    def exported(kind, explained=explained):
        return one.export(session, explained, gr.EventData(None, {"act": f"export:{kind}"}))

    text = session.reply.text.split("**")[0].strip()
    files = {kind: exported(kind) for kind in ("md", "json", "html")}
    for kind, file in files.items():
        assert (escape(text[:20]) if kind == "html" else text[:20]) in file["text"] and "I like slow jazz" in file[
            "text"
        ]
    kept = json.loads(files["json"]["text"])
    assert kept["exchanges"][0]["seed"] == 3 and [word["word"] for word in kept["explanation"]["words"]] == [
        "I",
        "like",
        "slow",
        "jazz",
    ]
    assert "genrec-words" in files["html"]["text"] and "http" not in files["html"]["text"].replace("http-equiv", "")
    other = Shown(replace(session.reply, text="Something else."), explained.attribution, explained.memory)
    assert "explanation" not in json.loads(exported("json", other)["text"])


def test_a_report_escapes_what_was_said(handlers):
    one = handlers("Fine.")
    session = last(answer(one, f"slow jazz {EVIL}", new_session())).session
    assert_escaped(one.export(session, None, gr.EventData(None, {"act": "export:html"}))["text"])


def test_an_export_of_nothing_is_refused_kindly(handlers):
    with pytest.raises(gr.Error, match="nothing to export"):
        handlers("x").export(new_session(), None, gr.EventData(None, {"act": "export:md"}))


def test_explain_without_a_reply_is_refused_kindly(handlers):
    with pytest.raises(gr.Error, match="first"):
        next(handlers("x").explain(new_session(), 8))


def test_the_real_model_answers_through_the_handlers_with_a_seed(real, assistant):
    _, session, *_ = real
    again = last(
        answer(Handlers(loaded(assistant)), "I like slow jazz", new_session(), length=40, temperature=0.3, seed="3")
    )
    assert texts(again.chat) == texts(chat_rows(session)) and again.session.reply.status == "done"


# Earlier chats


def test_a_chat_kept_in_the_browser_can_be_opened_again_and_goes_on(twice):
    one, session = twice
    history, shown = one.remember(session, [])
    history = json.loads(json.dumps(history))  # as the browser keeps it
    assert "an animated film" in shown and len(history) == 1
    back = one.reopen(new_session("somebody"), history, "en", gr.EventData(None, {"act": f"open:{session.chat_id}"}))
    assert texts(back.chat) == texts(chat_rows(session)) and back.session.conversation.user_id == "somebody"
    assert back.session.conversation.profile.interests == session.conversation.profile.interests
    assert {"film-001", "film-003"} <= set(back.session.conversation.profile.shown)
    after = last(answer(one, "another one", back.session)).session
    assert len(one.remember(after, history)[0]) == 1 and len(after.exchanges) == 3


def test_the_newest_chat_is_first_and_a_search_finds_by_words_of_either_side(handlers):
    one = handlers("Try a calm harbour.", "Try a loud fair.")
    history = []
    for message in ("somewhere quiet", "somewhere lively"):
        session = last(answer(one, message, new_session())).session
        history, shown = one.remember(session, history)
    assert [chat["title"] for chat in history] == ["somewhere lively", "somewhere quiet"]
    assert "quiet" in one.search("HARBOUR somewhere", history, "en") and "lively" not in one.search(
        "harbour", history, "en"
    )
    assert "No earlier chats" in one.search("marzipan", history, "en") and one.clear_history("en")[0] == []


@pytest.mark.parametrize("chat", [{}, {"id": "x", "exchanges": [{}]}, {"id": "x", "exchanges": 3}])
def test_a_kept_chat_that_somebody_changed_is_said_to_be_unreadable(handlers, chat):
    with pytest.raises(gr.Error, match="could not be read"):
        handlers("x").reopen(new_session(), [chat], "en", gr.EventData(None, {"act": f"open:{chat.get('id', '')}"}))


def test_a_kept_chat_cannot_bring_an_image_or_a_link(handlers):
    exchange = {"message": "hi", "text": "![x](http://elsewhere/x.png) Fine <img src=x>", "notice": "", "language": "en", "status": "done", "seed": 1}  # fmt: skip
    chat = {"id": "x", "exchanges": [exchange]}
    shown = handlers("x").reopen(new_session(), [chat], "en", gr.EventData(None, {"act": "open:x"}))
    assert texts(shown.chat)[1][1].strip() == "Fine"


# Cold start and links


@pytest.mark.parametrize(
    ("picks", "language", "wanted"),
    [
        (
            {"kind": "a film", "mood": "energetic", "company": "for couples"},
            "en",
            "I'd like an energetic film for couples.",
        ),
        ({"kind": "an album"}, "en", "I'd like an album."),
        ({"mood": "quiet", "topic": "jazz"}, "en", "I'd like something quiet, jazz."),
        ({"kind": "电影", "mood": "安静", "company": "和朋友一起"}, "zh", "想要安静的电影，和朋友一起。"),
        ({}, "en", ""),
    ],
)
def test_quick_choices_make_a_message(picks, language, wanted):
    assert Handlers.picked(language, gr.EventData(None, {"act": f"pick:{json.dumps(picks)}"})) == wanted


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_quick_choices_are_those_of_the_catalogue_at_hand(handlers, language, catalogue, vocabulary, table):
    one = handlers("x")
    *_, starter, in_use = one.readiness(language, new_session())
    for question in onboarding(catalogue.items, vocabulary, language):
        for choice in question.choices:
            assert f'data-value="{choice.words}" aria-pressed="false">{choice.label}<' in starter
    assert f"{len(catalogue.items):,}" in in_use and 'data-act="ask:0"' in starter
    *parts, _, _ = one.catalogue_use(table(), new_session(), language, *columns_of(one.catalogue_read(table(), language)))  # fmt: skip
    mine = Screen(*parts).starter
    assert 'data-act="ask:0"' not in mine and "calm" not in mine and "安静" not in mine


def test_an_example_is_asked_in_the_language_of_the_page(handlers):
    shown = handlers("x").follow(new_session(), "zh", gr.EventData(None, {"act": "ask:0"}))
    assert texts(shown.chat) == [("user", "我喜欢慢热的科幻片，不要恐怖片")] and shown.status.startswith("正在")


def test_a_link_asks_its_question_once(handlers):
    one = handlers("Fine.")
    question, *_ = one.opened("slow jazz", "en", None, new_session())
    assert texts(one.linked(question, new_session(), "en").chat) == [("user", "slow jazz")]
    going = last(answer(one, "a film", new_session())).session
    assert one.linked(question, going, "en") == screen()


def test_the_interface_speaks_the_language_of_the_page(handlers, catalogue):
    one = handlers(named(catalogue, 1))
    shown = last(begun(one, one.take("an animated film", new_session(), "zh")))
    assert shown.status.startswith("完成") and "重试" in shown.actions and "看过了" in shown.cards
    assert "候选" in shown.trace and "阈值" in shown.safety and "想要" in shown.interests


def test_every_text_of_the_interface_is_there_in_both_languages():
    for table in (TEXTS, CATEGORIES, REASONS, SAID, FEATURES):
        for key, (english, chinese) in table.items():
            assert english and (has_cjk(chinese) or english == chinese), key
            assert re.findall(r"{[^}]*}", english) == re.findall(r"{[^}]*}", chinese), key


# Sessions


def test_a_visitor_gets_an_id_of_his_own_with_his_first_message(handlers):
    one, nobody = handlers("Fine."), Session(Conversation())
    first, second = (one.take("slow jazz", nobody).session for _ in range(2))
    ids = [first.conversation.user_id, second.conversation.user_id, first.chat_id, second.chat_id]
    assert all(ids) and len(set(ids)) == 4
    assert one.take("more", first.finished()).session.conversation.user_id == ids[0]


def test_two_visitors_share_nothing(handlers, catalogue):
    one = handlers(named(catalogue, 1), named(catalogue, 2), named(catalogue, 3))
    ann = last(answer(one, "an animated film without war", new_session())).session
    ann = one.rate(ann, like(1, False)).session
    bob = last(answer(one, "an animated film", new_session())).session
    alone = last(answer(handlers(named(catalogue, 2)), "an animated film", new_session())).session
    assert ann.conversation.user_id != bob.conversation.user_id
    assert bob.conversation.turns == alone.conversation.turns and bob.conversation.profile == alone.conversation.profile
    assert [candidate.item.id for candidate in bob.reply.candidates] == [
        candidate.item.id for candidate in alone.reply.candidates
    ]


def test_two_replies_streamed_at_once_do_not_mix(handlers, monkeypatch):
    monkeypatch.setattr("genrec.ui.session._MIN_INTERVAL_S", 0.0)
    one = handlers("First reply. It goes on. It ends.", "Second reply. It goes on. It ends.")
    streams = [answer(one, "jazz for Ann", new_session()), answer(one, "horror for Bob", new_session())]
    ends: list = [None, None]
    is_open = [True, True]
    while any(is_open):
        for number, stream in enumerate(streams):
            step = next(stream, None)
            is_open[number] = step is not None
            ends[number] = step or ends[number]
    assert [texts(end.chat) for end in ends] == [
        [("user", "jazz for Ann"), ("assistant", "First reply. It goes on. It ends.")],
        [("user", "horror for Bob"), ("assistant", "Second reply. It goes on. It ends.")],
    ]


# What is rendered


def assert_escaped(html: str) -> None:
    assert "alert" in html and "<script" not in html and "<img" not in html


def test_catalogue_text_is_escaped_in_cards(vocabulary):
    item = Item("x", EVIL, EVIL, EVIL, EVIL, EVIL, 1999, EVIL)
    for language in ("en", "zh"):
        reply = Reply(language=language, candidates=(Candidate(item, 1.0, fits=(EVIL,)),))
        html = render.cards([item], reply, vocabulary)
        assert_escaped(html)
        assert "1999" in html and "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (Reply(), "Writing; a sentence is checked before it is shown …"),
        (Reply(text="Fine."), "Writing …"),
        (Reply(status="refused", withheld=(Withheld("injection", 1.0),)), "Not answered · 1 withheld (injection)"),
        (
            Reply(status="done", num_tokens=20, seconds=2.0, first_sentence_s=0.5),
            "Done · 20 tokens · 10 tokens/s · first sentence 0.5 s · seed None",
        ),
        (
            Reply(status="done", withheld=(Withheld("identity_attack", 1.0), Withheld("fact", 1.0))),
            "Done · 2 withheld (identity attack, fact)",
        ),
    ],
)
def test_the_status_line_says_what_is_going_on(reply, wanted):
    assert render.status_line(reply) == wanted


def test_a_message_makes_no_image_link_or_tag_in_the_chat():
    text = "![x](http://elsewhere/x.png) [y](http://elsewhere) <b>z</b>"
    shown = texts(chat_rows(new_session().asked(text)))[0][1]
    assert shown == r"!\[x](http://elsewhere/x.png) \[y](http://elsewhere) \<b>z\</b>" and typed_message(shown) == text


def test_chat_rows_keep_every_space_of_what_was_typed():
    session = new_session().asked("  two\n    lines  ")
    assert texts(chat_rows(session)) == [("user", "  two\n    lines  ")]
    assert chat_rows(new_session()) == [] and isinstance(session.conversation, Conversation)


# While the models are being loaded


def test_a_message_sent_while_the_models_load_waits_for_them_and_is_answered(make_assistant, scripted):
    loading = Future()
    one = Handlers(loading)
    with closing(answer(one, "quiet science fiction", new_session())) as steps:
        first = next(steps)
        assert first.status.startswith("Warming up") and texts(first.chat) == [("user", "quiet science fiction")]
        loading.set_result(make_assistant(scripted(["Here is one sentence."])))
        end = last(steps)
    assert texts(end.chat)[-1] == ("assistant", "Here is one sentence.") and end.status.startswith("Done")


def test_the_page_says_what_is_loading_and_then_which_model_writes(make_assistant, scripted):
    loading = Future()
    one = Handlers(loading)
    header, _, why, clock, starter, _ = one.readiness("en", new_session())
    assert (
        starter == gr.update()
        and "loading the models" in header
        and why["interactive"] is False
        and "active" not in clock
    )
    assistant = make_assistant(scripted(["Fine."]))
    assistant.notice = "The bundled writer serves."
    loading.set_result(assistant)
    header, notice, why, clock, starter, _ = one.readiness("en", new_session())
    assert "data-pick" in starter and one.readiness("en", new_session().asked("x"))[4] == gr.update()
    assert "scripted" in header and "loading" not in header and clock["active"] is False
    assert notice["visible"] and "The bundled writer serves." in notice["value"] and why["interactive"]


# The served page


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_app_serves_its_page_asks_for_nothing_from_elsewhere_and_closes(make_assistant, scripted, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assistant = make_assistant(scripted(["Fine."]))
    app = launch(loaded(assistant), Settings(port=port))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as response:
            page, status = response.read().decode(), response.status
        assert status == 200 and "GenRec" in page and app.share_url is None
        fetched = re.findall(r"""(?:src|href)\s*=\s*["']?(https?://[^"'\s>]+)""", page) + re.findall(
            r"url\(\s*[\"']?(https?://[^\"')]+)", page
        )
        assert [address for address in fetched if not re.match(r"https?://(127\.0\.0\.1|localhost)[:/]", address)] == []
        assert "google-analytics" not in page and "googletagmanager" not in page
    finally:
        app.close(verbose=False)
        del app
        gc.collect()  # what gradio leaves open is found here, not in somebody else's test
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_an_explanation_asked_for_again_is_not_worked_out_again(real):
    one, session, panel, explained = real
    *_, (_, shown, _) = one.explain(session, 8, explained)
    again, halt = one.settled(session, shown)
    assert again == panel and halt["visible"] is False and shown.attribution is explained.attribution


def test_a_stopped_explanation_leaves_the_panel_as_it_was_and_what_it_scored_is_not_scored_again(real):
    one, session, panel, explained = real
    fresh = one.explain(session, 16)
    _, shown, halt = next(fresh)
    assert halt["visible"] and shown.attribution is None
    while not shown.memory.scores:
        next(fresh)
    fresh.close()
    back, halt = one.settled(session, shown)
    assert back == render.hint("why_hint", "en") and halt["visible"] is False
    num_scored = len(shown.memory.scores)
    assert 0 < num_scored < len(explained.memory.scores) and shown.memory.attributions == {}
    assert next(one.explain(session, 16, shown))[1].memory is shown.memory  # goes on from there
    more = one.explain(session, 16, explained)  # of a reply that is explained already
    next(more), next(more), more.close()
    assert one.settled(session, explained)[0] == panel
    assert one.settled(one.undo(session).session, explained)[0] == render.hint("why_hint", "en")


def test_a_reply_that_is_still_written_is_not_explained_yet(under_way):
    one, _, found = under_way
    with pytest.raises(gr.Error, match="A reply is being written"):
        next(one.explain(found.session, 8))


def test_an_explanation_that_fails_says_why(real, monkeypatch):
    one, session, _, explained = real
    monkeypatch.setattr(
        one._assistant, "explaining", lambda *args, **options: (_ for _ in ()).throw(EngineError("lost"))
    )
    steps = one.explain(session, 16, explained)
    assert next(steps)[2]["visible"] is True
    with pytest.raises(gr.Error, match="lost"):
        next(steps)


def test_a_wrong_verdict_can_be_reported_and_the_message_goes_only_where_it_is_sent(handlers):
    store = Store()
    one = handlers("You are a disgusting stupid idiot and I hate you.", store=store)
    end = last(answer(one, "quiet science fiction", new_session()))
    assert 'data-act="wrong"' in end.safety and 'data-act="wrong_with"' in end.safety
    for act in ("wrong", "wrong_with"):
        acted(one, end.session, act)
    told = [one.message for one in store.reports()]
    assert set(told[: len(told) // 2]) == {None} and set(told[len(told) // 2 :]) == {"quiet science fiction"}
    calm = last(answer(handlers("Fine."), "quiet science fiction", new_session()))
    assert 'data-act="wrong"' not in calm.safety


def test_updates_are_paced_but_no_sentence_waits_for_the_next(monkeypatch):
    monkeypatch.setattr("genrec.ui.session._MIN_INTERVAL_S", 1.0)
    clock = [100.0]
    monkeypatch.setattr("genrec.ui.session.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("genrec.ui.session.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    one, other = (Reply(status="writing", sentences=(Sentence("It is fine.", 0, 11),) * number) for number in (1, 2))
    shown = paced(iter((one, one, other, other, replace(other, status="done"))))
    assert [(len(reply.sentences), reply.status, clock[0]) for reply in shown] == [
        (1, "writing", 100.0),
        (2, "writing", 101.0),
        (2, "done", 101.0),
    ]


# Two settings side by side


def compared(handlers, session, first="safe", second="bold", **controls):
    """Every step of a comparison: [(html, comparison)]."""
    return list(handlers.compare(session, MENU._replace(**controls), first, second))


def test_a_message_is_written_in_two_settings_from_one_seed_and_named_only_after_the_vote(handlers):
    store = Store()
    one = handlers("Take <b>this</b>.", "Or that.", "Or else.", store=store)
    session = last(answer(one, "slow jazz", new_session())).session
    (*_, (html, shown)) = steps = compared(one, session)
    drawn = [reply.sampling for reply in shown.replies]
    assert sorted(shown.settings) == ["bold", "safe"] and [one.seed for one in drawn] == [1, 1]
    assert {one.temperature for one in drawn} == {0.3, 1.0} and shown.message == "slow jazz"
    assert "<b>this" not in html and "temperature" not in html and html.count('data-act="vote:') == 3
    assert "vote:" not in steps[0][0]  # not before both are whole
    html, voted = one.vote(session, shown, gr.EventData(None, {"act": "vote:second"}))
    assert "is-picked" in html and "temperature 0.3" in html and "vote:" not in html
    assert one.vote(session, voted, gr.EventData(None, {"act": "vote:first"})) == (gr.skip(), gr.skip())
    (kept,) = store.votes()
    assert kept.better == "second" and kept.second.startswith(f"{shown.settings[1]}: temperature ")
    assert "slow jazz" not in str(kept) and session.conversation.user_id not in str(kept)


def test_the_menu_can_be_compared_with_itself_from_another_seed(handlers):
    one = handlers("Fine.")
    session = last(answer(one, "slow jazz", new_session())).session
    *_, (_, shown) = compared(one, session, "mine", "other_seed", temperature=0.4)
    by_setting = dict(zip(shown.settings, (reply.sampling for reply in shown.replies), strict=True))
    assert by_setting["mine"].seed == 1 != by_setting["other_seed"].seed
    assert by_setting["other_seed"] == replace(by_setting["mine"], seed=by_setting["other_seed"].seed)


def test_a_message_is_written_by_two_models_from_one_seed_and_the_vote_tells_them_apart(make_assistant, scripted):
    store, loaded_engines = Store(), []

    def load_second():
        loaded_engines.append(scripted(["By the other."], name="other writer"))
        return loaded_engines[-1]

    one = Handlers(loaded(make_assistant(scripted(["Fine.", "By the first."]), store)), load_second)
    session = last(answer(one, "slow jazz", new_session())).session
    assert loaded_engines == []  # not before somebody compares with it
    for _ in range(2):
        steps = compared(one, session, "mine", "second_model", temperature=0.4)
    (html, shown) = steps[-1]
    by_setting = dict(zip(shown.settings, shown.replies, strict=True))
    assert [(by_setting[name].text, by_setting[name].model) for name in ("mine", "second_model")] == [
        ("By the first.", "scripted"),
        ("By the other.", "other writer"),
    ]
    assert by_setting["mine"].sampling == by_setting["second_model"].sampling and "other writer" not in html
    assert len(loaded_engines) == 1
    html, _ = one.vote(session, shown, gr.EventData(None, {"act": "vote:first"}))
    (kept,) = store.votes()
    assert "other writer" in html and sorted([kept.first, kept.second])[1].endswith("other writer")


def test_a_second_model_that_cannot_be_loaded_is_said_and_tried_again(make_assistant, scripted):
    engines = [EngineError("The model x/y is not on this machine."), scripted(["By the other."])]

    def load_second():
        engine = engines.pop(0)
        if isinstance(engine, EngineError):
            raise engine
        return engine

    one = Handlers(loaded(make_assistant(scripted(["Fine."]))), load_second)
    session = last(answer(one, "slow jazz", new_session())).session
    with pytest.raises(gr.Error, match="x/y is not on this machine"):
        compared(one, session, "mine", "second_model")
    assert all(reply.text for reply in compared(one, session, "mine", "second_model")[-1][1].replies)


def test_while_the_second_model_is_loaded_the_panel_says_so_of_neither_side(make_assistant, scripted):
    go_on = threading.Event()

    def load_second():
        assert go_on.wait(60)
        return scripted(["By the other."])

    one = Handlers(loaded(make_assistant(scripted(["Fine."]))), load_second)
    session = last(answer(one, "slow jazz", new_session())).session
    steps = one.compare(session, MENU, "mine", "second_model")
    html, shown = next(steps)
    assert "Loading the other model" in html and shown.replies == (None, None)
    go_on.set()
    assert list(steps)[-1][1].is_whole


def test_a_comparison_needs_a_message_and_speaks_the_language_of_the_page(handlers):
    one = handlers("Fine.")
    with pytest.raises(gr.Error, match="Ask for a recommendation first"):
        compared(one, new_session())
    session = last(answer(one, "slow jazz", new_session())).session
    *_, (_, shown) = compared(one, session)
    assert "A 更好" in one.compared(shown, "zh") and "种子" in one.compared(None, "zh")


def test_a_comparison_that_was_cut_off_or_whose_message_is_gone_is_left_out(handlers):
    one = handlers("Fine.", "Here is one.", "Here is another.")
    session = last(answer(one, "slow jazz", new_session())).session
    steps = compared(one, session)
    html, shown = one.compare_settled(session, steps[-1][1], "en")
    assert "vote:first" in html and shown == steps[-1][1]
    for case in ((session, steps[0][1]), (one.undo(session).session, shown), (session, None)):
        assert one.compare_settled(*case, "en") == (render.hint("compare_hint", "en"), None)


# A catalogue of one's own


ROWS = [{"name": f"Quiet Song {number}", "artist": "Some Band", "released": 1990 + number, "genre": "jazz", "price": 5} for number in range(30)]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """Writes rows as the file that a visitor uploads."""

    def write(rows=ROWS, name="songs.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
        return str(tmp_path / name)

    return write


def columns_of(shown):
    """The columns that a read table proposes, as the screen sends them back."""
    return [field["value"] for field in shown[2:]]


def test_an_uploaded_table_is_used_by_its_visitor_alone_and_let_go_again(handlers, table, catalogue):
    store = Store()
    one = handlers("Take **Quiet Song 3**.", store=store)
    shown = one.catalogue_read(table(), "en")
    assert "songs.jsonl: 30 items" in shown[0] and shown[1]["visible"] and "price (number)" in shown[0]
    assert columns_of(shown) == [["name"], ["artist"], ["released"], [], ["genre"], [], []]
    *parts, told, back = one.catalogue_use(table(), new_session(), "en", *columns_of(shown))
    mine = Screen(*parts).session
    assert "songs.jsonl, 30 items" in told and back["visible"] and mine.exchanges == ()
    end = last(answer(one, "slow jazz", mine))
    (item,) = end.session.reply.items
    assert item.title == "Quiet Song 3" and "Some Band" in end.cards
    one.act(end.session, gr.EventData(None, {"act": f"like:{item.id}"}))
    assert store.count() == 0  # whose ids mean other things in everybody's store
    theirs = last(answer(one, "slow jazz", new_session())).session
    assert theirs.reply.items == () and theirs.reply.candidates[0].item.id in catalogue.by_id
    assert one.restart(end.session, "en").session.catalogue == mine.catalogue  # a new chat keeps it
    *parts, told, back = one.catalogue_back(end.session, "zh")
    bundled = last(answer(one, "slow jazz", Screen(*parts).session)).session
    assert bundled.reply.items == () and "自带的目录" in told and not back["visible"]
    gone = last(answer(one, "slow jazz", new_session(catalogue=mine.catalogue))).session
    assert gone.catalogue == "" and gone.reply.text  # answered from everybody's
    *parts, _, _ = one.catalogue_use(table(), new_session(), "en", *columns_of(shown))
    one.left(Screen(*parts).session)
    assert one._assistant_of(Screen(*parts).session) is one._assistant


def test_a_column_can_be_corrected_before_the_table_is_used(handlers, table):
    one = handlers("x")
    path = table()
    columns = [["artist"], ["name"], *columns_of(one.catalogue_read(path, "en"))[2:]]
    report, use = one.catalogue_corrected(path, "en", *columns)
    assert "30 items" in report and use["visible"]
    *parts, _, _ = one.catalogue_use(path, new_session(), "en", *columns)
    items = one._assistant_of(Screen(*parts).session).catalogue.items
    assert items[0].title == "Some Band" and items[0].creator == "Quiet Song 0"
    report, use = one.catalogue_corrected(path, "en", [], *columns[1:])
    assert "genrec-alert" in report and not use["visible"]


def test_hostile_rows_are_reported_by_line_and_nothing_of_them_is_markup(handlers, table):
    one = handlers("Take **one**.")
    rows = [{"name": EVIL, "genre": EVIL}, {"name": "", "genre": "x"}, {"name": "<b>one", "genre": EVIL, EVIL: EVIL}, *ROWS]  # fmt: skip
    shown = one.catalogue_read(table(rows, "evil.jsonl"), "en")
    assert "Rows left out: 2" in shown[0] and all(f"evil.jsonl line {line}:" in shown[0] for line in (1, 2))
    chinese = one.catalogue_read(table(rows, "evil.jsonl"), "zh")[0]
    assert (
        "没有采用的行：2" in chinese and "evil.jsonl第2行：“name”一栏缺失或为空" in chinese and "missing" not in chinese
    )
    *parts, told, _ = one.catalogue_use(table(rows, "evil.jsonl"), new_session(), "en", *columns_of(shown))
    end = last(answer(one, "slow jazz", Screen(*parts).session))
    for html in (shown[0], told, end.cards, end.trace, end.interests):
        assert "<script" not in html and "<img" not in html


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b"", "It is empty"),
        ("a.txt", b"x", "a catalogue is a .jsonl or .csv file"),
        ("a.csv.gz", b"x", "please unpack it first"),
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.csv", b"name\n" + b"x" * (5 * 2**20), "larger than 5 MB"),
        ("a.jsonl", b'{"name": "x"}\n' * 10_001, "more than 10,000 rows"),
        ("gone.csv", None, "no longer there"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_name_alone(handlers, tmp_path, name, content, told):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    report, use, *columns = handlers("x").catalogue_read(str(path), "en")
    assert told in report and name in report and str(tmp_path) not in report
    chinese, *_ = handlers("x").catalogue_read(str(path), "zh")
    assert name in chinese and str(tmp_path) not in chinese and has_cjk(chinese) and told not in chinese
    assert not use["visible"] and not any(column["visible"] for column in columns)


# What was measured


def test_the_figures_are_those_of_the_cards_each_beside_its_goal(tmp_path, assets):
    measured = figures.read_figures(assets / "models")
    for line in figures.LINES:  # each has a figure in a card and words in both languages
        assert (line.model, line.key.format("en")) in measured and line.key.removesuffix("_{}") in FIGURES
    (tmp_path / "toxicity").mkdir()
    card = {"figures": {"hatecheck_accuracy": 0.5, "held_out_auc_en": 0.97, "rec_false_positives_zh": 0.02}}
    (tmp_path / "toxicity" / "card.json").write_text(json.dumps(card), "utf-8")
    html = figures.rendered(figures.read_figures(tmp_path), "en")
    assert 'aria-label="50.0 %, goal ≥ 68.0 %"' in html and "English 97.0 %, goal ≥ 95.5 %" in html
    assert html.count(" short") == 1 and "Chinese 2.0 %, goal ≤ 3.0 %" in html and "Writer" not in html


def test_a_figure_with_an_interval_shows_it(tmp_path):
    (tmp_path / "ranker").mkdir()
    card = {"figures": {"cpcd_hit_10": 0.6, "cpcd_hit_10_se": 0.05}}
    (tmp_path / "ranker" / "card.json").write_text(json.dumps(card), "utf-8")
    assert "left:50.2%;width:19.6%" in figures.rendered(figures.read_figures(tmp_path), "zh")
