"""What serving takes beside the screen: health, metrics, limits, and noticing that a visitor has left.

`ServedAssistant` stands between the app and the assistant: whoever asks it (the screen, the endpoints, an MCP client) is counted, held to his limit,
and stops costing the model anything once he is gone. Nothing that a visitor writes is kept or counted here, only numbers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import importlib.util
import ipaddress
import threading
import time
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Any, cast
from urllib.parse import parse_qs

import gradio as gr
from gradio.context import LocalContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from genrec.assistant import Assistant
from genrec.catalogue import Catalogue
from genrec.engines import Engine
from genrec.errors import InputError, SettingsError
from genrec.schema import Attribution, Conversation, Language, Reply, Sampling
from genrec.settings import Settings
from genrec.text import has_cjk
from genrec.ui.catalogues import MAX_BYTES

_MAX_BODY = 2 * 2**20  # bytes of one request; the longest message that the box takes is 0.3 MB of JSON
_MAX_UPLOAD = MAX_BYTES + 2**16  # bytes of a request that brings a catalogue: the file and the form around it
_MAX_VISITORS = 10_000  # whose rate is remembered
_LOST_IN_A_ROW = 3  # replies that the engine lost one after another until the app calls itself failed
_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_WAIT: dict[Language, str] = {
    "en": "You have asked often within a minute, and others want their turn too. Please wait {} s and send it again.",
    "zh": "你在一分钟里问得很多了，也要让别人有机会。请等{}秒再发送。",
}
_TOO_LARGE = "This is more than can be sent at once ({:,} bytes at most). Please shorten it."


class Service:
    """One served app: its health, its metrics, who visits it and who is gone."""

    def __init__(self, loading: Future[Assistant], settings: Settings):
        """
        Raises:
            SettingsError: GENREC_AUTH is not a list of user:password, or MCP is wanted and its package is not there.
        """
        self.logins = read_logins(settings.auth)
        self._is_mcp = settings.mcp == 1
        if self._is_mcp and importlib.util.find_spec("mcp") is None:
            raise SettingsError('GENREC_MCP=1 needs the mcp package: pip install "gradio[mcp]".')
        self.metrics = Metrics()
        self.presence = Presence()
        self._limit = RateLimit(settings.rate_limit)
        self._num_proxies = settings.proxies
        self._loading = loading
        self.assistant: Future[Assistant] = Future()  # the same, seen through a ServedAssistant
        loading.add_done_callback(self._loaded)

    def _loaded(self, loading: Future[Assistant]) -> None:
        if error := loading.exception():
            self.assistant.set_exception(error)
        else:
            self.assistant.set_result(cast(Assistant, ServedAssistant(loading.result(), self)))

    def watch_queue(self, app: gr.Blocks) -> None:
        """Lets the metrics tell how many requests wait."""
        self.metrics.queued.set_function(lambda: len(app._queue))

    def launch_options(self) -> dict[str, Any]:
        """What Gradio's `launch` is to be told."""
        return {
            "app_kwargs": {
                "routes": [Route("/healthz", self._healthz), Route("/metrics", self._metrics)],
                "middleware": [Middleware(_Border, presence=self.presence, logins=self.logins)],
            },
            "auth": self.logins or None,
            "mcp_server": self._is_mcp,
            "max_file_size": MAX_BYTES,
        }

    def health(self) -> str:
        """warming, ready or failed."""
        if not self._loading.done():
            return "warming"
        has_failed = self._loading.exception() is not None or self.metrics.num_lost_in_a_row >= _LOST_IN_A_ROW
        return "failed" if has_failed else "ready"

    async def _healthz(self, request: Request) -> Response:
        health = self.health()
        return JSONResponse({"status": health}, status_code=200 if health == "ready" else 503)

    async def _metrics(self, request: Request) -> Response:
        if self.logins and not _is_logged_in(request.headers.get("authorization", ""), self.logins):
            return _login_wanted()
        self.metrics.ready.set(self.health() == "ready")
        return PlainTextResponse(generate_latest(self.metrics.registry), media_type="text/plain; version=0.0.4")

    def seconds_to_wait(self) -> float:
        """How long whoever is being served now has to wait until he may ask again; 0: he may, and it counts."""
        request = LocalContext.request.get(None)
        return self._limit.take(visitor_of(request, self._num_proxies)) if request else 0.0

    def is_gone(self) -> bool:
        """Whether whoever is being served now has left."""
        request = LocalContext.request.get(None)
        return request is not None and self.presence.has_left(request.session_hash or "")


class ServedAssistant:
    """The assistant as it is shared by visitors: the same methods, counted, limited, and stopped for those who have left."""

    def __init__(self, assistant: Assistant, service: Service):
        self._assistant = assistant
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._assistant, name)

    def with_catalogue(self, catalogue: Catalogue) -> ServedAssistant:
        """As Assistant.with_catalogue, for a visitor who is counted and limited as before.

        Raises:
            InputError: he asks too often.
        """
        if wait_s := self._service.seconds_to_wait():
            raise InputError(" ".join(text.format(round(wait_s + 0.5)) for text in _WAIT.values()))
        return ServedAssistant(self._assistant.with_catalogue(catalogue), self._service)

    def with_engine(self, engine: Engine) -> ServedAssistant:
        """As Assistant.with_engine, for visitors who are counted and limited as before."""
        return ServedAssistant(self._assistant.with_engine(engine), self._service)

    def reply(
        self, conversation: Conversation, message: str, sampling: Sampling = Sampling(), **options: Any
    ) -> Generator[Reply, None, None]:
        """As Assistant.reply; who asks too often gets one refusal that says how long to wait."""
        metrics = self._service.metrics
        last: Reply | None = None
        if wait_s := self._service.seconds_to_wait():
            language: Language = "zh" if has_cjk(message) else "en"
            notice = _WAIT[language].format(round(wait_s + 0.5))
            metrics.replies.labels("limited").inc()
            yield Reply(status="refused", language=language, conversation=conversation, notice=notice)
            return
        with metrics.writing.track_inprogress():
            try:
                with closing(self._assistant.reply(conversation, message, sampling, **options)) as snapshots:
                    for last in snapshots:
                        yield last
                        if self._service.is_gone():
                            return
            finally:
                if last:
                    metrics.count(last)

    def explain(self, conversation: Conversation, message: str, reply: Reply, **options: Any) -> Attribution:
        """As Assistant.explain, but that progress is told by `explaining` alone.

        Raises:
            InputError: the visitor asks too often, or has left.
        """
        with closing(self.explaining(conversation, message, reply, **options)) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value

    def explaining(
        self, conversation: Conversation, message: str, reply: Reply, **options: Any
    ) -> Generator[float, None, Attribution]:
        """As Assistant.explaining.

        Raises:
            InputError: the visitor asks too often, or has left.
        """
        if wait_s := self._service.seconds_to_wait():
            raise InputError(_WAIT["zh" if has_cjk(message) else "en"].format(round(wait_s + 0.5)))
        with (
            self._service.metrics.explaining.track_inprogress(),
            closing(self._assistant.explaining(conversation, message, reply, **options)) as steps,
        ):
            while True:
                try:
                    share = next(steps)
                except StopIteration as end:
                    attribution = end.value
                    break
                if self._service.is_gone():
                    raise InputError("The visitor has left.")
                yield share
        self._service.metrics.explanation_s.observe(attribution.seconds)
        return attribution


class Metrics:
    """Numbers for Prometheus, with a registry of their own: several apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.replies = Counter("genrec_replies", "Replies by how they ended", ["status"], registry=registry)
        self.tokens = Counter("genrec_tokens", "Tokens written", registry=registry)
        self.withheld = Counter("genrec_withheld", "Sentences and messages withheld", ["category"], registry=registry)
        self.first_sentence_s = Histogram(
            "genrec_first_sentence_seconds", "From message to first sentence", buckets=_SECONDS, registry=registry
        )
        self.reply_s = Histogram(
            "genrec_reply_seconds", "From message to the end of its reply", buckets=_SECONDS, registry=registry
        )
        self.explanation_s = Histogram(
            "genrec_explanation_seconds", "Time of an explanation", buckets=_SECONDS, registry=registry
        )
        self.writing = Gauge("genrec_replies_open", "Replies being written now", registry=registry)
        self.explaining = Gauge("genrec_explanations_open", "Explanations being made now", registry=registry)
        self.queued = Gauge("genrec_queue_length", "Requests that wait for their turn", registry=registry)
        self.ready = Gauge("genrec_ready", "1 when the models are loaded and answer", registry=registry)
        self.num_lost_in_a_row = 0

    def count(self, reply: Reply) -> None:
        """Takes in the last snapshot of a reply; one that is still "writing" was stopped, or its reader left."""
        self.replies.labels("stopped" if reply.status == "writing" else reply.status).inc()
        self.tokens.inc(reply.num_tokens)
        for withheld in reply.withheld:
            self.withheld.labels(withheld.category).inc()
        if reply.first_sentence_s:
            self.first_sentence_s.observe(reply.first_sentence_s)
        if reply.status == "done":
            self.reply_s.observe(reply.seconds)
            self.num_lost_in_a_row = 0
        elif reply.status == "lost":
            self.num_lost_in_a_row += 1


class RateLimit:
    """At most so many requests a minute from each visitor (token bucket: as many at once, then one by one)."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._per_minute = per_minute  # 0: no limit
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # visitor: requests left, at what time
        self._lock = threading.Lock()

    def take(self, visitor: str) -> float:
        """0 if this visitor may ask now, which counts; else the seconds until he may."""
        if not self._per_minute:
            return 0.0
        with self._lock:
            now = self._clock()
            left, at = self._left.pop(visitor, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
            may_ask = left >= 1
            self._left[visitor] = (left - may_ask, now)
            if len(self._left) > _MAX_VISITORS:
                self._left.popitem(last=False)  # who asked longest ago
            return 0.0 if may_ask else (1 - left) * 60 / self._per_minute


class Presence:
    """Who has closed the page. Gradio itself stops a generator only between two of its values, and never a plain function."""

    def __init__(self) -> None:
        self._open: Tally[str] = Tally()  # streams by session
        self._left: OrderedDict[str, None] = OrderedDict()

    def came(self, session: str) -> None:
        self._open[session] += 1
        self._left.pop(session, None)

    def went(self, session: str, *, is_cut: bool) -> None:
        """A stream has ended; `is_cut` if by the visitor, before everything was sent."""
        self._open[session] -= 1
        if self._open[session] <= 0:
            del self._open[session]
            if is_cut:
                self._left[session] = None
                if len(self._left) > _MAX_VISITORS:
                    self._left.popitem(last=False)

    def has_left(self, session: str) -> bool:
        return session in self._left


class _Border:
    """Every request passes here: refuses bodies that are too large, keeps MCP behind the login (Gradio's login guards the page and its API only), and notes
    which streams are cut."""

    def __init__(self, app: Any, presence: Presence, logins: Sequence[tuple[str, str]]):
        self._app = app
        self._presence = presence
        self._logins = logins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        is_closed = self._logins and "/gradio_api/mcp" in scope["path"]
        if is_closed and not _is_logged_in(headers.get(b"authorization", ""), self._logins):
            await _login_wanted()(scope, receive, send)
            return
        length = headers.get(b"content-length", "0")
        most = _MAX_UPLOAD if scope["path"].endswith("/gradio_api/upload") else _MAX_BODY
        if length.isdecimal() and int(length) > most:
            await JSONResponse({"detail": _TOO_LARGE.format(most)}, status_code=413)(scope, receive, send)
            return
        session = _streamed_session(scope)
        if session:
            self._presence.came(session)
        num_read, is_whole, is_cut = 0, False, False

        async def read() -> Any:
            nonlocal num_read, is_cut
            message = await receive()
            if message["type"] == "http.disconnect":
                is_cut = not is_whole
            num_read += len(message.get("body", b""))
            if num_read > most:  # sent in pieces, without a length
                raise HTTPException(413, _TOO_LARGE.format(most))
            return message

        async def write(message: Any) -> None:
            nonlocal is_whole
            is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, read, write)
        finally:
            if session:
                self._presence.went(session, is_cut=is_cut)


def _streamed_session(scope: Any) -> str:
    """The session whose events this request streams; "" for any other request."""
    parts = scope["path"].strip("/").split("/")
    if scope["method"] != "GET":
        return ""
    if parts[-2:] == ["queue", "data"]:
        return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
    return parts[-1] if "call" in parts[-4:-2] else ""  # …/call/recommend/EVENT or …/call/v2/recommend/EVENT


def visitor_of(request: Any, num_proxies: int) -> str:
    """Who sends a request: his login, else his address (of an IPv6 address the network, of which one customer has all). Behind proxies, their
    number from the end of X-Forwarded-For; without, that header is anybody's word and not read."""
    if request.username:
        return f"user {request.username}"
    address = request.client.host if request.client else ""
    if num_proxies:
        told = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
        address = told[-num_proxies] if len(told) >= num_proxies and told[-num_proxies] else address
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if parsed.version == 6 else str(parsed)


def read_logins(text: str) -> list[tuple[str, str]]:
    """The pairs of "user:password,user:password"; none for an empty text.

    Raises:
        SettingsError: one is not such a pair. The text itself, which holds passwords, is not repeated.
    """
    logins = []
    for number, pair in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        user, colon, password = pair.partition(":")
        if not (user and colon and password):
            raise SettingsError(f"GENREC_AUTH must be user:password,user:password; pair {number} is not such a pair.")
        logins.append((user, password))
    return logins


def _is_logged_in(authorization: str, logins: Sequence[tuple[str, str]]) -> bool:
    """Whether an HTTP Basic header names one of the logins."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        told = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return False
    return any(hmac.compare_digest(told, f"{user}:{password}".encode()) for user, password in logins)


def _login_wanted() -> Response:
    return JSONResponse({"detail": "Please log in."}, status_code=401, headers={"WWW-Authenticate": "Basic"})
