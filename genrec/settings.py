"""The settings of one running program. `from_env` is the only reader of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from genrec.errors import SettingsError

ASSETS = Path(__file__).resolve().parent.parent / "assets"
HUB_MODEL = "Qwen/Qwen3-4B-Instruct-2507"  # what `auto` takes on CUDA
STARTING = "X-GenRec-Starting"  # a header of every answer that is given before the app is there, and of none after


@dataclass(frozen=True)
class Settings:
    """Every field can be set by an environment variable GENREC_<FIELD>, for example GENREC_MODEL=bundled."""

    model: str = "auto"  # auto | bundled | hub id | folder
    engine_url: str = (
        ""  # an OpenAI-compatible server, or several with the same model by commas; replaces the local model
    )
    engine_key: str = ""
    quantize: str = ""  # int8 | int4: weights of a local model in fewer bits
    compare: str = ""  # a second model to compare replies with: bundled | hub id | folder | a server's address
    encoder: str = "bundled"  # bundled | hub id | folder
    toxicity: str = "bundled"  # bundled | original | unbiased | multilingual
    mode: str = "catalogue"  # catalogue | open: a chat model may also name what the catalogue does not have, marked as unverified
    catalogue: str = ""  # a .jsonl, .csv or .parquet file; empty: the bundled one
    columns: str = ""  # corrections of what its columns are taken for: "title=name,year=released"
    cache: str = ""  # the folder where vectors of catalogues are kept; empty: ~/.cache/genrec, "off": none
    database: str = "genrec.sqlite3"
    host: str = "127.0.0.1"
    port: int = 7860
    threads: int = 0  # 0: chosen by the machine
    queue_size: int = 64
    concurrency: int = 8
    auth: str = ""  # who may come in: "user:password,user:password"; empty: everybody
    rate_limit: int = 0  # messages and explanations a minute of one visitor; 0: no limit
    proxies: int = 0  # trusted proxies in front, whose X-Forwarded-For tells who a visitor is
    mcp: int = 0  # 1: agents may call the endpoints as MCP tools

    def with_options(self, **options: Any) -> Settings:
        """These settings with every option that is not None or empty put in its place."""
        return replace(self, **{name: value for name, value in options.items() if value not in (None, "")})


def from_env(environ: Mapping[str, str]) -> Settings:
    """The settings an environment gives.

    Raises:
        SettingsError: a number is not one.
    """
    values: dict[str, object] = {}
    for field in fields(Settings):
        name = f"GENREC_{field.name.upper()}"
        text = environ.get(name, "").strip()
        if not text:
            continue
        if field.type == "int":
            if not text.isdecimal():
                raise SettingsError(f"{name} must be a whole number, but is {text!r}.")
            values[field.name] = int(text)
        else:
            values[field.name] = text
    if environ.get("XDG_CACHE_HOME"):
        values.setdefault("cache", str(Path(environ["XDG_CACHE_HOME"]) / "genrec"))
    if environ.get(
        "SPACE_ID"
    ):  # a Hugging Face Space is reached from outside its container, through one proxy, by anybody
        for name, value in {"host": "0.0.0.0", "proxies": 1, "rate_limit": 20}.items():
            values.setdefault(name, value)
    return Settings(**values)  # type: ignore[arg-type]
