"""What a person does with the page: shared steps of the cases in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

WISH = "I love slow-burn science fiction and moody jazz"
PATIENCE_MS = 120_000  # an explanation took 36 s on a machine under a load of 20
_AXE = Path(__file__).parent / "axe" / "axe.min.js"  # axe-core 4, for tests only

_LEFT_OUT = "Failed to load resource: the server responded with a status of 404"  # a font or map file of Gradio's
# A page that is left or loaded anew aborts what it listens to; Gradio's client tells of that, and then of the connection that ended.
_ABORTED, _ENDED = "AbortError", "Unexpected error Connection errored out."


@dataclass
class Console:
    """What the consoles of pages complain of, and what pages ask of other machines."""

    is_here: Callable[[str], bool]  # whether an address is on this machine
    told: list[str] = field(default_factory=list)

    def listen(self, page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", self._hear_error)
        page.on("request", self._hear_request)

    def leave(self, page) -> None:
        """Hears what a page has told until now, and nothing of its end."""
        page.evaluate("0")  # whatever was told before this was asked is heard by its answer
        page.remove_listener("console", self._hear)
        page.remove_listener("pageerror", self._hear_error)
        page.remove_listener("request", self._hear_request)

    def faults(self) -> list[str]:
        """What was told, without what is no fault of ours."""
        harmless = [_LEFT_OUT]
        if any(_ABORTED in one for one in self.told):
            harmless += [_ABORTED, _ENDED]
        return [one for one in self.told if not any(known in one for known in harmless)]

    def _hear(self, message) -> None:
        if message.type == "error":
            self.told.append(message.text)

    def _hear_error(self, error) -> None:
        self.told.append(str(error))

    def _hear_request(self, request) -> None:
        if not self.is_here(request.url):
            self.told.append(request.url)


def say(page, message):
    page.fill("#genrec-box textarea", message)
    page.press("#genrec-box textarea", "Enter")


def wait_for_status(page, text, *, since=""):
    """Waits until the status line holds a text and is another than it was."""
    page.wait_for_function(
        """([text, since]) => {
          const shown = document.querySelector('#genrec-status').innerText;
          return shown.includes(text) && shown !== since;
        }""",
        arg=[text, since],
    )


def wait_for_reply(page, number, status="Done"):
    """Waits for the whole of reply `number`, counted from 1; gives its text."""
    replies = page.locator("[data-testid=bot]")
    replies.nth(number - 1).wait_for()
    wait_for_status(page, status)
    page.wait_for_selector("#genrec-send:visible")
    return replies.nth(number - 1).inner_text()


def ask(page, message, status="Done"):
    """Says something and waits for the whole reply; gives its text."""
    number = page.locator("[data-testid=bot]").count() + 1
    say(page, message)
    return wait_for_reply(page, number, status)


def messages_of(page):
    return [text.strip() for text in page.locator("[data-testid=user]").all_inner_texts()]


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def open_sidebar(page):
    if not page.locator("#genrec-new").is_visible():
        page.locator(".sidebar button.toggle-button").click()
    page.locator("#genrec-new").wait_for()


def downloaded(page, name):
    """(file name, text) of an export."""
    page.get_by_text("Export ▾").click()
    with page.expect_download() as waited:
        press(page, name)
    return waited.value.suggested_filename, Path(waited.value.path()).read_text("utf-8")


def set_seed(page, seed):
    """Every further reply is drawn with this seed."""
    open_sidebar(page)
    page.get_by_label(re.compile("Seed|种子")).fill(str(seed))
    page.locator(".sidebar button.toggle-button").click()
    page.locator("#genrec-new").wait_for(state="hidden")


def serious(page):
    """The serious and critical findings of axe-core, each with where it is."""
    if not page.evaluate("!!window.axe"):
        page.evaluate(_AXE.read_text("utf-8"))
    page.evaluate("""document.getAnimations().forEach(
      one => one.effect.getComputedTiming().endTime === Infinity ? one.cancel() : one.finish()
    )""")
    violations = page.evaluate("async () => (await axe.run()).violations")
    return [
        (violation["id"], node["html"][:160], node.get("failureSummary", "")[:300])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
