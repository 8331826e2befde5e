"""Ratings are kept, a later one takes back its opposite, and what cannot be written is told at once."""

import os
import shutil
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from genrec.errors import StoreError
from genrec.store import Feedback, Report, Store, Vote


@pytest.fixture
def store():
    with closing(Store()) as store:
        yield store


@pytest.fixture
def ordinary_folder():
    """A folder in which this process works without root's rights, so that file modes hold."""
    folder = Path(tempfile.mkdtemp(prefix="genrec-store-"))
    folder.chmod(0o777)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_ratings_are_there_after_the_file_is_opened_again(tmp_path):
    kept = [Feedback("ann", "film-001", "like", "the music"), Feedback("ann", "book-002", "seen")]
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        for feedback in [*kept, Feedback("bob", "film-001", "dislike")]:
            store.add(feedback)
        assert store.is_lasting
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        assert store.of_user("ann") == kept
        assert store.count() == 3


def test_a_like_takes_back_a_dislike_and_the_other_way_round_but_not_that_it_was_seen(store):
    for rating in ("seen", "dislike", "like"):
        store.add(Feedback("ann", "film-001", rating))
    assert [one.rating for one in store.of_user("ann")] == ["seen", "like"]
    store.add(Feedback("ann", "film-001", "dislike"))
    assert [one.rating for one in store.of_user("ann")] == ["seen", "dislike"]


def test_a_dislike_of_one_item_or_user_leaves_the_others_alone(store):
    store.add(Feedback("ann", "film-001", "like"))
    store.add(Feedback("ann", "film-002", "dislike"))
    store.add(Feedback("bob", "film-001", "dislike"))
    assert [one.item_id for one in store.of_user("ann")] == ["film-001", "film-002"]


def test_the_same_rating_again_only_renews_the_reason(store):
    store.add(Feedback("ann", "film-001", "like", "first"))
    store.add(Feedback("ann", "film-001", "like", "x" * 2000))
    assert store.of_user("ann") == [Feedback("ann", "film-001", "like", "x" * 500)]


def test_a_visitor_without_an_id_shares_no_history(store):
    store.add(Feedback("", "film-001", "like"))
    assert store.of_user("") == store.of_user("nobody") == []


def test_text_that_looks_like_sql_is_only_text(store):
    hostile = "'; DROP TABLE feedback; --"
    store.add(Feedback(hostile, hostile, "like", hostile))
    assert store.of_user(hostile) == [Feedback(hostile, hostile, "like", hostile)]


def test_a_rating_that_does_not_exist_is_refused(store):
    with pytest.raises(StoreError):
        store.add(Feedback("ann", "film-001", "adore"))  # type: ignore[arg-type]
    assert store.count() == 0


def test_two_threads_lose_nothing(tmp_path):
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:

        def rate(user):
            for number in range(40):
                store.add(Feedback(user, f"film-{number}", "like"))
                store.of_user(user)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(rate, ["ann", "bob"]))
        assert [len(store.of_user(user)) for user in ("ann", "bob")] == [40, 40]


def test_a_path_that_cannot_be_written_is_found_out_at_once(tmp_path):
    (tmp_path / "text.sqlite3").write_text("this is not a database, however long the text is " * 40)
    for path in (tmp_path, tmp_path / "none" / "x.sqlite3", tmp_path / "text.sqlite3"):
        with pytest.raises(StoreError, match="cannot be written"):
            Store(path)


def test_a_read_only_file_is_found_out_at_once(ordinary_folder):
    path = ordinary_folder / "feedback.sqlite3"
    with closing(Store(path)) as store:
        store.add(Feedback("ann", "film-001", "like"))
    path.chmod(0o444)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM feedback").fetchone() == (1,)


def test_what_two_users_like_together_speaks_for_each_other_and_one_user_for_nothing(store):
    for user in ("anna", "ben"):
        store.add(Feedback(user, "tea", "like"))
        store.add(Feedback(user, "cake", "like"))
    store.add(Feedback("carl", "tea", "like"))
    store.add(Feedback("carl", "rum", "like"))  # by one user only
    store.add(Feedback("carl", "cake", "dislike"))
    assert store.liked_together(["tea"]) == {"cake": pytest.approx(2 / (3 * 2) ** 0.5)}
    assert store.liked_together(["rum"]) == {} and store.liked_together([]) == {}
    assert store.liked_together(["tea", "cake"]) == {}


def test_reports_are_kept_in_order_with_their_time_and_text_only_where_it_was_given(tmp_path):
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        store.report(Report("insult", 0.61, "en", "bundled", "what I wrote"))
        store.report(Report("toxicity", 0.83, "zh"))
        store.report(Report("threat", 0.5, "en", "", "x" * 5000))
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        first, second, third = store.reports()
        assert store.count() == 0, "reports are no ratings"
    assert (first.category, first.score, first.language, first.model) == ("insult", 0.61, "en", "bundled")
    assert (first.message, second.message, len(third.message or "")) == ("what I wrote", None, 2000)
    assert all(one.at.endswith("+00:00") for one in (first, second, third))


def test_a_file_of_an_earlier_version_gets_the_table_of_reports(tmp_path):
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        store.add(Feedback("ann", "film-001", "like"))
        store._connection.execute("DROP TABLE reports")
    with closing(Store(tmp_path / "feedback.sqlite3")) as store:
        store.report(Report("insult", 0.6, "en"))
        assert len(store.reports()) == store.count() == 1


def test_a_report_that_cannot_be_kept_is_told(tmp_path):
    store = Store(tmp_path / "feedback.sqlite3")
    store.close()
    with pytest.raises(StoreError, match="report"):
        store.report(Report("insult", 0.6, "en"))


def test_a_vote_is_kept_with_the_settings_and_nothing_of_who_gave_it(tmp_path):
    Store(tmp_path / "kept.sqlite3").vote(Vote("neither", "safe: seed 1", "bold: seed 1", "zh", "a writer"))
    (kept,) = Store(tmp_path / "kept.sqlite3").votes()
    assert (kept.better, kept.first, kept.second, kept.language, kept.model) == ("neither", "safe: seed 1", "bold: seed 1", "zh", "a writer")  # fmt: skip
    assert kept.at.startswith("20")
    with pytest.raises(StoreError):
        Store().vote(Vote("both", "", "", "en"))
