"""The browser app without a browser: its handlers as plain functions, what they render, and the page that it serves."""

from __future__ import annotations

import gc
import re
import socket
import urllib.request
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace

import gradio as gr
import pytest

from genrec.schema import (
    Attribution,
    Candidate,
    Citation,
    Conversation,
    Item,
    Reply,
    Sentence,
    Withheld,
    Word,
    WordPair,
    WordScore,
)
from genrec.settings import Settings
from genrec.store import Store
from genrec.ui import render
from genrec.ui.app import Handlers, chat_rows, launch, new_session


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


def answer(
    handlers,
    message,
    session,
    *,
    temperature=0.7,
    top_p=0.9,
    top_k=0,
    length=60,
    seed="1",
    tone="warm",
    language="as I write",
):
    """Both steps of a submit; yields (chat, session, status, cards)."""
    session = handlers.take(message, session)[0]
    with closing(handlers.answer(session, temperature, top_p, top_k, length, seed, tone, language)) as steps:
        for session, chat, status, cards in steps:
            yield chat, session, status, cards


def last(steps):
    """(chat, session, status, cards) at the end of a stream."""
    *_, end = steps
    return end


def texts(rows):
    return [(row["role"], row["content"][0]["text"]) for row in rows]


def named(catalogue, number):
    return f"You may like **{catalogue.by_id[f'film-{number:03d}'].title}**."


# A message


def test_a_message_is_shown_at_once_and_the_input_is_locked(handlers):
    session, chat, box, send, stop, panel, status = handlers("x").take("slow  jazz\n", new_session())
    assert texts(chat) == [("user", "slow  jazz\n")] and session.message == "slow  jazz\n"
    assert panel == "" and status.startswith("Looking")
    assert box["value"] == "" and box["interactive"] is False and send["visible"] is False and stop["visible"] is True


@pytest.mark.parametrize("message", ["", "  \n\t"])
def test_an_empty_message_is_refused_kindly_and_begins_nothing(handlers, message):
    never = handlers("x")
    *untouched, status = never.take(message, new_session())
    assert untouched == [gr.skip()] * 6 and status == "Type what you like first; a few words are enough."
    assert list(never.answer(new_session(), 0.7, 0.9, 0, 60, "1", "warm", "as I write")) == [(gr.skip(),) * 4]
    assert never.engine.calls == []


def test_after_the_reply_the_input_is_unlocked(handlers):
    box, send, stop = handlers("x").unlock()
    assert (box["interactive"], send["visible"], stop["visible"]) == (True, True, False)


def test_the_reply_streams_into_chat_session_status_and_cards(handlers, catalogue, monkeypatch):
    monkeypatch.setattr("genrec.ui.app._MIN_INTERVAL_S", 0.0)
    one = handlers(named(catalogue, 1) + " It is a calm one. It suits an evening.")
    steps = list(answer(one, "an animated film", new_session()))
    shown = [texts(chat)[-1][1] for chat, *_ in steps]
    assert len(steps) >= 4 and all(after.startswith(before.rstrip()) for before, after in zip(shown[1:], shown[2:]))
    chat, session, status, cards = steps[-1]
    assert texts(chat) == [
        ("user", "an animated film"),
        ("assistant", f"{named(catalogue, 1)} It is a calm one. It suits an evening."),
    ]
    assert texts(chat_rows(session)) == texts(chat)
    assert session.reply.status == "done" and session.conversation.turns[-1].item_ids == ("film-001",)
    assert status.startswith("Done · ") and "seed 1" in status
    assert catalogue.by_id["film-001"].title in cards


def test_the_controls_reach_the_model(handlers):
    one = handlers("这张唱片很安静。")
    _, session, *_ = last(
        answer(
            one,
            "slow jazz",
            new_session(),
            temperature=0.2,
            top_p=0.5,
            top_k=9.0,
            length=77.0,
            seed=" 42 ",
            tone="brief",
            language="中文",
        )
    )
    messages, sampling = one.engine.calls[0]
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens, sampling.seed) == (
        0.2,
        0.5,
        9,
        77,
        42,
    )
    assert session.reply.language == "zh" and session.tone == "brief" and "简短" in messages[0]["content"]


@pytest.mark.filterwarnings("ignore:The seed")
@pytest.mark.parametrize("seed", ["", "abc", "--5", "-1", "²", "1.5", None])
def test_a_seed_that_is_no_whole_number_draws_a_fresh_one(handlers, seed):
    _, session, *_ = last(answer(handlers("Fine."), "slow jazz", new_session(), seed=seed))
    assert session.reply.status == "done" and session.reply.sampling.seed >= 0


def test_a_message_of_nothing_but_control_characters_is_answered_in_words(handlers):
    before = new_session()
    chat, session, status, cards = last(answer(handlers("x"), "\x00\u200b", before))
    assert "empty" in texts(chat)[-1][1] and session.conversation == before.conversation and status == "Not answered"


def test_an_unexpected_failure_apologises_without_details_and_keeps_the_conversation(handlers, caplog):
    class Broken(Handlers):
        pass

    one, before = handlers("Fine."), new_session()
    one.engine.stream = None  # calling it is a TypeError, as a bug would be
    chat, session, status, _ = last(answer(one, "my secret wish for jazz", before))
    assert (
        "went wrong" in texts(chat)[-1][1]
        and "TypeError" not in str(chat)
        and session.conversation == before.conversation
    )
    assert "secret" not in "".join(record.getMessage() for record in caplog.records)


def test_a_model_that_stops_leaves_its_sentence_and_a_notice(handlers):
    chat, session, status, _ = last(
        answer(handlers("One sentence. And then it", fail_after=16), "slow jazz", new_session())
    )
    assert (
        texts(chat)[-1][1].startswith("One sentence.")
        and "try again" in texts(chat)[-1][1]
        and status.startswith("Interrupted")
    )


def test_a_withheld_sentence_never_reaches_the_browser(handlers):
    steps = list(answer(handlers("You are a stupid worthless idiot. ", "Try slow jazz."), "slow jazz", new_session()))
    assert not any("idiot" in str(step) for step in steps) and "1 withheld (insult)" in steps[-1][2]


def test_closing_the_page_stops_the_model(handlers, monkeypatch):
    monkeypatch.setattr("genrec.ui.app._MIN_INTERVAL_S", 0.0)
    one = handlers("One sentence. Two sentences. " * 20)
    stream = answer(one, "slow jazz", new_session())
    while one.engine.num_open == 0:
        next(stream)
    stream.close()
    assert one.engine.num_open == 0


# Stop, retry, and events that come twice


@pytest.fixture
def stopped(handlers, catalogue, monkeypatch):
    """(handlers, session) of a reply that was left after its first sentence."""
    monkeypatch.setattr("genrec.ui.app._MIN_INTERVAL_S", 0.0)
    one = handlers(named(catalogue, 1) + " It is a calm one. It suits an evening.", named(catalogue, 2))
    stream = answer(one, "an animated film", new_session())
    with_text = next(session for _, session, *_ in stream if session.reply.text)
    stream.close()
    return one, with_text


def test_stop_keeps_what_was_written_and_knows_what_it_recommended(stopped, catalogue):
    one, session = stopped
    session, chat, status, _ = one.stop(session)
    assert session.reply.status == "stopped" and status.startswith("Stopped")
    assert texts(chat)[0] == ("user", "an animated film") and texts(chat)[1][1].startswith(named(catalogue, 1))
    assert "film-001" in session.conversation.profile.shown
    _, after, *_ = last(answer(one, "another one", session))
    assert "film-001" not in [candidate.item.id for candidate in after.reply.candidates]


def test_a_second_stop_and_a_stop_without_a_reply_change_nothing(stopped):
    one, session = stopped
    session, *_ = one.stop(session)
    assert one.stop(session)[0] == session
    fresh = new_session()
    assert one.stop(fresh)[0] == fresh


def test_stop_before_the_first_word_puts_the_message_back_into_the_box(handlers):
    one = handlers("Fine.")
    _, first, *_ = last(answer(one, "slow jazz", new_session()))
    pending = one.take("something longer", first)[0]
    session, chat, status, box = one.stop(pending)
    assert box["value"] == "something longer" and status == "Stopped"
    assert texts(chat) == texts(chat_rows(first)) and session.conversation == first.conversation


def test_a_refusal_stays_on_the_screen_when_the_chat_goes_on(handlers):
    one = handlers("Fine.")
    _, refused, *_ = last(answer(one, "I want to kill myself", new_session()))
    chat, *_ = last(answer(one, "slow jazz", refused))
    assert "helpline" in texts(chat)[1][1] and len(chat) == 4


def test_retry_answers_the_same_message_from_where_it_was_said(handlers, catalogue):
    one = handlers(named(catalogue, 1), named(catalogue, 2), named(catalogue, 3))
    _, first, *_ = last(answer(one, "an animated film", new_session()))
    _, second, *_ = last(answer(one, "something longer", first))
    session, chat, *_ = one.retry(second)
    assert texts(chat)[-1] == ("user", "something longer") and len(chat) == 3
    third, *_ = last(one.answer(session, 0.7, 0.9, 0, 60, "1", "warm", "as I write"))
    assert third.conversation.turns[:2] == first.conversation.turns and len(third.conversation.turns) == 4
    assert "film-002" not in third.conversation.profile.shown and "film-003" in third.conversation.profile.shown


def test_a_second_retry_is_the_same_as_one(handlers):
    one = handlers("Fine.")
    _, session, *_ = last(answer(one, "slow jazz", new_session()))
    once = one.retry(session)[0]
    assert one.retry(once)[0] == once


def test_retry_without_a_message_is_refused_kindly(handlers):
    assert handlers("x").retry(new_session())[-1] == "There is no message to answer again yet."


def test_a_second_click_on_send_finds_an_empty_box_and_adds_nothing(handlers):
    one = handlers("Fine.")
    _, _, box, *_ = one.take("slow jazz", new_session())
    assert one.take(box["value"], new_session())[:6] == (gr.skip(),) * 6


# Rate


def like(index, liked):
    return gr.LikeData(None, {"index": index, "value": "", "liked": liked})


@pytest.fixture
def answered(handlers, catalogue):
    store = Store()
    one = handlers(
        f"{named(catalogue, 1)} Or **{catalogue.by_id['film-002'].title}**.", named(catalogue, 3), store=store
    )
    _, session, *_ = last(answer(one, "an animated film", new_session()))
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
    rated = one.rate(session, like(index, liked))
    ids = session.conversation.turns[1].item_ids
    assert len(ids) == 2 and getattr(rated.conversation.profile, field) == ids
    assert {(feedback.item_id, feedback.rating) for feedback in store.of_user(session.conversation.user_id)} == {
        (id, field.removesuffix("d")) for id in ids
    }


def test_the_same_thumb_twice_counts_once_and_the_other_thumb_replaces_it(answered):
    one, session, store = answered
    once = one.rate(session, like(1, True))
    assert one.rate(once, like(1, True)) == once and store.count() == 2
    changed = one.rate(once, like(1, False)).conversation.profile
    assert changed.liked == () and len(changed.disliked) == 2 and store.count() == 2


@pytest.mark.parametrize(("index", "liked"), [(0, True), (9, True), (None, True), (1, None)])
def test_a_thumb_that_belongs_to_no_reply_changes_nothing(answered, index, liked):
    one, session, store = answered
    assert one.rate(session, like(index, liked)) == session and store.count() == 0


def test_a_thumb_that_cannot_be_kept_is_said(answered):
    one, session, store = answered
    store.close()
    with pytest.raises(gr.Error, match="could not be kept"):
        one.rate(session, like(1, True))


# Explain


def test_explain_shows_the_words_of_the_message_with_the_real_model(assistant):
    one = Handlers(loaded(assistant))
    _, session, *_ = last(answer(one, "I like slow jazz", new_session(), length=40, temperature=0.3))
    session = replace(
        session,
        reply=replace(
            session.reply,
            text=session.reply.text or "Fine.",
            sentences=session.reply.sentences or (Sentence("Fine.", 0, 5),),
        ),
    )
    told = []
    panel = one.explain(session, 8, progress=lambda share, desc: told.append(share))
    assert told and told[-1] == 1.0 and told == sorted(told)
    assert "explains" in panel and "slow" in re.sub(r"<[^>]+>", "", panel)


def test_explain_without_a_reply_is_refused_kindly(handlers):
    with pytest.raises(gr.Error, match="first"):
        handlers("x").explain(new_session(), 8)


def test_the_real_model_answers_through_the_handlers_with_a_seed(assistant):
    ends = [
        last(answer(Handlers(loaded(assistant)), "I like slow jazz", new_session(), length=16, seed="3"))
        for _ in range(2)
    ]
    assert texts(ends[0][0]) == texts(ends[1][0]) and ends[0][1].reply.status == "done"


# Sessions


def test_two_visitors_share_nothing(handlers, catalogue):
    one = handlers(named(catalogue, 1), named(catalogue, 2), named(catalogue, 3))
    _, ann, *_ = last(answer(one, "an animated film without war", new_session()))
    ann = one.rate(ann, like(1, False))
    _, bob, *_ = last(answer(one, "an animated film", new_session()))
    alone = last(answer(handlers(named(catalogue, 2)), "an animated film", new_session()))[1]
    assert ann.conversation.user_id != bob.conversation.user_id
    assert bob.conversation.turns == alone.conversation.turns and bob.conversation.profile == alone.conversation.profile
    assert [candidate.item.id for candidate in bob.reply.candidates] == [
        candidate.item.id for candidate in alone.reply.candidates
    ]


def test_two_replies_streamed_at_once_do_not_mix(handlers, monkeypatch):
    monkeypatch.setattr("genrec.ui.app._MIN_INTERVAL_S", 0.0)
    one = handlers("First reply. It goes on. It ends.", "Second reply. It goes on. It ends.")
    streams = [answer(one, "jazz for Ann", new_session()), answer(one, "films for Bob", new_session())]
    ends: list = [None, None]
    is_open = [True, True]
    while any(is_open):
        for number, stream in enumerate(streams):
            step = next(stream, None)
            is_open[number] = step is not None
            ends[number] = step or ends[number]
    assert [texts(end[0]) for end in ends] == [
        [("user", "jazz for Ann"), ("assistant", "First reply. It goes on. It ends.")],
        [("user", "films for Bob"), ("assistant", "Second reply. It goes on. It ends.")],
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


def test_the_message_and_the_reply_are_escaped_in_an_explanation():
    words = (Word("jazz", 0, 4), Word("script", 6, 12))
    message = "jazz " + EVIL
    scores = (WordScore(words[0], 1.2, 0.1), WordScore(words[1], -0.7, 0.1))
    attribution = Attribution(message, words, scores, (scores, ()), 0.8, (0.8, 0.0), 16, 1.0)
    reply = Reply(text=EVIL, sentences=(Sentence(EVIL, 0, 10), Sentence("alert <b>two</b>", 10, 20)))
    html = render.explanation(attribution, reply)
    assert_escaped(html)
    assert "<b>two" not in html and "no single word clearly changed it" in html and "80%" in html


def test_words_are_coloured_by_sign_and_strength_and_the_rest_of_the_message_is_kept():
    words = tuple(Word(text, start, start + len(text)) for text, start in (("slow", 0), ("jazz", 5), ("please", 11)))
    scores = (WordScore(words[0], 4.6), WordScore(words[1], -1.15), WordScore(words[2], 0.0))
    attribution = Attribution("slow jazz, please!", words, scores, (scores,), 0.8, (0.8,), 16, 1.0)
    html = render.word_colours(attribution, scores)
    assert re.sub(r"<[^>]+>", "", html) == "slow jazz, please!"
    assert re.search(r'genrec-up" style="--strength:1.00"[^>]*>slow<', html) and re.search(
        r'genrec-down" style="--strength:0.25"[^>]*>jazz<', html
    )
    assert "please</span>" not in html


def test_a_weak_fit_is_marked_and_never_shown_as_negative():
    attribution = Attribution(
        "jazz", (Word("jazz", 0, 4),), (WordScore(Word("jazz", 0, 4), 1.0),), ((),), -0.3, (0.0,), 8, 1.0
    )
    html = render.explanation(attribution, Reply(text="Fine.", sentences=(Sentence("Fine.", 0, 5),)))
    assert 'badge weak">explains 0%' in html


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (Reply(), "Writing …"),
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


def test_chat_rows_keep_every_space_of_what_was_typed():
    session = replace(new_session(), message="  two\n    lines  ")
    assert texts(chat_rows(session)) == [("user", "  two\n    lines  ")]
    assert chat_rows(new_session()) == [] and isinstance(session.conversation, Conversation)


# While the models are being loaded


def test_a_message_sent_while_the_models_load_waits_for_them_and_is_answered(make_assistant, scripted):
    loading = Future()
    one = Handlers(loading)
    session = one.take("quiet science fiction", new_session())[0]
    with closing(one.answer(session, 0.7, 0.9, 0, 60, "1", "warm", "as I write")) as steps:
        _, chat, status, _ = next(steps)
        assert status.startswith("Warming up") and texts(chat) == [("user", "quiet science fiction")]
        loading.set_result(make_assistant(scripted(["Here is one sentence."])))
        _, chat, status, _ = last(steps)
    assert texts(chat)[-1] == ("assistant", "Here is one sentence.") and status.startswith("Done")


def test_the_page_says_what_is_loading_and_then_which_model_writes(make_assistant, scripted):
    loading = Future()
    one = Handlers(loading)
    header, _, why, clock = one.readiness()
    assert "loading the models" in header and why["interactive"] is False and "active" not in clock
    assistant = make_assistant(scripted(["Fine."]))
    assistant.notice = "The bundled writer serves."
    loading.set_result(assistant)
    header, notice, why, clock = one.readiness()
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


def test_an_explanation_tells_both_ways_the_pair_and_the_facts_behind_a_sentence():
    slow, jazz = Word("slow", 0, 4), Word("jazz<i>", 5, 12)
    scores = (WordScore(slow, 3.0, 0.1, found=2.0, written=1.0), WordScore(jazz, 0.4, 0.5))
    attribution = Attribution(
        "slow jazz<i>", (slow, jazz), scores, (scores,), 0.9, (0.9,), 32, 1.0,
        pairs=(WordPair(slow, jazz, 2.5),), citations=((Citation(Item("a", "album", "Kind of <b>"), 4.2),),),
    )  # fmt: skip
    shown = render.explanation(attribution, Reply(text="Fine.", sentences=(Sentence("Fine.", 0, 5),)))
    assert "+2.0 through what was found, +1.0 through how it was written" in shown
    assert '<span class="genrec-up" style="--strength' in shown and ">slow</span>" in shown
    assert not re.search(r'genrec-(?:up|down)"[^>]*>jazz', shown)  # its interval holds 0
    assert "<b>slow</b> and <b>jazz&lt;i&gt;</b> did 2.5 nats only together" in shown
    assert "leans on the facts of Kind of &lt;b&gt; (+4.2)" in shown
    assert "<i>" not in shown.replace('<i class="', "")
