"""Puts the app on a Hugging Face Space: `python -m genrec deploy USER/SPACE`. Uploads what the app needs to run there, and nothing else.

The token is read from HF_TOKEN, or from an earlier `hf auth login`, by huggingface_hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.engines import stop_telemetry
from genrec.errors import InputError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ROOT = Path(__file__).resolve().parent.parent
_SINGLE = ("README.md", "LICENSE", "app.py", "requirements.txt", ".gitattributes")
_FOLDERS = ("genrec", "assets/catalogue", "assets/models")
_NOT_SERVED = tuple(
    f"genrec/{name}" for name in ("train/", "evaluate/", "bench/", "deploy.py", "cli.py", "__main__.py")
)
# the app never imports these
_OLD = ["genrec/*", "assets/*"]  # of a Space: what is no longer here goes, so that no stale module or catalogue stays


def space_files(root: Path = ROOT) -> list[Path]:
    """The files a Space needs, relative to `root`, in order.

    Raises:
        InputError: one of those that must be there is missing.
    """
    missing = [name for name in (*_SINGLE, *_FOLDERS) if not (root / name).exists()]
    if missing:
        raise InputError(f"{missing[0]} is missing in {root}; deploy from a whole clone of the repository.")
    return [Path(name) for name in _SINGLE] + sorted(path for folder in _FOLDERS for path in _served(root, folder))


def _served(root: Path, folder: str) -> Iterator[Path]:
    for path in (root / folder).rglob("*"):
        relative = path.relative_to(root)
        is_hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
        if path.is_file() and not is_hidden and not relative.as_posix().startswith(_NOT_SERVED):
            yield relative


def check_space_id(space_id: str) -> None:
    """
    Raises:
        InputError: it is not USER/SPACE.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]{0,95}", space_id):
        raise InputError(f"A Space is named USER/SPACE, for example ann/genrec, but this is {space_id!r}.")


def deploy(space_id: str, api: HfApi, *, is_private: bool = False, root: Path = ROOT) -> str:
    """Creates the Space if it is not there, and brings its files up to date in one commit; gives its address.

    Raises:
        InputError: the hub cannot be reached, knows no valid token, or refuses.
    """
    from huggingface_hub.errors import HTTPError  # of the client that the hub's own errors come from

    check_space_id(space_id)
    files = space_files(root)
    stop_telemetry()
    if not api.token and not _stored_token():
        raise InputError(
            "There is no token for the hub: set HF_TOKEN to one with write access, or run `hf auth login`."
        )
    try:
        url = api.create_repo(space_id, repo_type="space", space_sdk="gradio", private=is_private, exist_ok=True)
        api.upload_folder(
            repo_id=space_id,
            repo_type="space",
            folder_path=root,
            allow_patterns=[path.as_posix() for path in files],
            delete_patterns=_OLD,
            commit_message="Deploy GenRec",
        )
    except (
        HTTPError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no connection, a file, the front matter, an upload
        raise InputError(
            f"The hub did not take it: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
        ) from error
    return str(url)


def _stored_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()
