"""Speaks to OpenAI-compatible servers (vLLM, SGLang, llama.cpp, `transformers serve`, …), one or several with the same model.

What fails before the first word is mended here: by waiting, or by another server. What fails later is not: another server would begin another
reply. Servers that fail are left alone for a while and come back once they answer.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any, Literal, TypeVar

import httpx
import numpy as np

from genrec.engines import Choice, EngineInfo, Message, stop_telemetry
from genrec.errors import EngineError, SettingsError
from genrec.schema import Sampling
from genrec.text import has_cjk

_Part = TypeVar("_Part")
_Way = Literal["none", "chat", "echo"]
_log = logging.getLogger(__name__)
_MAX_TRIES = 4  # of one request, and one more for each further server: pauses of 0.25, 0.5 and 1 s
_MAX_REST_S = 30.0  # that a failing server is left alone
_NUM_SCORED = 8  # prompts scored at once by each server
_MAX_KEPT = 64  # replies whose token spans are kept
_SAME = 0.25  # nats: what a token's log-probability may differ by when the same text is scored again; bf16 in another batch stays below .1
# What chat templates read as control: ChatML, Llama, Qwen, Gemma, Mistral, DeepSeek. The server's tokenizer would take it as such in a message too.
_CONTROL = re.compile(
    r"<\|[^\s<>|]{1,40}\|>|<｜[^\s<>｜]{1,40}｜>|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|think|tools|tool_call|tool_response|start_of_turn|end_of_turn)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG)\]"
)
_TEXTS: dict[str, tuple[str, str]] = {
    "busy": (
        "The model server is busy; please try again in a minute.",
        "模型服务器正忙，请过一分钟再试。",
    ),
    "unreachable": (
        "The model server does not answer; please try again in a minute.",
        "模型服务器没有应答，请过一分钟再试。",
    ),
    "slow": (
        "The model server took too long; please try again in a minute.",
        "模型服务器太久没有回应，请过一分钟再试。",
    ),
    "fault": (
        "The model server has a fault; please try again in a minute.",
        "模型服务器出了故障，请过一分钟再试。",
    ),
    "key": (
        "The model server refuses the key of this app; whoever runs it has to set GENREC_ENGINE_KEY.",
        "模型服务器不接受本应用的密钥，需要由管理员设置 GENREC_ENGINE_KEY。",
    ),
    "unknown": (
        "The model server does not know the model or address that is set; whoever runs this app has to check GENREC_MODEL and GENREC_ENGINE_URL.",
        "模型服务器没有所设的模型或地址，需要由管理员检查 GENREC_MODEL 和 GENREC_ENGINE_URL。",
    ),
    "refused": (
        "The model server cannot take this conversation; a new one may work.",
        "模型服务器无法处理这段对话，可以新开一段再试。",
    ),
    "broken": (
        "The model server broke off in the middle of its reply; please try again.",
        "模型服务器在回答途中断开了，请再试一次。",
    ),
    "no scores": (
        "The model server gives no log-probabilities of a given text, so this reply cannot be explained.",
        "模型服务器不提供给定文本的对数概率，所以无法解释这次回答。",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Seconds that are waited for a server."""

    connect_s: float = 3.0
    first_token_s: float = 60.0  # pauses and tries at other servers included
    between_tokens_s: float = 20.0
    pause_s: float = 0.25  # before the second try; twice as long before each further one
    rest_s: float = 1.0  # that a server is left alone after it failed; twice as long each time it fails again


@dataclass
class _Replica:
    """One server, and how it is doing."""

    url: str
    num_open: int = 0  # requests that run
    last_turn: int = 0  # of those in which servers were chosen
    num_failures: int = 0  # since it last answered
    rests_until: float = 0.0  # in time.monotonic
    is_out: bool = False  # until a probe finds that it answers
    is_probed: bool = False


class _Failure(Exception):
    """One try failed: why (a key of _TEXTS), what the operator should read, whether another try may help, and how long the server asks to be
    left alone."""

    def __init__(self, why: str, details: str, *, is_final: bool = False, wait_s: float = 0.0):
        super().__init__(details)
        self.why, self.is_final, self.wait_s = why, is_final, wait_s

    def told(self) -> EngineError:
        return EngineError(*_TEXTS[self.why])


@dataclass(frozen=True)
class _Scored:
    """The tokens of a reply as the server cut it, half-open character spans, and their log-probabilities in nats, (num_tokens,)."""

    spans: list[tuple[int, int]]
    values: np.ndarray


class RemoteEngine:
    """A model behind `urls`, a comma list such as http://one:8000/v1,http://two:8000/v1. Safe to share between threads.

    Nothing is asked of a server before the first reply; `connect` asks what it serves.
    """

    def __init__(self, urls: str, *, model: str = "default", key: str = "", window: int = 0, limits: Limits = Limits()):
        self._replicas = [_Replica(url.strip().rstrip("/")) for url in urls.split(",") if url.strip()]
        if not self._replicas or not all(one.url.startswith(("http://", "https://")) for one in self._replicas):
            raise SettingsError(f"GENREC_ENGINE_URL must be addresses like http://localhost:8000/v1, but is {urls!r}.")
        self._model = model
        self._window = window
        self._limits = limits
        self._lock = threading.Lock()  # of the replicas
        self._turns = count(1)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key or 'none'}"},
            limits=httpx.Limits(max_keepalive_connections=32, keepalive_expiry=2.0),  # uvicorn hangs up after 5 s
        )
        weakref.finalize(self, self._client.close)
        self._takes_extras = True
        self._scoring: _Way | None = None  # not known yet
        self._scoring_lock = threading.Lock()
        self._tokenizer: Any = None  # of the model, where prompts must be rendered here
        self._spans: dict[str, list[tuple[int, int]]] = {}

    @classmethod
    def connect(cls, urls: str, *, model: str = "", key: str = "", limits: Limits = Limits()) -> RemoteEngine:
        """An engine that knows its model, its window and whether it can score. `model` "" takes the first that is served.

        Raises:
            EngineError: without a `model`, no server answers.
            SettingsError: an address is none.
        """
        engine = cls(urls, model=model, key=key, limits=limits)
        try:
            answered = engine._models()
        except EngineError as error:
            if not model:
                raise
            _log.warning(error)  # it may come up later
            return engine
        served = [one for one in answered if one["id"] == model] or answered
        engine._model = model or str(served[0]["id"])
        engine._window = next((int(one["max_model_len"]) for one in served if one.get("max_model_len")), 0)
        with suppress(EngineError):  # then it is found out with the first explanation
            engine._find_scoring()
        return engine

    def describe(self) -> EngineInfo:
        num = len(self._replicas)
        device = "a model server" if num == 1 else f"{num} model servers"
        return EngineInfo(self._model, device, "", 0, self._window, self._scoring in ("chat", "echo"))

    def count_tokens(self, text: str) -> int:
        """An estimate, on the high side: a token for each Chinese character or each three others."""
        return sum(3 if has_cjk(character) else 1 for character in text) // 3 + 1

    # Writing

    def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        titles: Sequence[str] | None = None,
        min_titles: int = 0,
    ) -> Generator[str, None, None]:
        """Pieces of the reply as a server sends them; it cannot be held to `titles`. Closing the iterator hangs up, by which servers stop.

        Raises:
            EngineError: no server can be reached, all refuse, or the one that writes breaks off. Its text is fit for a visitor; the log has
                the cause.
        """
        from genrec.engines.filters import hide_thoughts

        bodies = self._bodies(messages, sampling)
        with closing(self._tried(lambda replica, until: self._pieces(replica, bodies, until))) as pieces:
            yield from hide_thoughts(pieces)

    def _bodies(self, messages: Sequence[Message], sampling: Sampling) -> list[dict[str, Any]]:
        """The request, and the same in OpenAI's own words for a server that refuses any others."""
        plain: dict[str, Any] = {
            "model": self._model,
            "messages": _disarmed(messages),
            "stream": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            plain["seed"] = sampling.seed % 2**31
        if sampling.stop:
            plain["stop"] = list(sampling.stop)
        full = dict(plain)
        if sampling.top_k:
            full["top_k"] = sampling.top_k
        if sampling.repetition_penalty != 1.0:
            full["repetition_penalty"] = sampling.repetition_penalty
        if messages and messages[-1]["role"] == "assistant":
            full |= _CONTINUED
        return [full, plain] if self._takes_extras and full != plain else [plain]

    def _pieces(self, replica: _Replica, bodies: Sequence[dict[str, Any]], until: float) -> Generator[str, None, None]:
        """The contents of the stream's events."""
        opened = self._opened(replica, "chat/completions", bodies, until)
        with opened as response, _Watch(response, self._limits.between_tokens_s / 8) as watch:
            is_ended = False
            watch.until = until
            try:
                for line in response.iter_lines():
                    if not line.startswith("data:"):  # a comment, or the blank line after an event
                        continue
                    if (data := line[5:].strip()) == "[DONE]":
                        return
                    choices = _choices(data)
                    is_ended = is_ended or any(one.get("finish_reason") for one in choices)
                    piece = (choices[0].get("delta") or {}).get("content") if choices else None
                    if piece:
                        watch.until = math.inf  # while the piece is read, the server owes nothing
                        yield piece
                    if choices:
                        watch.until = time.monotonic() + self._limits.between_tokens_s
            except (httpx.HTTPError, OSError) as error:
                if watch.is_late or isinstance(error, httpx.TimeoutException):
                    raise _Failure("slow", "was silent for too long") from error
                raise _Failure("broken", f"broke off ({type(error).__name__})") from error
            if watch.is_late or not is_ended:
                raise _Failure("slow" if watch.is_late else "broken", "ended its stream without an end mark")

    @contextmanager
    def _opened(
        self, replica: _Replica, path: str, bodies: Sequence[dict[str, Any]], until: float
    ) -> Generator[httpx.Response, None, None]:
        """The response to the first of these requests that the server accepts.

        Raises:
            _Failure: it cannot be reached or accepts none.
        """
        for number, body in enumerate(bodies):
            left_s = max(until - time.monotonic(), 0.1)
            timeout = httpx.Timeout(
                max(left_s, self._limits.between_tokens_s), connect=min(self._limits.connect_s, left_s)
            )
            request = self._client.build_request("POST", f"{replica.url}/{path}", json=body, timeout=timeout)
            try:
                response = self._client.send(request, stream=True)
            except httpx.TimeoutException as error:
                is_connecting = isinstance(error, httpx.ConnectTimeout)
                raise _Failure("unreachable" if is_connecting else "slow", type(error).__name__) from error
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise _Failure("unreachable", type(error).__name__) from error
            with closing(response):
                if response.status_code in (400, 422) and number < len(bodies) - 1:
                    continue
                if response.status_code != httpx.codes.OK:
                    raise _refusal(response)
                if number:  # the server took it without the options that OpenAI's has not
                    self._takes_extras = False
                yield response
                return

    # Choosing a server

    def _tried(self, send: Callable[[_Replica, float], Generator[_Part, None, None]]) -> Generator[_Part, None, None]:
        """What `send` yields for a server and a point of time, tried again until it has yielded something."""
        until = time.monotonic() + self._limits.first_token_s
        for number in range(_MAX_TRIES + len(self._replicas) - 1):
            replica = self._choose()
            has_begun = False
            try:
                with closing(send(replica, until)) as parts:
                    for part in parts:
                        if not has_begun:
                            self._is_well(replica)
                        has_begun = True
                        yield part
                return
            except _Failure as failure:
                self._failed(replica, failure)
                pause_s = self._pause_s(number, failure)
                is_last = number == _MAX_TRIES + len(self._replicas) - 2
                if has_begun or failure.is_final or is_last or time.monotonic() + pause_s > until:
                    _log.warning("Model server %s: %s.", replica.url, failure)
                    raise failure.told() from failure
            finally:
                with self._lock:
                    replica.num_open -= 1
            time.sleep(pause_s)

    def _choose(self) -> _Replica:
        """The server with the fewest open requests among those that are well; else the one that was to be left alone for the shortest time. Counts the
        request as open."""
        with self._lock:
            now = time.monotonic()
            rested = [one for one in self._replicas if now >= one.rests_until]
            for one in rested:
                if one.is_out and not one.is_probed and len(self._replicas) > 1:
                    one.is_probed = True
                    threading.Thread(target=self._probe, args=(one,), daemon=True).start()
            well = [one for one in rested if not one.is_out]
            chosen = min(
                well or self._replicas,
                key=lambda one: (0.0 if well else one.rests_until, one.num_open, one.last_turn),
            )
            chosen.num_open += 1
            chosen.last_turn = next(self._turns)
            return chosen

    def _failed(self, replica: _Replica, failure: _Failure) -> None:
        """Leaves a server alone for a while; one that was at fault has to answer a probe first."""
        if failure.is_final and failure.why == "refused":  # the request is to blame, not the server
            return
        with self._lock:
            replica.num_failures += 1
            rest_s = min(self._limits.rest_s * 2 ** (replica.num_failures - 1), _MAX_REST_S)
            replica.rests_until = time.monotonic() + max(rest_s, failure.wait_s)
            replica.is_out = replica.is_out or failure.why != "busy"

    def _is_well(self, replica: _Replica) -> None:
        with self._lock:
            replica.num_failures, replica.rests_until, replica.is_out = 0, 0.0, False

    def _probe(self, replica: _Replica) -> None:
        """Lets a server that answers be chosen again."""
        try:
            answer = self._client.get(f"{replica.url}/models", timeout=self._limits.connect_s)
            is_well = answer.status_code == httpx.codes.OK
        except (httpx.HTTPError, OSError):
            is_well = False
        if is_well:
            self._is_well(replica)
        else:
            self._failed(replica, _Failure("unreachable", "probe"))
        with self._lock:
            replica.is_probed = False

    def _pause_s(self, number: int, failure: _Failure) -> float:
        """Before the next try: none where another server is well, else longer each time (with jitter, so that not all come back at once)."""
        with self._lock:
            now = time.monotonic()
            if any(now >= one.rests_until and not one.is_out for one in self._replicas):
                return 0.0
        return max(self._limits.pause_s * 2**number * random.uniform(0.75, 1.25), failure.wait_s)

    def _models(self) -> list[Mapping[str, Any]]:
        """What the first server that answers says it serves.

        Raises:
            EngineError: none answers, or it serves nothing.
        """
        problems = []
        for replica in self._replicas:
            try:
                answer = self._client.get(f"{replica.url}/models", timeout=self._limits.connect_s)
                served = [one for one in answer.raise_for_status().json()["data"] if "id" in one]
            except httpx.HTTPStatusError as error:
                problems.append(f"{replica.url} refuses (status {error.response.status_code})")
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{replica.url} does not answer ({type(error).__name__})")
            else:
                if served:
                    return served
                problems.append(f"{replica.url} serves no model")
        raise EngineError(f"The model server at {'; that at '.join(problems)}.")

    # Scoring

    def score(self, prompts: Sequence[Sequence[Message]], reply: str) -> np.ndarray:
        """Log-probabilities in nats at temperature 1, (num_prompts, num_reply_tokens); the tokens are those of `spans`.

        Raises:
            EngineError: the servers give no log-probabilities of a given text, or cannot be reached.
        """
        spans, way = self.spans(reply), self._find_scoring()
        unique = {tuple((one["role"], one["content"]) for one in prompt): prompt for prompt in prompts}
        scored: dict[tuple, np.ndarray] = {}
        if unique:
            with ThreadPoolExecutor(min(len(unique), _NUM_SCORED * len(self._replicas))) as pool:
                rows = pool.map(lambda prompt: self._scored(prompt, reply, way), unique.values())
                scored = {key: _recut(row, spans) for key, row in zip(unique, rows, strict=True)}
        ordered = [scored[tuple((one["role"], one["content"]) for one in prompt)] for prompt in prompts]
        return np.array(ordered).reshape(len(prompts), len(spans))

    def choices(self, prompt: Sequence[Message], reply: str) -> list[Choice]:
        """None: servers score what is given, and tell of nothing else."""
        return []

    def spans(self, reply: str) -> list[tuple[int, int]]:
        """The half-open character span of each token that `score` scores.

        Raises:
            EngineError: as `score`.
        """
        way = self._find_scoring()
        if way == "none":
            raise EngineError(*_TEXTS["no scores"])
        if reply not in self._spans:
            spans = self._scored([{"role": "user", "content": "?"}], reply, way).spans
            with self._lock:
                if len(self._spans) >= _MAX_KEPT:
                    self._spans.clear()
                self._spans[reply] = spans
        return self._spans[reply]

    def _find_scoring(self) -> _Way:
        """How the servers can be asked for log-probabilities of a given text, found out once: "chat" (vLLM's `prompt_logprobs`), "echo" (OpenAI's old
        completions with `echo` and `logprobs`, as SGLang and llama-cpp-python have it), or "none".

        A text is scored, then another that begins like it, then the first again: where the two results differ (vLLM's issue 42019: stale values at
        prefixes that are cached), there is nothing to rely on.
        """
        with self._scoring_lock:
            if self._scoring is not None:
                return self._scoring
            common = "I like long quiet films about the sea, old lighthouses, and people who keep their word. " * 3
            first, other = ([{"role": "user", "content": common + end}] for end in ("What now?", "And music?"))
            reply = "Then try one of these two, both slow and salty."
            ways: tuple[_Way, ...] = ("chat", "echo")
            for way in ways:
                try:
                    values = [self._scored(messages, reply, way).values for messages in (first, other, first)]
                except EngineError as error:
                    if isinstance(error.__cause__, _Failure) and error.__cause__.why in ("busy", "unreachable", "slow"):
                        raise  # it says nothing of what the server can do
                    continue
                if len(values[0]) == len(values[2]) and np.abs(values[0] - values[2]).max() < _SAME:
                    self._scoring = way
                    return way
                _log.warning("Model server: its log-probabilities of a text change when it is scored again.")
            self._scoring = "none"
            return "none"

    def _scored(self, messages: Sequence[Message], reply: str, way: _Way) -> _Scored:
        """
        Raises:
            EngineError: the servers cannot be reached, or their answer has no log-probabilities.
        """
        if way == "chat":
            path = "chat/completions"
            body = {"messages": [*_disarmed(messages), {"role": "assistant", "content": reply}], "prompt_logprobs": 0}
            body |= _CONTINUED
        else:
            path = "completions"
            body = {"prompt": self._render(messages) + reply, "echo": True, "logprobs": 1}
        body |= {"model": self._model, "max_tokens": 1, "temperature": 0.0}
        read = _read_chat if way == "chat" else _read_echo
        try:
            with closing(self._tried(lambda replica, until: self._answers(replica, path, body, until))) as answers:
                return _aligned(*read(next(answers)), reply)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
            raise EngineError(*_TEXTS["no scores"]) from error

    def _answers(self, replica: _Replica, path: str, body: dict[str, Any], until: float) -> Generator[Any, None, None]:
        """The one JSON answer to a request that is not streamed."""
        with self._opened(replica, path, [body], until) as response:
            try:
                response.read()
            except (httpx.HTTPError, OSError) as error:
                raise _Failure("broken", f"broke off ({type(error).__name__})") from error
            try:
                yield response.json()
            except ValueError as error:
                raise _Failure("fault", "answered no JSON") from error

    def _render(self, messages: Sequence[Message]) -> str:
        """The prompt as the model's chat template writes it, by the tokenizer on this machine.

        Raises:
            EngineError: the tokenizer is not here.
        """
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            stop_telemetry()
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(self._model, local_files_only=True)
            except (OSError, ValueError) as error:
                raise EngineError(*_TEXTS["no scores"]) from error
        return self._tokenizer.apply_chat_template(_disarmed(messages), tokenize=False, add_generation_prompt=True)


_CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}  # vLLM, SGLang; llama.cpp does so anyway


def _disarmed(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages with what would be read as control broken up by a space."""
    broken = lambda match: match.group()[0] + " " + match.group()[1:]
    return [{"role": one["role"], "content": _CONTROL.sub(broken, one["content"])} for one in messages]


class _Watch:
    """Hangs up where nothing comes until a moment (of time.monotonic) that may be moved. A read time-out will not do: it cannot be changed while
    a body is read, and comments that keep a connection alive reset it."""

    def __init__(self, response: httpx.Response, every_s: float):
        self.until = math.inf
        self.is_late = False
        self._socket = response.extensions["network_stream"].get_extra_info("socket")
        self._every_s = every_s
        self._is_over = threading.Event()

    def __enter__(self) -> _Watch:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_over.wait(self._every_s):
            if time.monotonic() > self.until:
                self.is_late = True
                with suppress(OSError):  # it was closed meanwhile
                    self._socket.shutdown(socket.SHUT_RDWR)
                return


def _refusal(response: httpx.Response) -> _Failure:
    """What a status other than 200 means."""
    status = response.status_code
    details = f"answered with status {status}"
    if status in (401, 403):
        return _Failure("key", details, is_final=True)
    if status == httpx.codes.NOT_FOUND or 300 <= status < 400:
        return _Failure("unknown", details, is_final=True)
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == 503 and "retry-after" in response.headers):
        return _Failure("busy", details, wait_s=_retry_after_s(response.headers.get("retry-after", "")))
    if status >= 500:
        return _Failure("fault", details)
    return _Failure("refused", details, is_final=True)


def _retry_after_s(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    from email.utils import parsedate_to_datetime

    with suppress(ValueError):
        return max(float(value), 0.0) if math.isfinite(float(value)) else 0.0
    with suppress(ValueError, TypeError):
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    return 0.0


def _choices(data: str) -> list[dict[str, Any]]:
    """The choices of one event.

    Raises:
        _Failure: it is no event, or tells of an error.
    """
    try:
        event = json.loads(data)
    except ValueError as error:
        raise _Failure("broken", "sent what is no JSON") from error
    if not isinstance(event, dict) or event.get("error"):
        raise _Failure("broken", "sent an error in its stream")
    choices = event.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise _Failure("broken", "sent what is no choice")
    return choices


def _read_chat(answer: Any) -> tuple[list[str], list[float | None]]:
    """Tokens and log-probabilities of the prompt in vLLM's answer."""
    tokens: list[str] = []
    values: list[float | None] = []
    for entry in answer["prompt_logprobs"]:
        told = next(iter(entry.values())) if entry else {}  # the first token has nothing before it
        tokens.append(told.get("decoded_token") or "")
        values.append(told.get("logprob"))
    return tokens, values


def _read_echo(answer: Any) -> tuple[list[str], list[float | None]]:
    """Tokens and log-probabilities of the prompt in an answer of the old completions API, without the token that was written."""
    told = answer["choices"][0]["logprobs"]
    num_written = int((answer.get("usage") or {}).get("completion_tokens", 1))
    num = len(told["tokens"]) - num_written
    return told["tokens"][:num], told["token_logprobs"][:num]


def _aligned(tokens: Sequence[str], values: Sequence[float | None], reply: str) -> _Scored:
    """The tokens at the end of a prompt that spell the reply.

    Servers decode every token by itself: a part of a character comes as "\ufffd" or "", and SentencePiece's have lost the space before them. So clean
    tokens must follow each other with any space between, and parts share the characters between their neighbours.

    Raises:
        ValueError: the tokens do not spell the reply, or one has no log-probability.
    """
    text = reply.strip()
    offset = reply.index(text)
    end = len(tokens)
    while end and tokens[end - 1] and not tokens[end - 1].strip():
        end -= 1
    length = _num_visible(text)
    shortest = longest = 0
    begin, spans = end, []
    for start in range(end - 1, -1, -1):
        low, high = _room([tokens[start]])
        shortest += 0 if _is_part(tokens[start]) else low
        longest += high
        if shortest > length:
            break
        if longest >= length and (spelt := _spelt(tokens[start:end], text)):
            begin, spans = start, spelt  # the most tokens: what stands before the first character does not spell it
    scored = [value for value in values[begin:end] if value is not None]
    if not spans or len(scored) < len(spans):
        raise ValueError("the tokens do not spell the reply" if not spans else "a token has no log-probability")
    return _Scored([(low + offset, high + offset) for low, high in spans], np.array(scored, dtype=float))


def _num_visible(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _room(run: Sequence[str]) -> tuple[int, int]:
    """How many visible characters these tokens can spell, at least and at most; a run of "" alone has given its bytes to the whole token after it."""
    if not any(run):
        return 0, 0
    num_parts = sum(token.count("\ufffd") or not token for token in run)
    num_whole = sum(_num_visible(token.replace("\ufffd", "")) for token in run)
    return max(num_whole, min(num_parts, 1)), num_whole + num_parts


def _is_part(token: str) -> bool:
    return not token or "\ufffd" in token


def _spelt(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """The span of each token where together they spell the text, else []."""
    groups = [(is_part, list(run)) for is_part, run in groupby(tokens, _is_part)]
    pattern = ""
    for is_part, run in groups:
        if is_part:
            low, high = _room(run)
            pattern += f"(.{{{low},{high}}}?)"
        else:
            pattern += "".join(f"(\\s*{re.escape(token)})" for token in run)
    matched = re.fullmatch(pattern, text, re.DOTALL)
    if not matched:
        return []
    spans: list[tuple[int, int]] = []
    number = 0
    for is_part, run in groups:
        for position in range(len(run)):
            number += position == 0 or not is_part
            spans.append(matched.span(number))
    return spans


def _recut(scored: _Scored, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """The log-probabilities by other spans of the same text, (num_spans,): a prompt's last character may have been joined to the reply's first."""
    if scored.spans == list(spans):
        return scored.values
    starts = np.array([start for start, _ in spans])
    values = np.zeros(len(spans))
    for (start, _), value in zip(scored.spans, scored.values, strict=True):
        values[max(int(np.searchsorted(starts, start, side="right")) - 1, 0)] += value
    return values
