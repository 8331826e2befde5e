"""The browser app: a chat, the items it names, why it named them, and the controls. Raw Blocks.

Each visitor's chat lives in his own `gr.State` (`session.py`); it is never parsed back from what the chat shows. The page is served while the
models are still being loaded.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any

import gradio as gr

from genrec.assistant import Assistant
from genrec.load import load_compared
from genrec.schema import Conversation, Sampling
from genrec.settings import ASSETS, Settings
from genrec.ui import figures, render, style
from genrec.ui.api import add_endpoints, hide_others
from genrec.ui.catalogues import FIELDS
from genrec.ui.handlers import Handlers, Screen
from genrec.ui.menu import PRESETS, SECOND_MODEL, with_menu
from genrec.ui.server import Service
from genrec.ui.session import Session
from genrec.ui.texts import I18N, say
from genrec.ui.waiting import WaitingPage


def build(loading: Future[Assistant], settings: Settings) -> gr.Blocks:
    """The app for one assistant, which may still be on its way."""
    handlers = Handlers(loading, partial(load_compared, settings) if settings.compare else None)
    label = I18N  # label("send") is translated in the browser
    with gr.Blocks(title="GenRec", analytics_enabled=False, fill_height=True, delete_cache=(600, 3600)) as app:
        add_endpoints(loading, settings)  # for programs; first, so that their names are theirs
        session = gr.State(
            Session(Conversation()), time_to_live=6 * 3600, delete_callback=handlers.left
        )  # a callable would be called anew while a link is answered
        explained = gr.State(None)
        compared = gr.State(None)
        question = gr.Textbox(
            visible="hidden"
        )  # of a link; a box, since a state outside the queue does not tell that it changed
        # The key only hides what the visitor's own browser keeps from a casual look; it must outlast a restart.
        history = gr.BrowserState([], storage_key="genrec-chats", secret="genrec")
        interface = gr.Textbox(visible="hidden")
        file = gr.JSON(visible="hidden")
        clock = gr.Timer(1.0)
        with gr.Sidebar(open=False, width=360, label=label("menu"), elem_id="genrec-sidebar"):
            fresh = gr.Button(label("new_chat"), variant="primary", elem_id="genrec-new")
            with gr.Accordion(label("history"), open=True):
                search = gr.Textbox(label=label("search"), max_length=100, elem_id="genrec-search")
                chats = _clickable("", elem_id="genrec-history")
                clear = gr.Button(label("clear_history"), size="sm", elem_id="genrec-clear")
            with gr.Accordion(label("settings"), open=True):
                preset = gr.Radio([(label(name), name) for name in PRESETS], value="balanced", label=label("preset"))
                surprise = gr.Slider(0, 1, 0.5, step=0.05, label=label("surprise_label"), info=label("surprise_info"))
                tone = gr.Dropdown(
                    [(label(name), name) for name in ("warm", "brief", "playful", "formal")],
                    value="warm",
                    label=label("tone"),
                )
                language = gr.Radio(
                    [(label("as_written"), "auto"), ("English", "en"), ("中文", "zh")],
                    value="auto",
                    label=label("reply_language"),
                )
                temperature = gr.Slider(
                    0,
                    1.5,
                    Sampling().temperature,
                    step=0.05,
                    label=label("temperature"),
                    info=label("temperature_info"),
                )
                top_p = gr.Slider(0.05, 1, Sampling().top_p, step=0.05, label=label("top_p"), info=label("top_p_info"))
                top_k = gr.Slider(0, 200, 0, step=1, label=label("top_k"), info=label("top_k_info"))
                length = gr.Slider(40, 400, Sampling().max_new_tokens, step=10, label=label("length"))
                seed = gr.Textbox("", label=label("seed_label"), info=label("seed_info"), max_length=12)
                rows = gr.Slider(16, 128, 32, step=16, label=label("rows"), info=label("rows_info"))
            with gr.Accordion(label("catalogue"), open=False, elem_id="genrec-catalogue"):
                in_use = gr.HTML(apply_default_css=False, elem_id="genrec-in-use")
                back = gr.Button(label("catalogue_back"), size="sm", visible=False, elem_id="genrec-back")
                table = gr.File(label=label("catalogue_file"), file_types=[".jsonl", ".csv", ".tsv", ".parquet"], height=130, elem_id="genrec-file")  # fmt: skip
                table_report = gr.HTML(apply_default_css=False, elem_id="genrec-table")
                columns = [
                    gr.Dropdown([], multiselect=True, visible=False, label=label(f"field_{name}")) for name in FIELDS
                ]
                use = gr.Button(label("catalogue_use"), variant="primary", visible=False, elem_id="genrec-use")
        header = gr.HTML(
            render.both(lambda language: render.header(language, None)),
            js_on_load=style.HEADER,
            elem_id="genrec-header",
        )
        notice = gr.Markdown(visible=False, elem_id="genrec-notice")
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=340):
                starter = _clickable(render.both(render.starter), more=style.PICKS, elem_id="genrec-start")
                chat = gr.Chatbot(
                    elem_id="genrec-chat", height="52vh", min_height=320, label=label("chat"), show_label=False, buttons=["copy"], latex_delimiters=[],
                    allow_tags=False, feedback_options=("Like", "Dislike"), layout="bubble", editable="user",
                )  # fmt: skip
                with gr.Row(elem_id="genrec-input"):
                    box = gr.Textbox(
                        show_label=False,
                        label=label("your_message"),
                        placeholder=label("box_hint"),
                        scale=5,
                        autofocus=True,
                        max_length=100_000,
                        container=False,
                        lines=1,
                        max_lines=4,
                        elem_id="genrec-box",
                    )
                    send = gr.Button(label("send"), variant="primary", scale=1, min_width=80, elem_id="genrec-send")
                    stop = gr.Button(
                        label("stop"), variant="stop", scale=1, min_width=80, visible=False, elem_id="genrec-stop"
                    )
                status = gr.Markdown(render.both(lambda language: say("ready", language)), elem_id="genrec-status")
                # below the box, so that it stays where it is when they come, and the keyboard goes on from it to them
                cards = _clickable("", elem_id="genrec-cards")
                actions = _clickable("", elem_id="genrec-actions")
            with gr.Column(scale=4, min_width=320, elem_id="genrec-panels"), gr.Tabs(overflow_behavior="wrap"):
                with gr.Tab(label("why"), id="why") as why_tab:
                    why = gr.Button(label("explain"), elem_id="genrec-why", interactive=False)
                    halt = gr.Button(label("halt"), variant="stop", size="sm", visible=False, elem_id="genrec-halt")
                    explanation = gr.HTML(
                        render.both(lambda language: render.hint("why_hint", language)),
                        elem_id="genrec-explanation",
                        apply_default_css=False,
                    )
                with gr.Tab(label("interests"), id="interests") as interests_tab:
                    interests = _clickable(
                        render.both(lambda language: render.hint("interests_hint", language)),
                        elem_id="genrec-interests",
                    )
                with gr.Tab(label("safety"), id="safety") as safety_tab:
                    safety = _clickable(
                        render.both(lambda language: render.hint("safety_hint", language)), elem_id="genrec-safety"
                    )
                with gr.Tab(label("trace"), id="trace") as trace_tab:
                    trace = _clickable(
                        render.both(lambda language: render.hint("trace_hint", language)), elem_id="genrec-trace"
                    )
                with gr.Tab(label("compare"), id="compare") as compare_tab:
                    with gr.Row():
                        offered = [*PRESETS, "mine", "other_seed", *([SECOND_MODEL] if settings.compare else [])]
                        settings_of = [(label(name), name) for name in offered]
                        one = gr.Dropdown(
                            settings_of,
                            value="mine" if settings.compare else "safe",
                            label=label("first_setting"),
                            min_width=140,
                        )
                        other = gr.Dropdown(
                            settings_of,
                            value=SECOND_MODEL if settings.compare else "bold",
                            label=label("second_setting"),
                            min_width=140,
                        )
                    both = gr.Button(label("write_both"), elem_id="genrec-both")
                    comparison = _clickable(
                        render.both(lambda language: render.hint("compare_hint", language)), elem_id="genrec-comparison"
                    )
                with gr.Tab(label("evaluate"), id="evaluate") as evaluate_tab:
                    measured = figures.read_figures(ASSETS / "models")
                    gr.HTML(
                        render.both(lambda language: figures.rendered(measured, language)),
                        elem_id="genrec-figures",
                        apply_default_css=False,
                    )

        parts = {
            "session": session, "starter": starter, "chat": chat, "cards": cards, "actions": actions, "status": status, "explanation": explanation,
            "interests": interests, "safety": safety, "trace": trace, "box": box, "send": send, "stop": stop, "halt": halt,
        }  # fmt: skip
        whole = [parts[name] for name in Screen._fields]
        private: dict[str, Any] = {"api_visibility": "private"}
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", **private}
        queued: dict[str, Any] = {"show_progress": "hidden", **private}  # pop-ups reach the browser only from the queue
        # Gradio drops a press while the one before is under way, unless it is told to take each; one after the other, since each goes on from the
        # session that the one before left. ("always_last" would give the last press the first one's data.)
        each: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": 1, "concurrency_id": "each", **queued}
        limit: dict[str, Any] = {"concurrency_limit": settings.concurrency, "concurrency_id": "model", **private}
        ready = [header, notice, why, clock, starter, in_use]
        clock.tick(handlers.readiness, [interface, session], ready, js=style.READY, **quick)
        menu = [temperature, top_p, top_k, length, seed, tone, language, surprise]  # as of Menu
        panel = [explanation, explained, halt]
        explaining = why.click(handlers.explain, [session, rows, explained], panel, show_progress="hidden", **limit)
        halt.click(None, cancels=explaining)
        comparing = both.click(
            with_menu(handlers.compare),
            [session, *menu, one, other],
            [comparison, compared],
            show_progress="hidden",
            **limit,
        )
        comparison.select(handlers.vote, [session, compared], [comparison, compared], **queued)
        # What a cancelled event gives meanwhile may be drawn after the answer to what cancelled it. So what is to stand there is drawn at its end, which
        # is heard (`then`) once its last output is drawn, and more than once.
        settled: dict[str, Any] = {**quick, "trigger_mode": "always_last"}
        whole_comparison = (handlers.compare_settled, [session, compared, interface], [comparison, compared])
        for event in ("then", "failure"):
            getattr(explaining, event)(handlers.settled, [session, explained], [explanation, halt], **settled)
            getattr(comparing, event)(*whole_comparison, **settled)
        running: list[Any] = [explaining, comparing]

        def answered(begun: Any) -> None:
            """Lets the reply follow a first step, then the input be unlocked and the chat remembered."""
            answer = begun.success(
                with_menu(handlers.answer), [session, *menu], whole, show_progress="minimal", show_progress_on=status, **limit
            )  # fmt: skip
            for ended in (answer.then, answer.failure):  # `then` is not heard where the queue is full
                unlocked = ended(handlers.unlock, [session, status], whole, **settled)
                unlocked.then(handlers.remember, [session, history, search], [history, chats], **quick)
            running.append(answer)

        app.load(None, None, interface, js=style.LANGUAGE, **private)
        app.load(
            handlers.opened, [box, interface, history, session], [question, chats, *ready], js=style.OPENED, **quick
        )
        first: dict[str, Any] = {**quick, "cancels": [explaining, comparing]}
        answered(box.submit(handlers.take, [box, session, interface], whole, js=style.ONCE, **first))
        answered(send.click(handlers.take, [box, session, interface], whole, js=style.ONCE, **first))
        # Only where a link asks something: else every page that is opened would take a place in the queue.
        answered(question.change(handlers.linked, [question, session, interface], whole, **quick))
        answered(chat.retry(handlers.retry, session, whole, **first))
        answered(chat.edit(handlers.edit, session, whole, **first))
        for rendered in (starter, actions):
            answered(rendered.submit(handlers.follow, [session, interface], whole, **first))
        for rendered in (cards, interests, safety):
            rendered.select(handlers.act, session, whole, **each)
        actions.select(handlers.act, session, whole, cancels=explaining, **each)  # to another version
        trace.select(handlers.act, session, whole, **queued)
        chat.clear(handlers.restart, [session, interface], whole, **quick)
        for undo in (chat.undo, actions.undo):
            undone = undo(handlers.undo, session, whole, cancels=[explaining, comparing], **queued)
            undone.then(*whole_comparison, **settled)
        chat.like(handlers.rate, session, whole, **queued)
        starter.input(handlers.picked, interface, box, **each)
        actions.download(handlers.export, [session, explained], file, **queued).success(
            None, file, None, js=style.DOWNLOAD
        )
        begins: dict[str, Any] = {**limit, "show_progress_on": table_report}
        for trigger, handler, inputs, outputs, how in (
            (stop.click, handlers.stop, [session], whole, quick),
            (fresh.click, handlers.restart, [session, interface], whole, quick),
            (chats.select, handlers.reopen, [session, history, interface], whole, quick),
            (use.click, handlers.catalogue_use, [table, session, interface, *columns], [*whole, in_use, back], begins),
            (back.click, handlers.catalogue_back, [session, interface], [*whole, in_use, back], begins),
        ):
            ended = trigger(handler, inputs, outputs, cancels=running, **how)
            ended.then(*whole_comparison, **settled)
            unlocked = ended.then(handlers.unlock, [session, status], whole, **settled)
            unlocked.then(handlers.remember, [session, history, search], [history, chats], **quick)
        tabs = [why_tab, interests_tab, safety_tab, trace_tab, compare_tab, evaluate_tab]
        switched = [*whole, header, interface, why, *tabs]
        header.select(handlers.spoken, [session, interface, explained], switched, js=style.SPOKEN, **quick)
        header.select(handlers.compared, [compared, interface], comparison, js=style.SPOKEN, **quick)
        preset.input(handlers.preset, preset, [temperature, top_p, surprise], **quick)
        reading: dict[str, Any] = {**private, "show_progress_on": table_report}
        gr.on([table.upload, table.clear], handlers.catalogue_read, [table, interface], [table_report, use, *columns], **reading)  # fmt: skip
        for column in columns:  # a column taken out by Backspace is no input, so leaving the field counts too
            gr.on([column.input, column.blur], handlers.catalogue_corrected, [table, interface, *columns], [table_report, use], **reading)  # fmt: skip
        search.change(handlers.search, [search, history, interface], chats, **quick)
        clear.click(handlers.clear_history, interface, [history, chats], js=style.CONFIRM, **quick)
    app.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return app


def _clickable(value: str, *, more: str = "", **options: Any) -> gr.HTML:
    """Rendered HTML whose elements with data-act are events: `submit` begins a reply, `download` exports, `select` is anything else."""
    return gr.HTML(value, js_on_load=style.CLICKS + more, apply_default_css=False, **options)


def launch(loading: Future[Assistant], settings: Settings, waiting: WaitingPage | None = None) -> gr.Blocks:
    """Serves the app from a thread of its own, in the place of `waiting`, and returns it.

    Raises:
        SettingsError: the logins cannot be read, or MCP is wanted and its package is not there.
    """
    service = Service(loading, settings)
    app = build(service.assistant, settings)
    hide_others(app)
    service.watch_queue(app)
    if waiting:
        waiting.close()
    app.launch(
        server_name=settings.host, server_port=settings.port, footer_links=[], run_history=False, enable_monitoring=False,
        show_error=False, share=False, quiet=False, prevent_thread_lock=True, **style.PAGE, **service.launch_options(),
        _frontend=False,  # it serves the page all the same; else Gradio asks for it, and gives up where the answer takes 3 s, as on a busy machine
    )  # fmt: skip
    return app
