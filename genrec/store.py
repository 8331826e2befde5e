"""Keeps feedback in a SQLite file: which item, thumbs up or down, seen, and why. Nothing of what visitors wrote in the chat."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from genrec.errors import StoreError

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
"""


@dataclass(frozen=True, slots=True)
class Feedback:
    user_id: str
    item_id: str
    rating: Rating
    reason: str = ""


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
            raise StoreError(f"Your feedback could not be kept: {error}.") from error

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

    def count(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT COUNT(*) FROM feedback").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()
