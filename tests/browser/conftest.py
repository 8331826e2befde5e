"""A real browser before the real app: Chromium of the system, the bundled models, nothing reachable but this machine."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from genrec.settings import Settings

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
_NOT_OURS = (
    "Failed to load resource: the server responded with a status of 404",
)  # a font or map file that Gradio leaves out


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, driven by Playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serve():
    """Serves the app around an assistant (or one that is still on its way) and gives its address."""
    from genrec.ui.app import launch

    apps = []

    def start(assistant) -> str:
        loading = assistant if isinstance(assistant, Future) else Future()
        if loading is not assistant:
            loading.set_result(assistant)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        apps.append(launch(loading, Settings(port=port)))
        return f"http://127.0.0.1:{port}/"

    yield start
    for app in apps:
        app.close(verbose=False)


@pytest.fixture(scope="session")
def address(serve, assistant) -> str:
    """The app with the bundled models."""
    return serve(assistant)


@pytest.fixture
def visit(chromium, address) -> Iterator:
    """Opens a page as a new visitor; at the end no error stands in its console, and nothing was asked of another machine."""
    contexts, complaints = [], []

    def open_page(url: str = address, *, width: int = 1280, height: int = 860, is_dark: bool = False):
        context = chromium.new_context(viewport={"width": width, "height": height}, locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if _is_here(request.url) else complaints.append(request.url))
        page.goto(f"{url}?__theme={'dark' if is_dark else 'light'}")
        page.wait_for_selector("#genrec-box textarea")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [one for one in complaints if not one.startswith(_NOT_OURS)]


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))
