"""What all tests share: no network but this machine, the real bundled assistant, and an engine that says what it is told."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # several test processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["GENREC_CACHE"] = "off"  # nothing is left in the home of who runs the tests

import pytest
from scripted import ScriptedEngine
from serving import serving

from genrec.settings import ASSETS

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
    from genrec.static_encoder import StaticEncoder

    return StaticEncoder.load(assets / "models" / "encoder")


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

    return LocalEngine.load_plain(assets / "models" / "writer", name="bundled writer")


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


@pytest.fixture
def scripted():
    return ScriptedEngine


@pytest.fixture(scope="module")
def serve():
    """Serves the app around an assistant (or one that is still on its way) until the module ends, and gives its address."""
    with ExitStack() as apps:
        yield lambda assistant, **settings: apps.enter_context(serving(assistant, **settings))
    gc.collect()  # what gradio leaves open is found here, not in somebody else's test
