"""Takes the pictures of the README and the docs: `python tests/browser/pictures.py` (needs Chromium). Writes into assets/images."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import Future
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
IMAGES = ROOT / "assets" / "images"
PORT = 7899
WISHES = {"en": "I love slow-burn science fiction and moody jazz", "zh": "我喜欢慢热的科幻片，不要恐怖片"}


def answered(page: Page, wish: str) -> None:
    """The page with a reply to a wish and its explanation, drawn with seed 1 so that the picture can be had again."""
    page.get_by_text("How it writes").click()
    page.get_by_label("Seed").fill("1")
    page.get_by_text("How it writes").click()
    page.fill("#genrec-box textarea", wish)
    page.press("#genrec-box textarea", "Enter")
    page.wait_for_function("() => document.querySelector('#genrec-status').innerText.includes('Done')")
    page.click("#genrec-why")
    page.wait_for_selector("#genrec-explanation .genrec-words")
    page.mouse.move(0, 0)


def main() -> int:
    from genrec.load import load_assistant
    from genrec.settings import Settings
    from genrec.ui.app import launch

    loading: Future = Future()
    loading.set_result(load_assistant(Settings(database=":memory:")))
    app = launch(loading, Settings(port=PORT))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, language, theme, width, height in (
            ("chat", "en", "light", 1280, 860),
            ("dark", "zh", "dark", 1280, 860),
            ("phone", "en", "light", 390, 844),
        ):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(90_000)
            page.goto(f"http://127.0.0.1:{PORT}/?__theme={theme}")
            page.wait_for_selector("#genrec-why:not([disabled])")
            if name == "chat":
                page.screenshot(path=IMAGES / "first.png")
            answered(page, WISHES[language])
            page.screenshot(path=IMAGES / f"{name}.png", full_page=width < 400)
            page.close()
        browser.close()
    app.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
