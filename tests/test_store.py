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
from genrec.store import Feedback, Store


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
