"""RemoteEngine against a real HTTP server on this machine that speaks the streaming chat API, well and badly."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from genrec.engines.remote import RemoteEngine
from genrec.errors import EngineError
from genrec.schema import Conversation, Sampling

MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I like slow jazz."}]


class Server(ThreadingHTTPServer):
    """Sends `chunks` (strings become content deltas, bytes are sent as they are, numbers are seconds to wait, None breaks the connection off)."""

    daemon_threads = True

    def __init__(self, chunks, status=200):
        super().__init__(("127.0.0.1", 0), Handler)
        self.chunks, self.status = chunks, status
        self.requests: list[tuple[str, dict, dict]] = []
        self.num_sent = 0
        self.has_client_left = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
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
            self._send(b"data: [DONE]\n\n")
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
def serving(chunks, status=200):
    server = Server(chunks, status)
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


def error_line(engine: RemoteEngine) -> str:
    """The one line of the error that a stream of this engine ends in."""
    with pytest.raises(EngineError) as raised:
        list(engine.stream(MESSAGES, Sampling()))
    assert "\n" not in str(raised.value)
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


def test_a_refused_connection_raises_one_line_that_names_the_server():
    url = f"http://127.0.0.1:{closed_port()}/v1"
    assert url in error_line(RemoteEngine(url))


@pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
def test_a_refusal_raises_one_line(status):
    with serving([b"no"], status) as server:
        assert server.url in error_line(RemoteEngine(server.url))


def test_a_stream_that_breaks_off_raises_after_what_it_wrote():
    with serving(["Try ", None]) as server:
        stream = RemoteEngine(server.url).stream(MESSAGES, Sampling())
        assert next(stream) == "Try "
        with pytest.raises(EngineError):
            next(stream)


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
        assert server.url in error_line(RemoteEngine(server.url))


def test_a_server_that_falls_silent_raises_after_the_time_limit():
    with serving(["Try ", 3.0]) as server:
        started = time.monotonic()
        error_line(RemoteEngine(server.url, timeout_s=0.3))
        assert time.monotonic() - started < 2


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


def test_an_explanation_is_refused_in_words():
    engine = RemoteEngine("http://127.0.0.1:1/v1")
    assert not engine.describe().can_score
    with pytest.raises(EngineError, match="cannot be explained"):
        engine.score([MESSAGES], "x")


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
