"""What all tests share: no network but this machine, the real bundled assistant, and an engine that says what it is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["GENREC_CACHE"] = "off"  # nothing is left in the home of who runs the tests

import numpy as np
import pytest

from genrec.engines import EngineInfo
from genrec.errors import EngineError
from genrec.schema import Sampling
from genrec.settings import ASSETS

ROOT = Path(__file__).resolve().parent.parent
_LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")


class NetworkBlocked(RuntimeError):
    """A test tried to leave this machine."""


@pytest.fixture(scope="session", autouse=True)
def network_guard() -> Iterator[list[str]]:
    """Refuses and notes every connection to another machine, the loading of models by session fixtures included."""
    tried: list[str] = []
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if host not in _LOCAL and not str(host).startswith("127."):
            tried.append(str(host))
            raise NetworkBlocked(f"a test tried to reach {host}")

    def guarded_connect(self, address):
        check(address)
        return connect(self, address)

    def guarded_connect_ex(self, address):
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host, *args, **kwargs):
        check((host.decode() if isinstance(host, bytes) else host or "",))
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield tried


@pytest.fixture(autouse=True)
def no_network(network_guard: list[str]) -> Iterator[list[str]]:
    """Fails a test in which a connection to another machine was tried, even if the error was swallowed."""
    yield network_guard
    tried = list(network_guard)
    network_guard.clear()
    assert not tried, f"connections to other machines were tried: {tried}"


@pytest.fixture(scope="session")
def assets() -> Path:
    return ASSETS


@pytest.fixture(scope="session")
def catalogue(assets):
    from genrec.catalogue import read_catalogue

    return read_catalogue(assets / "catalogue")


@pytest.fixture(scope="session")
def vocabulary(assets):
    from genrec.vocabulary import Vocabulary

    return Vocabulary.load(assets / "catalogue" / "vocabulary.json")


@pytest.fixture(scope="session")
def encoder(assets):
    from genrec.retrieval import SentenceEncoder

    return SentenceEncoder.load(assets / "models" / "encoder")


@pytest.fixture(scope="session")
def weights(assets):
    """The ranker's."""
    from genrec.retrieval import read_weights

    return read_weights(assets / "models" / "ranker")


@pytest.fixture(scope="session")
def retriever(catalogue, encoder, vocabulary, weights):
    from genrec.retrieval import Retriever

    return Retriever(catalogue, encoder, vocabulary, weights)


@pytest.fixture(scope="session")
def toxicity(assets):
    from genrec.safety.toxicity import ToxicityScorer

    return ToxicityScorer.load(assets / "models" / "toxicity")


@pytest.fixture(scope="session")
def writer(assets):
    """The bundled writer as an engine."""
    from genrec.engines.local import LocalEngine

    return LocalEngine.load(str(assets / "models" / "writer"), name="bundled writer")


@pytest.fixture(scope="session")
def make_assistant(catalogue, vocabulary, retriever, toxicity):
    """Builds an assistant around any engine; everything else is real."""
    from genrec.assistant import Assistant
    from genrec.store import Store

    def make(engine, store=None):
        return Assistant(
            engine=engine,
            catalogue=catalogue,
            vocabulary=vocabulary,
            retriever=retriever,
            toxicity=toxicity,
            store=store or Store(),
        )

    return make


@pytest.fixture(scope="session")
def assistant(make_assistant, writer):
    """The whole bundled product."""
    return make_assistant(writer)


@dataclass
class ScriptedEngine:
    """Says what it is told, one script a call (the last one for all further calls), in chunks of `size` characters; can fail after some
    characters. Only for what a real model does rarely."""

    scripts: Sequence[str]
    size: int = 3
    fail_after: int = -1
    unlikely: str = ""  # text that the model itself finds unlikely: 10 nats a character; any other has 0
    sentence_floors: dict[str, float] = field(default_factory=dict)
    calls: list[tuple[list[dict[str, str]], Sampling]] = field(default_factory=list)
    num_open: int = 0

    def stream(self, messages, sampling, titles=None, min_titles=0) -> Iterator[str]:
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(([dict(message) for message in messages], sampling))
        self.num_open += 1
        try:
            for start in range(0, len(script), self.size):
                if 0 <= self.fail_after <= start:
                    raise EngineError("The model stopped.")
                yield script[start : start + self.size]
        finally:
            self.num_open -= 1

    def score(self, prompts, reply) -> np.ndarray:
        scores = np.zeros((len(prompts), len(reply)))
        if self.unlikely and self.unlikely in reply:
            start = reply.index(self.unlikely)
            scores[:, start : start + len(self.unlikely)] = -10.0
        return scores

    def spans(self, reply):
        return [(position, position + 1) for position in range(len(reply))]

    def count_tokens(self, text):
        return len(text) // 3 + 1

    def describe(self):
        return EngineInfo("scripted", "none", "", 0, 0, True, self.sentence_floors)


@pytest.fixture
def scripted():
    return ScriptedEngine
