"""Reads the rows that evaluations and the ranker's training measure on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from genrec.errors import InputError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file, gzipped or not.

    Raises:
        InputError: it cannot be read; the folder of `--data` may be another.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [json.loads(line) for line in data.decode("utf-8").split("\n") if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Is it the folder that --data should name?") from error
