"""Takes the pictures of the README and of docs/screens.md: `python tests/browser/pictures.py` (needs Chromium). Writes into assets/images.

Everything is the app with its bundled models; only states that a real model shows rarely come from an engine that is told what to say.
"""

from __future__ import annotations

import io
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from screen import WISH, ask, open_sidebar, say, set_seed, tab, wait_for_status  # noqa: E402
from scripted import ScriptedEngine  # noqa: E402
from serving import serving  # noqa: E402

from genrec.load import load_assistant  # noqa: E402
from genrec.settings import Settings  # noqa: E402

IMAGES = ROOT / "assets" / "images"
_NUM_COLOURS = 224  # a picture of a page has few; a third of the size
_FRAME_MS = 120


class Waiting(ScriptedEngine):
    """Writes one sentence, then waits until `go_on` is set."""

    def stream(self, messages, sampling, titles=None, min_titles=0):
        self.num_open += 1
        try:
            yield self.scripts[0]
            while self.num_open and not self.go_on.wait(0.1):
                yield ""
        finally:
            self.num_open -= 1


def opened(browser: Browser, url: str, *, width=1280, height=860, theme="light", locale="en-GB") -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, locale=locale)
    page.set_default_timeout(90_000)
    page.goto(f"{url}?__theme={theme}")
    page.wait_for_selector("#genrec-box textarea")
    return page


def save(page: Page, name: str, *, is_whole: bool = False) -> None:
    page.mouse.move(0, 0)
    page.evaluate("""Promise.allSettled(document.getAnimations().map(
      one => one.effect.getComputedTiming().endTime === Infinity ? 0 : one.finished
    ))""")
    image = Image.open(io.BytesIO(page.screenshot(full_page=is_whole))).convert("RGB")
    image.quantize(_NUM_COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)
    print(name, flush=True)


def explained(page: Page, wish: str, status: str = "Done") -> None:
    """A reply drawn with seed 1, so that the picture can be had again, and its explanation."""
    set_seed(page, 1)
    ask(page, wish, status)
    page.click("#genrec-why")
    page.wait_for_selector("#genrec-explanation .why .said")


def film(page: Page, wish: str) -> None:
    """A reply as it is written and its explanation as it comes, as an animation."""
    set_seed(page, 1)
    frames: list[Image.Image] = []

    def shoot(num: int = 1) -> None:
        frame = Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((960, 645))
        frames.extend([frame] * num)

    def until(is_over: Callable[[], bool]) -> None:
        while not is_over():
            shoot()

    for end in range(0, len(wish) + 1, 6):
        page.fill("#genrec-box textarea", wish[:end])
        shoot()
    page.fill("#genrec-box textarea", wish)
    shoot(3)
    page.press("#genrec-box textarea", "Enter")
    until(lambda: "Done" in page.locator("#genrec-status").inner_text() and page.locator("#genrec-send").is_visible())
    shoot(8)
    page.click("#genrec-why")
    until(lambda: page.locator("#genrec-explanation .why .said").count() > 0)
    shoot(20)
    palette = frames[-1].quantize(96)
    first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first.save(
        IMAGES / "stream.gif", save_all=True, append_images=rest, duration=_FRAME_MS, loop=0, optimize=True, disposal=1
    )


def main() -> int:
    with ExitStack() as apps:
        take(lambda assistant, **settings: apps.enter_context(serving(assistant, **settings)))
    return 0


def take(serve: Callable[..., str]) -> None:
    """All pictures, of apps that `serve` gives the address of."""
    assistant = load_assistant(Settings(database=":memory:"))

    def told(*scripts: str, **options):
        """The app with an engine that is told what to say."""
        other = load_assistant(Settings(database=":memory:"))
        other.engine = ScriptedEngine(scripts, **options)
        return serve(other)

    bundled = serve(assistant)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        page = opened(browser, bundled)
        page.get_by_text("bundled writer on cpu").wait_for()
        save(page, "first")
        explained(page, WISH)
        save(page, "chat")
        for panel in ("Interests", "Safety", "Trace"):
            tab(page, panel)
            if panel == "Trace":
                page.get_by_text("Show how likely each word was").click()
                page.wait_for_selector("#genrec-least-sure")
            save(page, panel.lower())
        tab(page, "Compare")
        page.click("#genrec-both")
        page.get_by_role("button", name="A is better").click()
        page.locator("#genrec-comparison .is-picked").wait_for()
        page.get_by_text("your vote is kept").wait_for(state="hidden")
        save(page, "compare")
        tab(page, "Evaluate")
        open_sidebar(page)
        save(page, "menu")

        page = opened(browser, bundled, theme="dark", locale="zh-CN")
        explained(page, "我喜欢慢热的科幻片，不要恐怖片", "完成")
        save(page, "dark")
        page = opened(browser, bundled, width=390, height=844)
        explained(page, WISH)
        save(page, "phone", is_whole=True)

        film(opened(browser, bundled), WISH)

        loading: Future = Future()
        page = opened(browser, serve(loading))
        say(page, WISH)
        wait_for_status(page, "Warming up")
        save(page, "warming")
        loading.set_result(assistant)

        waiting = load_assistant(Settings(database=":memory:"))
        waiting.engine = engine = Waiting(["Here is one idea for you. Then"])
        engine.go_on = threading.Event()
        url = serve(waiting, concurrency=1, queue_size=1)
        pages = [opened(browser, url) for _ in range(3)]
        for page, shown in zip(pages, ("Here is one idea", "queue", "Too many visitors"), strict=True):
            say(page, WISH)
            page.get_by_text(shown).first.wait_for()
        pages[2].get_by_test_id("toast-text").wait_for()
        for page, name in zip(pages, ("streaming", "queued", "full"), strict=True):
            save(page, name)
        engine.go_on.set()

        page = opened(browser, told("You are a stupid worthless idiot. Here is one idea for you."))
        ask(page, "slow jazz")
        tab(page, "Safety")
        save(page, "withheld")
        page = opened(browser, told("Here is one idea for you. And then it stops", fail_after=30))
        ask(page, "slow jazz", "Interrupted")
        save(page, "lost")
        for name, message in (
            ("nofit", "a film from before 1800"),
            ("language", "Ich hätte heute Abend gerne einen ruhigen Film über das Meer und die Leute, die dort leben"),
        ):
            page = opened(browser, bundled)
            set_seed(page, 1)
            ask(page, message)
            save(page, name)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
