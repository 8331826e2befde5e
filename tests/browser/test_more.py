"""What a visitor can do beside the chat, in a real browser: compare two settings, bring a catalogue, look at what was measured. The model says what it is told."""

from __future__ import annotations

import json
import threading

import pytest
from playwright.sync_api import expect
from screen import ask, open_sidebar, press, say, serious, tab, wait_for_reply, wait_for_status

from genrec.load import load_compared
from genrec.store import Store

EVIL = '<img src="http://203.0.113.5/x.png" onerror="document.title=1">'
SONGS = [{"name": f"Quiet Song {number}", "artist": "Some Band", "released": 1990 + number, "genre": "jazz", "stars": 5} for number in range(30)]  # fmt: skip


@pytest.fixture
def songs(tmp_path):
    """A table that a visitor brings: songs, and rows that mean ill."""
    rows = [*SONGS, {"name": "", "genre": "jazz"}, {"name": f"Loud {EVIL}", "artist": EVIL, "genre": "jazz", EVIL: "loud"}]  # fmt: skip
    (tmp_path / "songs.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path / "songs.jsonl"


def upload(page, path):
    open_sidebar(page)
    page.locator("#genrec-catalogue").get_by_role("button").first.click()
    page.locator("#genrec-file input[type=file]").set_input_files(path)


# Two settings


def test_two_settings_are_written_side_by_side_and_the_vote_is_kept(make_assistant, scripted, serve, visit):
    store = Store()
    page = visit(serve(make_assistant(scripted(["Here is one.", "Here is another.", "Here is a third."]), store)))
    ask(page, "slow jazz")
    tab(page, "Compare")
    page.locator("#genrec-both").press("Enter")  # by keyboard
    page.get_by_role("button", name="B is better").wait_for()
    texts = page.locator("#genrec-comparison article").all_inner_texts()
    assert len(texts) == 2 and "Here is" in texts[0] and not any("temperature" in text for text in texts)
    page.get_by_role("button", name="B is better").press("Enter")
    picked = page.locator("#genrec-comparison .is-picked")
    picked.wait_for()
    assert "temperature" in picked.inner_text()
    (vote,) = store.votes()
    assert vote.better == "second" and vote.second.split(":")[0] in ("safe", "bold") and "jazz" not in str(vote)
    press(page, "中文")
    page.locator("#genrec-comparison").get_by_text("稳妥").wait_for()  # the preset's name in the language of the page


def test_a_second_model_is_loaded_when_it_is_first_compared_and_named_after_the_vote(
    make_assistant, scripted, serve, visit, monkeypatch
):
    go_on = threading.Event()

    def load_when_told(settings):
        assert go_on.wait(60)
        return load_compared(settings)

    monkeypatch.setattr("genrec.ui.app.load_compared", load_when_told)
    page = visit(serve(make_assistant(scripted(["Here is one.", "Here is another."])), compare="bundled"))
    ask(page, "slow jazz")
    tab(page, "Compare")
    expect(page.get_by_label("The other", exact=True)).to_have_value("The other model")
    page.click("#genrec-both")
    page.locator("#genrec-comparison").get_by_text("Loading the other model").wait_for()
    go_on.set()
    press(page, "A is better")
    panel = page.locator("#genrec-comparison")
    panel.get_by_text("bundled writer").wait_for()
    assert "scripted" in panel.inner_text()


def test_a_comparison_ends_with_a_new_message_and_goes_with_its_chat(scripted_page):
    page = scripted_page("Here is one.", "It is fine. " * 60, "Here is another.", "Here is a third.", size=6)
    ask(page, "slow jazz")
    tab(page, "Compare")
    panel = page.locator("#genrec-comparison")
    page.click("#genrec-both")
    panel.get_by_text("fine").first.wait_for()
    ask(page, "something quiet")
    panel.get_by_text("Your last message is written twice").wait_for()
    page.click("#genrec-both")
    page.get_by_role("button", name="A is better").wait_for()
    press(page, "↶ Undo")
    panel.get_by_text("Your last message is written twice").wait_for()


def test_a_comparison_before_any_message_says_what_to_do_first(scripted_page):
    page = scripted_page("Here is one.")
    tab(page, "Compare")
    page.click("#genrec-both")
    page.get_by_text("Ask for a recommendation first; then I can write it").wait_for()


# A catalogue of one's own


def test_a_table_of_ones_own_is_checked_used_and_left_and_nobody_else_has_it(
    make_assistant, scripted, serve, visit, songs
):
    address = serve(make_assistant(scripted(["Take **Quiet Song 3**."])))
    page, other = visit(address), visit(address)
    upload(page, songs)
    report = page.locator("#genrec-table")
    report.get_by_text("songs.jsonl: 31 items").wait_for()
    report.get_by_text("Rows left out: 1").click()
    assert "songs.jsonl line 31" in report.inner_text() and EVIL[:40] in report.inner_text()  # as text
    page.locator("#genrec-catalogue").get_by_label("Maker").wait_for()
    page.click("#genrec-use")
    page.get_by_text("songs.jsonl, 31 items").wait_for()
    ask(page, "quiet jazz")
    card = page.locator(".genrec-card").first
    assert "Quiet Song 3" in card.inner_text() and "Some Band" in card.inner_text()
    tab(page, "Trace")
    page.locator("#genrec-trace table").wait_for()
    assert page.locator('img[src*="203.0.113"]').count() == 0 and page.title() == "GenRec"
    ask(other, "quiet jazz")
    assert other.locator(".genrec-card").count() == 0  # the bundled catalogue has no such song
    page.click("#genrec-back")
    page.get_by_text("In use: the bundled catalogue").wait_for()
    page.locator(".genrec-starter").wait_for()
    page.locator("#genrec-back").wait_for(state="hidden")


def test_a_column_is_corrected_by_keyboard_and_the_report_follows(scripted_page, songs):
    page = scripted_page("Fine.")
    upload(page, songs)
    page.locator("#genrec-table").get_by_text("songs.jsonl: 31 items").wait_for()
    title = page.locator("#genrec-catalogue").get_by_role("combobox", name="Title", exact=True)
    title.press("Backspace")  # takes the chosen column out
    title.press("Tab")
    page.locator("#genrec-table [role=alert]").wait_for()
    page.locator("#genrec-use").wait_for(state="hidden")


# What was measured


def test_the_figures_stand_beside_their_goals_in_both_languages(talk, assets):
    card = json.loads((assets / "models" / "toxicity" / "card.json").read_text("utf-8"))
    value = f"{100 * card['figures']['hatecheck_accuracy']:.1f} %"
    tab(talk, "Evaluate")
    bar = talk.get_by_role("img", name=f"{value}, goal ≥ 68.0 %")
    bar.wait_for()
    expect(talk.locator("#genrec-figures").get_by_text("HateCheck, English")).to_be_visible()
    expect(talk.locator("#genrec-figures").get_by_text("HateCheck 英文")).to_be_hidden()
    tab(talk, "Why")


# For everybody


def test_the_keyboard_goes_from_the_box_to_cards_chips_and_panels(scripted_page, catalogue):
    page = scripted_page(f"You may like **{catalogue.by_id['film-301'].title}**.")
    say(page, "a calm film")
    wait_for_reply(page, 1)
    page.locator("#genrec-box textarea").focus()
    reached = []
    while "genrec-why" not in reached and len(reached) < 40:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.act ?? document.activeElement.id"))
    wanted = ["genrec-send", "like:film-301", "say:shorter", "retry", "genrec-why"]
    assert [one for one in reached if one in wanted] == wanted


def test_a_telephone_shows_every_tab(visit):
    page = visit(width=390, height=844)
    for name in ("Why", "Interests", "Safety", "Trace", "Compare", "Evaluate"):
        page.get_by_role("tab", name=name).wait_for()


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_axe_finds_no_serious_problem_beside_the_chat(make_assistant, scripted, serve, visit, songs, is_dark, width):
    address = serve(make_assistant(scripted(["Here is one.", "Here is another."])))
    page = visit(address, width=width, is_dark=is_dark)
    ask(page, "slow jazz")
    tab(page, "Compare")
    page.click("#genrec-both")
    page.get_by_role("button", name="A is better").wait_for()
    found = serious(page)
    tab(page, "Evaluate")
    found += serious(page)
    upload(page, songs)
    page.locator("#genrec-table").get_by_text("songs.jsonl: 31 items").wait_for()
    found += serious(page)
    assert sorted(set(found)) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wait_for_status(page, "Done")
