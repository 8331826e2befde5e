"""Named endpoints for programs: /recommend and /explain, for gradio_client, plain HTTP and (with GENREC_MCP=1) agents that speak MCP.

They keep nothing of who calls: a reply carries the turns that the next call hands back. Gradio reads the annotations at run time, so they are not
postponed here.
"""

from concurrent.futures import Future, wait
from contextlib import closing
from typing import Any, Literal

import gradio as gr

from genrec import report
from genrec.assistant import Assistant
from genrec.errors import GenrecError, InputError
from genrec.schema import Conversation, Language, Reply, Sampling
from genrec.settings import Settings
from genrec.ui.session import paced
from genrec.wire import checked_sampling, read_turns, reply_json

_MAX_TURNS = 100  # of a conversation handed in; the model reads the last few, the wishes of all count

_AnyLanguage = Literal["auto", "en", "zh"]
_Tone = Literal["warm", "brief", "playful", "formal"]


def add_endpoints(loading: "Future[Assistant]", settings: Settings) -> None:
    """Puts /recommend and /explain into the Blocks that are being built; they share the screen's places at the model. To be called before any event
    of the screen is defined, which would take their names."""
    endpoints = Endpoints(loading)
    for fn in (endpoints.recommend, endpoints.explain):
        gr.api(fn, api_name=fn.__name__, concurrency_limit=settings.concurrency, concurrency_id="model")


def hide_others(app: gr.Blocks) -> None:
    """Keeps what the screen does among itself out of the API and the tools of MCP; Gradio publishes the loading of a State, for one."""
    for fn in app.fns.values():
        if fn.api_name not in ("recommend", "explain"):
            fn.api_visibility = "private"


class Endpoints:
    """The endpoints around an assistant that may still be on its way."""

    def __init__(self, loading: "Future[Assistant]"):
        self._loading = loading

    def recommend(  # type: ignore[misc]
        self,
        message: str,
        language: _AnyLanguage = "auto",
        seed: int = -1,
        temperature: float = Sampling().temperature,
        top_p: float = Sampling().top_p,
        top_k: int = Sampling().top_k,
        max_new_tokens: int = Sampling().max_new_tokens,
        tone: _Tone = "warm",
        turns: list[dict[str, Any]] = [],  # noqa: B006  shown to callers as the default; only read
    ) -> dict[str, Any]:  # each value of the stream; Gradio knows no annotation for that
        """Recommends films, books, music, games, places, dishes and more for a wish in anybody's own words, in English or Chinese.

        The reply is written by a language model and streamed: each value is the whole state so far, the last one has another status than
        "writing". It is JSON with reply (text), items (title, year, kind, whether it is in the catalogue), safety (verdict, what was withheld and
        why, the highest toxicity shown), notice (a line for the person), status, seed, and turns for the next call.

        Args:
            message: What the person likes or wants, in his own words, for example "slow-burn science fiction and moody jazz".
            language: Of the reply: en, zh, or auto for the message's own.
            seed: A whole number from 0 up reproduces a reply; -1 draws a new one.
            temperature: 0 to 5; 0 always takes the likeliest word, higher is bolder.
            top_p: Above 0, at most 1; words are drawn from the likeliest that make up this share.
            top_k: Words are drawn from at most this many; 0 for no limit.
            max_new_tokens: The longest reply, 1 to 4096.
            tone: warm, brief, playful or formal.
            turns: The "turns" of an earlier reply, to go on with that conversation; empty to begin one.
        """
        try:
            sampling = _sampling(seed, temperature, top_p, top_k, max_new_tokens)
            earlier = _read(message, language, tone, turns)
            while not self._loading.done():  # in short waits, so that a caller who leaves is noticed
                yield {"status": "warming", "reply": ""}
                wait([self._loading], timeout=0.5)
            assistant = self._loading.result()
            with closing(
                assistant.reply(
                    assistant.replay(Conversation(), earlier), message, sampling, language=_wanted(language), tone=tone
                )
            ) as snapshots:
                for reply in paced(snapshots):
                    yield _row(reply)
        except GenrecError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def explain(
        self,
        message: str,
        language: _AnyLanguage = "auto",
        seed: int = 0,
        rows: int = 32,
        temperature: float = Sampling().temperature,
        top_p: float = Sampling().top_p,
        top_k: int = Sampling().top_k,
        max_new_tokens: int = Sampling().max_new_tokens,
        tone: _Tone = "warm",
        turns: list[dict[str, Any]] = [],  # noqa: B006
    ) -> dict[str, Any]:
        """Recommends as /recommend does and says which of the person's words led to the reply, and which catalogue facts its sentences lean on.

        With the message, seed, settings and turns of an earlier /recommend it explains that very reply. JSON as of /recommend, and "attribution":
        fit (share of the variance on held-out tries that the scores explain), and for each word nats (positive: it made the reply likelier), their
        standard error, and what of them went through what was found and through how it was written. Takes seconds.

        Args:
            message: What the person likes or wants, in his own words.
            language: Of the reply: en, zh, or auto for the message's own.
            seed: A whole number from 0 up: the seed of the reply.
            rows: 4 to 256; shortened messages that are tried: more is slower and surer.
            temperature: As in /recommend.
            top_p: As in /recommend.
            top_k: As in /recommend.
            max_new_tokens: As in /recommend.
            tone: As in /recommend.
            turns: As in /recommend: what was said before the message.
        """
        try:
            sampling = _sampling(seed, temperature, top_p, top_k, max_new_tokens)
            earlier = _read(message, language, tone, turns)
            if not 4 <= rows <= 256:
                raise InputError(f"rows must be between 4 and 256, but is {rows}.")
            assistant = self._loading.result()
            start = assistant.replay(Conversation(), earlier)
            *_, reply = assistant.reply(start, message, sampling, language=_wanted(language), tone=tone)
            if not reply.text:
                raise InputError(reply.notice or "There is no reply to explain.")
            attribution = assistant.explain(start, message, reply, num_rows=rows, tone=tone)
        except GenrecError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return {**_row(reply), "attribution": report.attribution_json(attribution, reply)}


def _row(reply: Reply) -> dict[str, Any]:
    """A snapshot as the endpoints give it: the command line's JSON, with the verdict gathered and the turns for the next call."""
    row = reply_json(reply, id=None)
    withheld = row.pop("withheld")
    verdict = "refused" if reply.status == "refused" else "withheld" if withheld else "ok"
    toxicity = max((sentence.toxicity for sentence in reply.sentences), default=0.0)
    turns = [{"role": turn.role, "text": turn.text} for turn in reply.conversation.turns]
    return {**row, "safety": {"verdict": verdict, "withheld": withheld, "toxicity": toxicity}, "turns": turns}


def _sampling(seed: int, temperature: float, top_p: float, top_k: int, max_new_tokens: int) -> Sampling:
    """
    Raises:
        InputError: one is no number, or out of its range.
    """
    whole = {"seed": seed, "top_k": top_k, "max_new_tokens": max_new_tokens}
    for name, value in {**whole, "temperature": temperature, "top_p": top_p}.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or (name in whole and not float(value).is_integer()):
            raise InputError(f"{name} must be a {'whole ' if name in whole else ''}number, but is {value!r:.40}.")
    return checked_sampling(
        Sampling(
            temperature=temperature,
            top_p=top_p,
            top_k=int(top_k),
            max_new_tokens=int(max_new_tokens),
            seed=None if seed == -1 else int(seed),
        )
    )


def _read(message: str, language: str, tone: str, turns: list[dict[str, Any]]):
    """The earlier turns; what a program sends is checked here, since Gradio does not hold callers to the annotations.

    Raises:
        InputError: something is not what it must be.
    """
    if not isinstance(message, str):
        raise InputError("message must be a text.")
    for name, value, allowed in (
        ("language", language, ("auto", "en", "zh")),
        ("tone", tone, ("warm", "brief", "playful", "formal")),
    ):
        if value not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, but is {value!r:.40}.")
    if not isinstance(turns, list) or len(turns) > _MAX_TURNS:
        raise InputError(f"turns must be a list of at most {_MAX_TURNS}.")
    return read_turns(turns)


def _wanted(language: str) -> Language | None:
    return "en" if language == "en" else "zh" if language == "zh" else None
