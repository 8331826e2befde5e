"""A page of the app in the system's Chromium, for all cases in a browser. Nothing is reachable but this machine; what a console complains of fails the case."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from screen import PATIENCE_MS, WISH, Console, ask, set_seed

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def pytest_collection_modifyitems(items):
    """A case that fails here is tried once more: two browsers, their servers and models share two cores, and the system may take those for seconds."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, driven by Playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(serve, assistant) -> str:
    """The app with the bundled models."""
    return serve(assistant)


@pytest.fixture(scope="module")
def open_page(chromium, address) -> Iterator:
    """Opens a page as a new visitor. What its console complains of, and what it asks of another machine (which is refused), is noted."""
    contexts, console = [], Console(_is_here)

    def visit(
        url: str = address, *, query: str = "", width: int = 1280, height: int = 860, is_dark=False, locale="en-GB"
    ):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, locale=locale, color_scheme="dark" if is_dark else "light"
        )
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.route(lambda url: not _is_here(url), lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        console.listen(page)
        page.goto(url + (f"?{query}" if query else ""))
        page.wait_for_selector("#genrec-box textarea")
        return page

    visit.console = console
    yield visit
    for context in contexts:
        for page in context.pages:
            console.leave(page)
        context.close()


@pytest.fixture(autouse=True)
def quiet_console(open_page):
    """After every case no error stands in a console, and nothing was asked of another machine."""
    yield
    faults = open_page.console.faults()
    open_page.console.told.clear()
    assert faults == []


@pytest.fixture
def visit(open_page) -> Iterator:
    """Opens pages that are closed with the case."""
    pages = []

    def visit(*args, **options):
        pages.append(open_page(*args, **options))
        return pages[-1]

    yield visit
    for page in pages:
        open_page.console.leave(page)
        page.close()


@pytest.fixture(scope="module")
def talk(open_page):
    """A page with one reply, for all cases that leave its chat as it is."""
    page = open_page()
    set_seed(page, 1)
    ask(page, WISH)
    return page


@pytest.fixture
def scripted_page(make_assistant, scripted, serve, visit):
    """A page whose model says what it is told."""

    def make(*scripts, **options):
        return visit(serve(make_assistant(scripted(scripts, **options))))

    return make


@pytest.fixture
def held(make_assistant, scripted, serve):
    """(engine, address) of a model that writes one sentence and then waits until `engine.go_on` is set."""

    class Held(scripted):
        def stream(self, messages, sampling, titles=None, min_titles=0):
            yield "Here is one idea for you. Then"
            assert self.go_on.wait(600)
            yield " another one."

    engine = Held(["x"])
    engine.go_on = threading.Event()
    yield engine, lambda **settings: serve(make_assistant(engine), **settings)
    engine.go_on.set()


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))
