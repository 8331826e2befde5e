"""What a visitor sees and does, in a real browser with the real bundled models: Chromium of the system, nothing reachable but this machine."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from genrec.settings import Settings

WISH = "I love slow-burn science fiction and moody jazz"
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


def say(page, message):
    page.fill("#genrec-box textarea", message)
    page.press("#genrec-box textarea", "Enter")


def wait_for_status(page, text):
    page.wait_for_function(
        "text => document.querySelector('#genrec-status').innerText.includes(text)", arg=text, timeout=90_000
    )


def ask(page, message):
    """Says something and waits for the whole reply; gives its text."""
    replies = page.locator("[data-testid=bot]")
    before = replies.count()
    say(page, message)
    replies.nth(before).wait_for()
    wait_for_status(page, "Done")
    page.wait_for_selector("#genrec-send:visible")
    return replies.last.inner_text()


def test_the_first_screen_says_what_to_do(visit):
    page = visit()
    assert page.title() == "GenRec"
    assert page.get_by_text("What do you feel like?").is_visible()
    assert page.get_by_role("button", name="Send").is_visible()
    assert page.get_by_text(WISH, exact=True).is_visible()  # an example
    assert page.locator("#genrec-box textarea").evaluate("box => box === document.activeElement")


def test_a_sentence_gives_a_reply_with_cards_of_what_it_names(visit):
    page = visit()
    text = ask(page, WISH)
    titles = page.locator(".genrec-title").all_inner_texts()
    assert titles
    for title in titles:
        assert re.sub(r"^\W+|\s*✓$", "", title).strip() in text
    assert re.search(r"\d+ tokens/s.*seed \d+", page.locator("#genrec-status").inner_text())
    assert page.locator("#genrec-box textarea").is_enabled()
    assert page.locator("#genrec-box textarea").input_value() == ""


def test_a_chinese_sentence_gives_a_chinese_reply(visit):
    assert re.search(r"[\u4e00-\u9fff]{8}", ask(visit(), "我喜欢慢热的科幻片"))


def test_an_example_is_put_into_the_box_and_can_be_sent_by_the_button(visit):
    page = visit()
    page.get_by_text("A cosy board game for two, not too long", exact=True).click()
    page.wait_for_function("() => document.querySelector('#genrec-box textarea').value.includes('cosy')")
    page.get_by_role("button", name="Send").click()
    wait_for_status(page, "Done")
    assert page.locator("[data-testid=user]").last.inner_text().startswith("A cosy board game")


def test_words_are_coloured_when_asked_why(visit):
    page = visit()
    ask(page, WISH)
    page.click("#genrec-why")
    page.wait_for_selector("#genrec-explanation .genrec-words")
    assert WISH in page.locator("#genrec-explanation .genrec-words").first.inner_text()
    assert page.locator("#genrec-explanation .genrec-up, #genrec-explanation .genrec-down").count() > 0


def test_asking_why_before_any_reply_says_what_to_do_first(visit):
    page = visit()
    page.wait_for_selector("#genrec-why:not([disabled])")
    page.click("#genrec-why")
    page.get_by_text("Ask for a recommendation first").wait_for()


def test_a_second_wish_goes_on_with_the_same_talk(visit):
    page = visit()
    first = ask(page, WISH)
    second = ask(page, "seen it, something else")
    assert page.locator("[data-testid=bot]").count() == 2
    assert page.locator("[data-testid=bot]").first.inner_text() == first != second


def test_a_new_chat_is_empty(visit):
    page = visit()
    ask(page, WISH)
    page.click("#genrec-new")
    page.get_by_text("What do you feel like?").wait_for()
    assert page.locator("[data-testid=bot]").count() == 0
    assert page.locator(".genrec-title").count() == 0


def test_an_empty_message_is_answered_with_a_hint(visit):
    page = visit()
    say(page, "   ")
    wait_for_status(page, "Type what you like first")


def test_markup_of_a_visitor_is_shown_as_text_and_never_run(visit):
    page = visit()
    page.evaluate("window.hurt = 0")
    ask(page, '<img src=x onerror="window.hurt=1"> a calm film <script>window.hurt=1</script>')
    assert page.evaluate("window.hurt") == 0


def test_a_hurtful_message_is_asked_to_be_put_another_way(visit):
    page = visit()
    say(page, "you are a stupid worthless idiot, shut up")
    wait_for_status(page, "Not answered")
    assert page.locator("[data-testid=bot]").last.inner_text().strip()


def test_a_message_sent_while_the_models_load_waits_for_them(visit, serve, assistant):
    loading = Future()
    page = visit(serve(loading))
    assert page.get_by_text("loading the models").is_visible()
    say(page, WISH)
    wait_for_status(page, "Warming up")
    loading.set_result(assistant)
    wait_for_status(page, "Done")
    assert page.locator(".genrec-title").count() > 0


@pytest.mark.parametrize("is_dark", [False, True])
def test_a_telephone_shows_all_of_it_without_scrolling_sideways(visit, is_dark):
    page = visit(width=390, height=844, is_dark=is_dark)
    ask(page, WISH)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("#genrec-box").bounding_box()["width"] > 200
    assert page.evaluate("document.body.classList.contains('dark')") == is_dark


def test_the_keyboard_is_enough(visit):
    page = visit()
    page.keyboard.type("a funny book")
    page.keyboard.press("Enter")
    wait_for_status(page, "Done")
    for _ in range(60):  # from the box to the button that explains
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "genrec-why":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#genrec-explanation .genrec-words")


def test_two_visitors_do_not_see_each_other(visit):
    one, other = visit(), visit()
    ask(one, "a film about marzipan pigs")
    ask(other, "a quiet book about lighthouses")
    assert "marzipan" not in other.locator("body").inner_text()
    assert "lighthouse" not in one.locator("#genrec-chat").inner_text()
