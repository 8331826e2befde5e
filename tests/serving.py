"""Serves the app around an assistant, for tests and for the pictures of the page."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from genrec.bench.start import free_port
from genrec.settings import Settings
from genrec.ui.waiting import WaitingPage


@contextmanager
def serving(assistant: object, waiting: WaitingPage | None = None, **settings) -> Iterator[str]:
    """The address (without a slash at its end) of the app around an assistant, or around one that is still on its way, a `Future`.
    `settings` are those of `Settings` that matter. The app takes the place of `waiting` where there is such a page."""
    from genrec.ui.app import launch

    loading = assistant if isinstance(assistant, Future) else Future()
    if loading is not assistant:
        loading.set_result(assistant)
    port = waiting.server_port if waiting else free_port()
    app = launch(loading, Settings(port=port, **settings), waiting)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        app.close(verbose=False)
