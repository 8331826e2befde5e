"""What the cases in a browser take for a fault when a console tells of it: whatever is not the end of a page."""

from __future__ import annotations

from screen import Console

ABORTED = "AbortError: signal is aborted without reason\n    at kn.close (http://127.0.0.1:1/assets/client.js:1:1)"
ENDED = "Unexpected error Connection errored out. "
BROKEN = "TypeError: x is undefined"


def test_a_connection_that_ends_is_a_fault_unless_its_page_was_left():
    assert Console(bool, [ENDED, BROKEN]).faults() == [ENDED, BROKEN]
    assert Console(bool, [ENDED, ABORTED, BROKEN]).faults() == [BROKEN]
    assert Console(bool, [ABORTED]).faults() == []


def test_a_page_is_heard_until_it_is_left(chromium):
    console, page = Console(lambda url: url.startswith("data:")), chromium.new_page()
    console.listen(page)
    page.goto("data:text/html,<p>Here.</p>")
    page.evaluate("setTimeout(() => { throw new Error('broken') })")
    page.evaluate("fetch('http://127.0.0.1:9/elsewhere').catch(() => console.error('refused'))")
    page.evaluate("console.log('no error')")
    console.leave(page)
    told = list(console.told)
    assert {"broken", "http://127.0.0.1:9/elsewhere", "refused"} <= set(told) and "no error" not in told
    page.evaluate("console.error('at its end')")
    page.close()
    assert console.told == told
