"""Keeps feedback in a SQLite file: which item, thumbs up or down, seen, and why; reports that something was wrongly withheld or refused; and
which of two replies was the better one. Nothing of what visitors wrote in the chat, unless one agreed to send it with his report."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from genrec.errors import StoreError

MIN_TOGETHER = 2  # users who must like two items for the one to speak for the other
_MAX_LIKED = 50  # of what a user likes, the latest that are asked about
Rating = Literal["like", "dislike", "seen"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    user_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    rating TEXT NOT NULL CHECK (rating IN ('like', 'dislike', 'seen')),
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (user_id, item_id, rating)
);
CREATE TABLE IF NOT EXISTS reports (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    category TEXT NOT NULL,
    score REAL NOT NULL,
    language TEXT NOT NULL,
    model TEXT NOT NULL,
    message TEXT
);
CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    better TEXT NOT NULL CHECK (better IN ('first', 'second', 'neither')),
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    language TEXT NOT NULL,
    model TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Feedback:
    user_id: str
    item_id: str
    rating: Rating
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A visitor says that something was wrongly withheld or refused: why it was, the score that decided it (probability in [0, 1]), the reply's language and
    model. `message` is what he wrote, None where he did not agree to send it. It does not say who he is."""

    category: str
    score: float
    language: str
    model: str = ""
    message: str | None = None
    at: str = ""  # when it was kept, ISO 8601 in UTC; the store's to say


@dataclass(frozen=True, slots=True)
class Vote:
    """Which of two replies to the same message a visitor found better, and how each was drawn ("temperature 0.3, top-p 0.8, …"). It says neither who
    he is nor what he wrote."""

    better: Literal["first", "second", "neither"]
    first: str
    second: str
    language: str
    model: str = ""
    at: str = ""  # as of a Report


class Store:
    """One SQLite file, or memory. Safe to share between threads."""

    def __init__(self, path: Path | str = ":memory:"):
        """
        Raises:
            StoreError: the file cannot be written.
        """
        self.is_lasting = str(path) != ":memory:"
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
            with self._connection:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS probe (x)"
                )  # a read-only file is found out here, not at the first thumb
                self._connection.execute("DROP TABLE probe")
        except sqlite3.Error as error:
            raise StoreError(f"The database {path} cannot be written: {error}.") from error

    def add(self, feedback: Feedback) -> None:
        """Keeps one rating; saying the same again changes nothing, and a like takes back a dislike of the same item.

        Raises:
            StoreError: it could not be written.
        """
        opposite = {"like": "dislike", "dislike": "like"}.get(feedback.rating, "")
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            feedback.user_id,
            feedback.item_id,
            feedback.rating,
            feedback.reason[:500],
        )
        try:
            with self._lock, self._connection:
                self._connection.execute(
                    "DELETE FROM feedback WHERE user_id = ? AND item_id = ? AND rating = ?",
                    (feedback.user_id, feedback.item_id, opposite),
                )
                self._connection.execute(
                    "INSERT OR REPLACE INTO feedback (at, user_id, item_id, rating, reason) VALUES (?, ?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise StoreError(f"Your feedback could not be kept: {error}.", f"你的评价没能保存：{error}。") from error

    def remove(self, user_id: str, item_id: str) -> None:
        """Forgets every rating that a user gave one item.

        Raises:
            StoreError: it could not be written.
        """
        try:
            with self._lock, self._connection:
                self._connection.execute("DELETE FROM feedback WHERE user_id = ? AND item_id = ?", (user_id, item_id))
        except sqlite3.Error as error:
            raise StoreError(f"Your feedback could not be changed: {error}.", f"你的评价没能更改：{error}。") from error

    def of_user(self, user_id: str) -> list[Feedback]:
        """A user's feedback, oldest first; a visitor without an id has none.

        Raises:
            StoreError: it could not be read.
        """
        if not user_id:
            return []
        try:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT user_id, item_id, rating, reason FROM feedback WHERE user_id = ? ORDER BY id", (user_id,)
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"Earlier feedback could not be read: {error}.") from error
        return [Feedback(*row) for row in rows]

    def liked_together(self, item_ids: Sequence[str]) -> dict[str, float]:
        """How often other items are liked by those who like these: the highest cosine between the users of an item and of one of these (item-based
        collaborative filtering, Sarwar et al. 2001), in [0, 1], by item id. What fewer than MIN_TOGETHER users like together is left out: it would say
        little, and too much of one user.

        Raises:
            StoreError: it could not be read.
        """
        wanted = tuple(dict.fromkeys(item_ids))[-_MAX_LIKED:]
        if not wanted:
            return {}
        marks = ", ".join("?" * len(wanted))
        query = f"""
            WITH likes AS (SELECT user_id, item_id FROM feedback WHERE rating = 'like'),
                 totals AS (SELECT item_id, COUNT(*) AS number FROM likes GROUP BY item_id),
                 pairs AS (
                    SELECT mine.item_id AS mine, other.item_id AS other, COUNT(*) AS number
                    FROM likes AS mine JOIN likes AS other ON mine.user_id = other.user_id
                    WHERE mine.item_id IN ({marks}) AND other.item_id NOT IN ({marks})
                    GROUP BY mine.item_id, other.item_id HAVING COUNT(*) >= {MIN_TOGETHER})
            SELECT pairs.other, MAX(pairs.number * pairs.number * 1.0 / (one.number * two.number)) FROM pairs
            JOIN totals AS one ON one.item_id = pairs.mine JOIN totals AS two ON two.item_id = pairs.other GROUP BY pairs.other
        """
        try:
            with self._lock:
                rows = self._connection.execute(query, (*wanted, *wanted)).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"Earlier feedback could not be read: {error}.") from error
        return {item_id: float(square) ** 0.5 for item_id, square in rows}

    def report(self, report: Report) -> None:
        """Keeps one report.

        Raises:
            StoreError: it could not be written.
        """
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            report.category,
            report.score,
            report.language,
            report.model,
            report.message and report.message[:2000],
        )
        try:
            with self._lock, self._connection:
                self._connection.execute(
                    "INSERT INTO reports (at, category, score, language, model, message) VALUES (?, ?, ?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise StoreError(f"Your report could not be kept: {error}.", f"你的反馈没能保存：{error}。") from error

    def reports(self) -> list[Report]:
        """All reports, oldest first.

        Raises:
            StoreError: they could not be read.
        """
        try:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT category, score, language, model, message, at FROM reports ORDER BY id"
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"The reports could not be read: {error}.") from error
        return [Report(*row) for row in rows]

    def vote(self, vote: Vote) -> None:
        """Keeps one vote.

        Raises:
            StoreError: it could not be written.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        row = (at, vote.better, vote.first, vote.second, vote.language, vote.model)
        try:
            with self._lock, self._connection:
                self._connection.execute(
                    "INSERT INTO votes (at, better, first, second, language, model) VALUES (?, ?, ?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise StoreError(f"Your vote could not be kept: {error}.", f"你的选择没能保存：{error}。") from error

    def votes(self) -> list[Vote]:
        """All votes, oldest first.

        Raises:
            StoreError: they could not be read.
        """
        try:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT better, first, second, language, model, at FROM votes ORDER BY id"
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"The votes could not be read: {error}.") from error
        return [Vote(*row) for row in rows]

    def count(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT COUNT(*) FROM feedback").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()
