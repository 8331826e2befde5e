"""The page that is there before the app: what is sent there is answered by the app."""

from __future__ import annotations

import pytest
from serving import serving

from genrec.bench.start import free_port
from genrec.ui.waiting import WaitingPage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def quiet_console():
    """A page that asks for a server between two servers is told so in the console."""


def test_a_message_that_is_sent_before_the_app_is_there_is_answered_by_it(chromium, assistant):
    waiting = WaitingPage("127.0.0.1", free_port())
    page = chromium.new_context(locale="zh-CN").new_page()
    page.goto(f"http://127.0.0.1:{waiting.server_port}")
    assert page.get_by_role("button").inner_text() == "发送" and "正在启动" in page.get_by_role("status").inner_text()
    page.get_by_role("textbox").fill("一本安静的书")
    page.get_by_role("button").click()
    page.wait_for_url("**/?q=*")
    assert "已收到" in page.get_by_role("status").inner_text()
    with serving(assistant, waiting):
        page.wait_for_selector("#genrec-chat .user .message:has-text('一本安静的书')", timeout=60_000)
        page.wait_for_selector("#genrec-chat .bot .message", timeout=60_000)
        page.context.close()


def test_whoever_is_writing_when_the_app_comes_is_not_interrupted(chromium, assistant):
    waiting = WaitingPage("127.0.0.1", free_port())
    page = chromium.new_context(locale="en-GB").new_page()
    page.goto(f"http://127.0.0.1:{waiting.server_port}")
    page.get_by_role("textbox").fill("a quiet bo")
    with serving(assistant, waiting):
        page.wait_for_selector("#note:has-text('Ready')", timeout=60_000)
        assert page.get_by_role("textbox").input_value() == "a quiet bo"
        page.get_by_role("button").click()
        page.wait_for_selector("#genrec-chat .bot .message", timeout=60_000)
        page.context.close()
