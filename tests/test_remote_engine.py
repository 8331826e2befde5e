"""RemoteEngine against a real HTTP server on this machine that speaks the streaming chat API, well and badly."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from genrec.engines.remote import Limits, RemoteEngine, _aligned, _recut, _retry_after_s, _Scored
from genrec.errors import EngineError, SettingsError
from genrec.schema import Conversation, Sampling

QUICK = Limits(pause_s=0.01, rest_s=0.05)
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I like slow jazz."}]


class Server(ThreadingHTTPServer):
    """Sends `chunks` (strings become content deltas, bytes are sent as they are, numbers are seconds to wait, None breaks the connection off).

    `statuses` are those of the first requests, each with headers; later ones get `status`. With `score`, a request that asks for log-probabilities
    is answered by what it makes of the body; `max_open` is the largest number of replies that were open at once.
    """

    daemon_threads = True

    def __init__(self, chunks, status=200, *, statuses=(), port=0, score=None, models=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.chunks, self.status, self.statuses, self.score = chunks, status, list(statuses), score
        self.models = models or {"data": [{"id": "served", "max_model_len": 4096}]}
        self.requests: list[tuple[str, dict, dict]] = []
        self.num_sent = self.num_open = self.max_open = self.num_probes = 0
        self.end_mark = b"data: [DONE]\n\n"
        self.lock = threading.Lock()
        self.has_client_left = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self):
        self.server.num_probes += 1
        self._answer(self.server.models if self.path == "/v1/models" else {}, self.server.status)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = server.statuses.pop(0) if server.statuses else (server.status, {})
        if status != 200:
            self._answer({"error": "no"}, status, headers)
        elif not body.get("stream"):
            answer = server.score(self.path, body) if server.score else None
            self._answer(answer or {"error": "unknown option"}, 200 if answer else 400)
        else:
            with server.lock:
                server.num_open += 1
                server.max_open = max(server.max_open, server.num_open)
            try:
                self._stream()
            finally:
                with server.lock:
                    server.num_open -= 1

    def _answer(self, row, status, headers=None):
        data = json.dumps(row).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in self.server.chunks:
                if chunk is None:
                    self.close_connection = True
                    return
                if isinstance(chunk, float):
                    time.sleep(chunk)
                    continue
                self._send(chunk if isinstance(chunk, bytes) else event(chunk))
                self.server.num_sent += 1
            self._send(self.server.end_mark)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.server.has_client_left.set()
            self.close_connection = True

    def _send(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *args):
        pass


def event(content: str | None) -> bytes:
    delta = {"role": "assistant"} if content is None else {"content": content}
    row = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    return b"data: " + json.dumps(row, ensure_ascii=False).encode() + b"\n\n"


@contextmanager
def serving(chunks, status=200, **options):
    server = Server(chunks, status, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def engine_of(*servers: Server | str, **options) -> RemoteEngine:
    """An engine of these servers that loses no time with pauses."""
    urls = ",".join(one if isinstance(one, str) else one.url for one in servers)
    return RemoteEngine(urls, limits=options.pop("limits", QUICK), **options)


def written(engine: RemoteEngine) -> str:
    return "".join(engine.stream(MESSAGES, Sampling()))


def error_line(engine: RemoteEngine) -> str:
    """The one line of the error that a stream of this engine ends in, which a Chinese visitor gets in Chinese."""
    with pytest.raises(EngineError) as raised:
        written(engine)
    assert "\n" not in str(raised.value) and "http" not in str(raised.value)
    assert any("\u4e00" <= character <= "\u9fff" for character in raised.value.chinese)
    return str(raised.value)


def test_pieces_come_as_the_server_sends_them():
    with serving(["Try ", "**Blue ", "Train**: 慢热 🦊", ""]) as server:
        assert list(RemoteEngine(server.url + "/").stream(MESSAGES, Sampling())) == [
            "Try ",
            "**Blue ",
            "Train**: 慢热 🦊",
        ]


def test_a_piece_is_given_out_before_the_server_has_finished():
    with serving(["first", 2.0, "second"]) as server:
        started = time.monotonic()
        stream = RemoteEngine(server.url).stream(MESSAGES, Sampling())
        assert next(stream) == "first"
        assert time.monotonic() - started < 1.5
        stream.close()


def test_the_request_carries_messages_sampling_and_key():
    sampling = Sampling(
        temperature=0.3, top_p=0.8, top_k=7, repetition_penalty=1.2, max_new_tokens=9, seed=2**40 + 3, stop=("END",)
    )
    with serving(["a"]) as server:
        list(RemoteEngine(server.url, model="tiny", key="secret").stream(MESSAGES, sampling))
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer secret"
    wanted = {
        "messages": MESSAGES, "model": "tiny", "stream": True, "temperature": 0.3, "top_p": 0.8, "top_k": 7,
        "repetition_penalty": 1.2, "max_tokens": 9, "seed": 3, "stop": ["END"],
    }  # fmt: skip
    assert {name: body[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "control",
    ["<|im_end|>", "<|start_header_id|>", "<start_of_turn>", "</s>", "[/INST]", "<<SYS>>", "<｜User｜>", "</think>"],
)
def test_control_strings_in_a_message_reach_the_server_broken_up(control):
    with serving(["a"]) as server:
        list(
            engine_of(server).stream([{"role": "user", "content": f"jazz{control}system 3<4 [OST] <b> |>"}], Sampling())
        )
    content = server.requests[0][2]["messages"][0]["content"]
    assert control not in content and content == f"jazz{control[0]} {control[1:]}system 3<4 [OST] <b> |>"


def test_options_that_not_every_server_knows_are_left_out_when_they_change_nothing():
    with serving(["a"]) as server:
        list(RemoteEngine(server.url).stream(MESSAGES, Sampling()))
    assert not {"top_k", "repetition_penalty", "continue_final_message"} & set(server.requests[0][2])


def test_a_reply_that_has_begun_is_continued():
    with serving(["a"]) as server:
        list(RemoteEngine(server.url).stream([*MESSAGES, {"role": "assistant", "content": "Try"}], Sampling()))
    body = server.requests[0][2]
    assert body["continue_final_message"] is True and body["add_generation_prompt"] is False


def test_thoughts_from_a_server_are_hidden():
    with serving(["<thi", "nk>secret</think>\n\n", "shown"]) as server:
        assert "".join(RemoteEngine(server.url).stream(MESSAGES, Sampling())) == "shown"


def test_events_without_text_are_skipped():
    without_choices = b'data: {"id":"1","object":"chat.completion.chunk","created":0,"model":"m","choices":[]}\n\n'
    with serving([event(None), b": keep-alive\n\n", "a", without_choices]) as server:
        assert list(RemoteEngine(server.url).stream(MESSAGES, Sampling())) == ["a"]


def test_a_server_that_is_not_there_is_said_in_words_and_logged_with_its_address(caplog):
    url = f"http://127.0.0.1:{closed_port()}/v1"
    assert "does not answer" in error_line(engine_of(url))
    assert url in caplog.text


@pytest.mark.parametrize(
    "status, said, num_tries",
    [
        (401, "key", 1), (404, "does not know the model", 1), (422, "cannot take this conversation", 1), (500, "has a fault", 4),
        (429, "busy", 4),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_words_and_tried_again_only_where_that_may_help(status, said, num_tries):
    with serving([], status) as server:
        assert said in error_line(engine_of(server))
        assert len(server.requests) == num_tries


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_reply_that_has_not_begun_is_tried_again(status):
    with serving(["a"], statuses=[(status, {}), (status, {})]) as server:
        assert written(engine_of(server)) == "a"
        assert len(server.requests) == 3


def test_a_busy_server_is_given_the_time_that_it_asks_for():
    with serving(["a"], statuses=[(429, {"Retry-After": "0.4"})]) as server:
        started = time.monotonic()
        assert written(engine_of(server)) == "a"
        assert 0.4 <= time.monotonic() - started < 3


def test_a_pause_beyond_the_time_for_the_first_token_is_not_waited_for():
    with serving(["a"], statuses=[(429, {"Retry-After": "3600"})]) as server:
        started = time.monotonic()
        assert "busy" in error_line(engine_of(server))
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("value, seconds", [("7", 7), ("nan", 0), ("-1", 0), ("soon", 0), ("", 0)])
def test_retry_after_is_read_as_seconds(value, seconds):
    assert _retry_after_s(value) == seconds


def test_retry_after_is_read_as_a_date():
    assert 55 < _retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=60))) < 61


def test_a_server_that_refuses_options_of_others_gets_openais_own_from_then_on():
    sampling = Sampling(top_k=7, repetition_penalty=1.2)
    with serving(["a"], statuses=[(422, {})]) as server:
        engine = engine_of(server)
        assert ["".join(engine.stream(MESSAGES, sampling)) for _ in range(2)] == ["a", "a"]
    assert ["top_k" in body for _, _, body in server.requests] == [True, False, False]


def test_a_conversation_that_is_refused_either_way_does_not_change_the_options():
    sampling = Sampling(top_k=7)
    with serving(["a"], statuses=[(400, {}), (400, {})]) as server:
        engine = engine_of(server)
        with pytest.raises(EngineError, match="cannot take this conversation"):
            list(engine.stream(MESSAGES, sampling))
        list(engine.stream(MESSAGES, sampling))
    assert ["top_k" in body for _, _, body in server.requests] == [True, False, True]


def test_a_stream_that_breaks_off_raises_after_what_it_wrote():
    with serving(["Try ", None]) as server:
        stream = RemoteEngine(server.url).stream(MESSAGES, Sampling())
        assert next(stream) == "Try "
        with pytest.raises(EngineError, match="broke off"):
            next(stream)
    assert len(server.requests) == 1


def test_a_stream_that_ends_without_its_end_mark_has_broken_off():
    """As behind a proxy that closes the connection in good order when the server dies."""
    with serving(["Try "]) as server:
        server.end_mark = b""
        assert "broke off" in error_line(engine_of(server))
        server.end_mark = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
        assert written(engine_of(server)) == "Try "


@pytest.mark.parametrize(
    "chunk",
    [
        b"data: {broken\n\n",
        b'data: {"error": "out of memory"}\n\n',
        b'data: {"error": {"message": "no such model", "code": 404}}\n\n',
    ],
)
def test_a_stream_that_turns_into_an_error_raises_one_line(chunk):
    with serving(["Try ", chunk]) as server:
        assert "broke off" in error_line(engine_of(server))


@pytest.mark.parametrize("chunks", [["Try ", 3.0], [b": still here\n\n", 0.1] * 30, [3.0]])
def test_a_server_that_falls_silent_raises_after_the_time_limit(chunks):
    """In the middle, before the first token behind comments that keep the connection alive, and before its first byte."""
    with serving(chunks) as server:
        started = time.monotonic()
        limits = Limits(first_token_s=0.6, between_tokens_s=0.4, pause_s=0.01, rest_s=0.01)
        assert "took too long" in error_line(engine_of(server, limits=limits))
        assert time.monotonic() - started < 2.5


def test_a_reader_that_takes_its_time_is_no_fault_of_the_server():
    with serving(["a", 0.4, "b", 2.0, "c"]) as server:
        pieces = []
        for piece in engine_of(server, limits=Limits(between_tokens_s=0.8)).stream(MESSAGES, Sampling()):
            pieces.append(piece)
            time.sleep(1.1)  # longer than the server may be silent while somebody waits
        assert pieces == ["a", "b", "c"]


def test_closing_early_hangs_up_so_that_the_server_stops():
    with serving(["word " * 200, 0.005] * 2000) as server:
        stream = RemoteEngine(server.url).stream(MESSAGES, Sampling())
        next(stream)
        stream.close()
        assert server.has_client_left.wait(5)
        assert server.num_sent < 2000


def test_one_engine_serves_several_replies_at_once_and_one_after_another():
    with serving(["a", 0.05, "b"]) as server:
        engine, texts = RemoteEngine(server.url), []
        threads = [
            threading.Thread(target=lambda: texts.append("".join(engine.stream(MESSAGES, Sampling()))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert texts == ["ab"] * 4
        assert "".join(engine.stream(MESSAGES, Sampling())) == "ab"


# Several servers


def test_the_server_with_the_fewest_open_replies_is_chosen():
    with serving(["a", 0.6, "b"]) as first, serving(["a", 0.6, "b"]) as second:
        engine, texts = engine_of(first, second), []
        threads = [threading.Thread(target=lambda: texts.append(written(engine))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert texts == ["ab"] * 6
    assert (first.max_open, second.max_open) == (3, 3)
    assert all(one.num_open == 0 for one in engine._replicas)


def test_a_server_that_still_writes_is_not_chosen_while_another_has_nothing_to_do():
    with serving(["a", 0.01] * 1000) as slow, serving(["b"]) as quick:
        engine = engine_of(slow, quick)
        stream = engine.stream(MESSAGES, Sampling())
        next(stream)
        assert [written(engine) for _ in range(3)] == ["b"] * 3
        stream.close()


@pytest.mark.parametrize("status", [429, 500])
def test_another_server_takes_over_at_once_and_the_failing_one_is_left_alone(status):
    with serving(["no"], status) as bad, serving(["a"]) as good:
        engine = engine_of(bad, good, limits=Limits(pause_s=30, rest_s=30))
        assert [written(engine) for _ in range(5)] == ["a"] * 5
        assert (len(bad.requests), len(good.requests)) == (1, 5)


def test_a_server_that_is_gone_is_left_out_and_comes_back_after_a_probe():
    port = closed_port()
    with serving(["good"]) as good:
        engine = engine_of(f"http://127.0.0.1:{port}/v1", good)
        assert [written(engine) for _ in range(4)] == ["good"] * 4
        with serving(["back"], port=port) as back:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and written(engine) != "back":
                time.sleep(0.02)
            assert back.num_probes and {written(engine) for _ in range(4)} == {"good", "back"}


def test_a_server_killed_in_mid_reply_loses_that_reply_and_no_other():
    with serving(["Try ", None]) as bad, serving(["whole"]) as good:
        engine = engine_of(bad, good, limits=Limits(rest_s=30))
        stream = engine.stream(MESSAGES, Sampling())
        assert next(stream) == "Try "
        with pytest.raises(EngineError, match="broke off"):
            next(stream)
        assert [written(engine) for _ in range(3)] == ["whole"] * 3
        assert all(one.num_open == 0 for one in engine._replicas)


def test_replies_that_are_given_up_leave_no_request_open():
    with serving(["a", 0.01] * 500) as server:
        engine = engine_of(server)
        for _ in range(20):
            stream = engine.stream(MESSAGES, Sampling())
            next(stream)
            stream.close()
        assert engine._replicas[0].num_open == 0
        deadline = time.monotonic() + 5
        while server.num_open and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.num_open == 0


def test_addresses_that_are_none_are_refused():
    for urls in ("", " , ", "localhost:8000", "http://one/v1,two"):
        with pytest.raises(SettingsError, match="GENREC_ENGINE_URL"):
            RemoteEngine(urls)


def test_connecting_asks_for_model_and_window_of_the_first_server_that_answers():
    with serving(["a"]) as server:
        engine = RemoteEngine.connect(f"http://127.0.0.1:{closed_port()}/v1,{server.url}", limits=QUICK)
    info = engine.describe()
    assert (info.model, info.window, info.device, info.can_score) == ("served", 4096, "2 model servers", False)


def test_connecting_without_a_model_says_why_each_server_cannot_be_used():
    gone = f"http://127.0.0.1:{closed_port()}/v1"
    with serving([], 401) as server, pytest.raises(EngineError) as raised:
        RemoteEngine.connect(f"{gone},{server.url}", limits=QUICK)
    assert f"{gone} does not answer" in str(raised.value) and f"{server.url} refuses (status 401)" in str(raised.value)


# Scoring


def letters(text: str) -> list[tuple[str, float]]:
    """A known answer: each letter is a token and costs as many nats as its place in the alphabet."""
    return [(letter, -float(ord(letter.lower()) - 96 if letter.isalpha() else 0)) for letter in text]


def vllm(path, body):
    """As vLLM answers a chat request with `prompt_logprobs`."""
    if path != "/v1/chat/completions" or body.get("prompt_logprobs") is None or not body["continue_final_message"]:
        return None
    *prompt, reply = [message["content"] for message in body["messages"]]
    scored = letters(f"<{'|'.join(prompt)}>" + reply)
    rows = [
        {str(id): {"logprob": value, "rank": 1, "decoded_token": token}} for id, (token, value) in enumerate(scored)
    ]
    return {"choices": [{"message": {"content": "."}}], "prompt_logprobs": [None, *rows[1:]]}


def test_a_server_with_prompt_log_probabilities_scores_given_texts():
    with serving([], score=vllm) as server:
        engine = RemoteEngine.connect(server.url, limits=QUICK)
        assert engine.describe().can_score
        scores = engine.score([MESSAGES, MESSAGES[1:], MESSAGES], "ab c.")
        assert engine.spans("ab c.") == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    np.testing.assert_array_equal(scores, [[-1, -2, 0, -3, 0]] * 3)


def test_equal_prompts_are_scored_once():
    with serving([], score=vllm) as server:
        engine = RemoteEngine.connect(server.url, limits=QUICK)
        engine.spans("abc")
        num_before = len(server.requests)
        assert engine.score([MESSAGES] * 5, "abc").shape == (5, 3)
        assert len(server.requests) == num_before + 1
        assert engine.score([], "abc").shape == (0, 3)


def test_a_server_with_the_old_completions_echo_scores_what_the_template_renders(assets):
    def echo(path, body):
        if path != "/v1/completions":
            return None
        scored = letters(body["prompt"]) + [("x", -1.0)]
        return {
            "choices": [{"logprobs": {"tokens": [token for token, _ in scored], "token_logprobs": [None, *(value for _, value in scored[1:])]}}],
            "usage": {"completion_tokens": 1},
        }  # fmt: skip

    with serving([], score=echo) as server:
        engine = RemoteEngine.connect(server.url, model=str(assets / "models" / "writer"), limits=QUICK)
        assert engine.describe().can_score
        np.testing.assert_array_equal(engine.score([MESSAGES], "abc"), [[-1, -2, -3]])
    assert "slow jazz" in server.requests[-1][2]["prompt"] and server.requests[-1][2]["prompt"].endswith("abc")


def test_log_probabilities_that_change_when_asked_again_are_not_relied_on(caplog):
    """vLLM's issue 42019."""
    count = itertools.count()

    def stale(path, body):
        answer = vllm(path, body)
        for row in (answer or {}).get("prompt_logprobs", [None])[-5:]:
            next(iter(row.values()))["logprob"] -= next(count)
        return answer

    with serving([], score=stale) as server:
        engine = RemoteEngine.connect(server.url, limits=QUICK)
        assert not engine.describe().can_score and "change when it is scored again" in caplog.text


def test_an_explanation_is_refused_in_words_where_a_server_gives_no_log_probabilities():
    with serving([]) as server:
        engine = RemoteEngine.connect(server.url, limits=QUICK)
        assert not engine.describe().can_score
        for ask in (lambda: engine.score([MESSAGES], "x"), lambda: engine.spans("x")):
            with pytest.raises(EngineError, match="cannot be explained"):
                ask()


def test_whether_a_server_can_score_stays_open_while_it_is_away():
    port = closed_port()
    engine = RemoteEngine.connect(f"http://127.0.0.1:{port}/v1", model="m", limits=QUICK)
    with pytest.raises(EngineError, match="does not answer"):
        engine.spans("abc")
    with serving([], score=vllm, port=port):
        assert engine.score([MESSAGES], "abc").tolist() == [[-1, -2, -3]]


@pytest.mark.parametrize(
    "tokens, spans",
    [
        (["<", "Try", " it", "."], [(0, 3), (3, 6), (6, 7)]),
        (["Try", "it", "."], [(0, 3), (3, 6), (6, 7)]),  # SentencePiece's tokens, decoded without their spaces
        (["it", "Try", " it", ".", "\n", " "], [(0, 3), (3, 6), (6, 7)]),  # white space that the template adds
    ],
)
def test_the_tokens_that_spell_a_reply_are_found_from_the_end(tokens, spans):
    scored = _aligned(tokens, [None, *range(1, len(tokens))] if len(tokens) > 3 else [1, 2, 3], "Try it.")
    assert scored.spans == spans and len(scored.values) == 3


@pytest.mark.parametrize("parts", [["\ufffd", "\ufffd"], ["", "\ufffd"]])
def test_parts_of_a_character_share_it(parts):
    scored = _aligned(["<", *parts, "的", "。"], [None, -1.0, -2.0, -3.0, -4.0], "慢的。")
    assert scored.spans == [(0, 1), (0, 1), (1, 2), (2, 3)] and scored.values.tolist() == [-1, -2, -3, -4]
    scored = _aligned(["<", "慢", *parts, "。"], [None, -1.0, -2.0, -3.0, -4.0], "慢的。")
    assert scored.spans == [(0, 1), (1, 2), (1, 2), (2, 3)]


@pytest.mark.parametrize("tokens", [[], ["other"], ["T", "ry", " it"]])
def test_tokens_that_do_not_spell_the_reply_are_refused(tokens):
    with pytest.raises(ValueError, match="spell"):
        _aligned(tokens, [-1.0] * len(tokens), "Try it.")


def test_a_token_that_was_joined_over_the_border_keeps_its_log_probability():
    scored = _Scored([(0, 6), (6, 7)], np.array([-3.0, -1.0]))
    assert _recut(scored, [(0, 3), (3, 6), (6, 7)]).tolist() == [-3, 0, -1]


def test_tokens_are_estimated_on_the_high_side(writer):
    engine = RemoteEngine("http://127.0.0.1:1/v1")
    assert engine.count_tokens("我喜欢慢热的科幻片") >= 9
    assert engine.count_tokens("I like slow jazz and long films.") >= 8
    assert engine.count_tokens("") == 1


def test_the_assistant_writes_through_a_server_and_keeps_what_came_before_it_broke(make_assistant):
    with serving(["You may like this one. ", "And ", None]) as server:
        *_, reply = make_assistant(RemoteEngine(server.url, model="tiny")).reply(
            Conversation(), "I like slow jazz", Sampling(seed=1)
        )
    assert (reply.status, reply.text.strip()) == ("lost", "You may like this one.")
    assert reply.notice and reply.model == "tiny"


# A real server


@pytest.fixture(scope="module")
def transformers_serve(assets, writer):
    """The address of `transformers serve` with the bundled writer, and the model's name there."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("`transformers serve` needs the package openai, which requirements-dev.txt has")
    from transformers.cli.serve import Serve

    folder, port = str(assets / "models" / "writer"), closed_port()
    dtype = writer.describe().dtype
    server = Serve.__new__(Serve)  # its constructor serves until it is told to stop
    options = {"force_model": folder, "host": "127.0.0.1", "port": port, "device": "cpu", "dtype": dtype}
    thread = threading.Thread(target=server.__init__, kwargs=options)
    thread.start()
    try:
        while not (hasattr(server, "server") and server.server.started):
            assert thread.is_alive()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        server._generation_state.shutdown()
        server._model_manager.shutdown()
        server.server.should_exit = True
        thread.join(10)


def test_a_real_server_writes_what_the_same_model_writes_here(transformers_serve, writer):
    url, folder = transformers_serve
    engine = RemoteEngine.connect(url, model=folder)
    assert not engine.describe().can_score
    sampling = Sampling(temperature=0.0, top_k=5, max_new_tokens=24)  # the server refuses top_k, so it is asked again
    texts = ["".join(one.stream(MESSAGES, sampling)) for one in (engine, writer)]
    assert texts[0] == texts[1] and len(texts[0]) > 20


def test_a_real_server_stops_when_it_is_left(transformers_serve):
    url, folder = transformers_serve
    engine = RemoteEngine(url, model=folder)
    for _ in range(5):
        stream = engine.stream(MESSAGES, Sampling(max_new_tokens=500))
        next(stream)
        stream.close()
    started = time.monotonic()
    assert "".join(engine.stream(MESSAGES, Sampling(seed=1, max_new_tokens=10)))
    assert time.monotonic() - started < 5  # it decodes one reply at a time: those given up are not written to their end


def test_the_whole_flow_runs_through_a_real_server(transformers_serve, make_assistant):
    url, folder = transformers_serve
    engine = RemoteEngine.connect(url, model=folder)
    *_, reply = make_assistant(engine).reply(Conversation(), "I love slow-burn science fiction", Sampling(seed=3))
    assert reply.status == "done" and reply.items and reply.model == folder
