"""Serving beside the screen: health, metrics, login, limits, and a model that is free once its visitor has left."""

from __future__ import annotations

import json
import pickle
import re
import sys
import threading
import types
from concurrent.futures import Future
from contextlib import closing

import httpx
import pytest
from serving import serving

from genrec.bench.load import Answer, growth, percentile, stream
from genrec.bench.start import free_port
from genrec.errors import EngineError, InputError, SettingsError
from genrec.schema import Conversation, Reply, Sampling, Withheld
from genrec.settings import STARTING, Settings
from genrec.store import Store
from genrec.ui.gpu import GpuAssistant
from genrec.ui.server import Metrics, Presence, RateLimit, Service, read_logins, visitor_of
from genrec.ui.waiting import WaitingPage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
WISH = "quiet science fiction"
LONG_WISH = "I love slow-burn science fiction and moody jazz on quiet evenings"


def get(url, **options):
    return httpx.get(url, timeout=120, trust_env=False, **options)


def metric(address, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", get(f"{address}/metrics").text, re.M)
    return float(found.group(1)) if found else None


def ask(address, message=WISH):
    *_, row = stream(address, {"message": message, "seed": 1})
    return row


# Health and metrics


def test_health_is_warming_until_the_models_are_there_and_the_page_is_served_meanwhile(serve, make_assistant, scripted):
    loading = Future()
    address = serve(loading)
    health = get(f"{address}/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "warming"})
    assert get(address).status_code == 200
    loading.set_result(make_assistant(scripted(["Fine."])))
    health = get(f"{address}/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ready"})


def test_a_page_with_a_box_is_there_until_the_app_takes_its_place(make_assistant, scripted):
    waiting = WaitingPage("127.0.0.1", free_port())
    address = f"http://127.0.0.1:{waiting.server_port}"
    page = get(f"{address}/?q=a+quiet+book")
    assert page.status_code == 200 and 'name="q"' in page.text and STARTING in page.headers
    health = get(f"{address}/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "warming"})
    assert get(f"{address}/config").status_code == httpx.post(f"{address}/", trust_env=False).status_code == 503
    with pytest.raises(OSError):
        WaitingPage("127.0.0.1", waiting.server_port)
    with serving(make_assistant(scripted(["Fine."])), waiting) as served:
        assert served == address
        assert STARTING not in get(address).headers and "gradio" in get(address).text


def test_models_that_cannot_be_loaded_and_an_engine_that_is_lost_again_and_again_are_failures():
    loading = Future()
    service = Service(loading, Settings())
    loading.set_exception(EngineError("no model"))
    assert service.health() == "failed" and isinstance(service.assistant.exception(), EngineError)
    loaded = Future()
    loaded.set_result(None)
    service = Service(loaded, Settings())
    for _ in range(3):
        assert service.health() == "ready"
        service.metrics.count(Reply(status="lost"))
    assert service.health() == "failed"
    service.metrics.count(Reply(status="done"))
    assert service.health() == "ready"


def test_metrics_count_what_happened_and_hold_nothing_that_was_said(serve, make_assistant, scripted):
    engine = scripted(["You are a stupid worthless idiot. ", "Try marzipan. It is fine."])
    address = serve(make_assistant(engine))
    assert metric(address, "genrec_ready") == 1 and metric(address, "genrec_queue_length") == 0
    assert ask(address, "films about marzipan for zanzibar")["status"] == "done"
    assert metric(address, 'genrec_replies_total{status="done"}') == 1
    assert metric(address, 'genrec_withheld_total{category="insult"}') == 1
    assert metric(address, "genrec_tokens_total") > 5
    assert metric(address, "genrec_first_sentence_seconds_count") == metric(address, "genrec_reply_seconds_count") == 1
    assert metric(address, "genrec_replies_open") == 0
    text = get(f"{address}/metrics").text
    assert "marzipan" not in text and "zanzibar" not in text


def test_two_apps_in_one_process_have_numbers_of_their_own():
    one, other = Metrics(), Metrics()
    one.count(Reply(status="done", num_tokens=7, withheld=(Withheld("fact", 1.0),)))
    assert one.registry.get_sample_value("genrec_tokens_total") == 7
    assert other.registry.get_sample_value("genrec_tokens_total") == 0


# Login


def test_with_logins_the_page_and_the_api_are_closed_and_health_is_not(serve, make_assistant, scripted):
    address = serve(make_assistant(scripted(["Fine."])), auth="ann:se:cret, bob:word")
    refused = httpx.post(f"{address}/gradio_api/call/v2/recommend", json={"message": WISH}, trust_env=False)
    assert refused.status_code == 401
    assert get(f"{address}/healthz").status_code == 200
    assert get(f"{address}/metrics").status_code == 401
    assert get(f"{address}/metrics", auth=("bob", "wrong")).status_code == 401
    assert get(f"{address}/metrics", auth=("ann", "se:cret")).status_code == 200
    assert get(f"{address}/gradio_api/mcp/schema").status_code == 401
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{address}/login", data={"username": "bob", "password": "word"}).status_code == 200
        begun = client.post(f"{address}/gradio_api/call/v2/recommend", json={"message": WISH})
        assert begun.status_code == 200


def test_logins_are_pairs_of_user_and_password():
    assert read_logins("") == []
    assert read_logins("ann:a:b, bob:c ,") == [("ann", "a:b"), ("bob", "c")]


@pytest.mark.parametrize("text", ["ann", "ann:", ":secret", "ann:good,secret"])
def test_a_login_that_is_no_pair_is_told_without_its_password(text):
    with pytest.raises(SettingsError, match="user:password") as told:
        read_logins(text)
    assert "secret" not in str(told.value)


# Limits


def test_a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not(serve, make_assistant, scripted):
    engine = scripted(["Fine."])
    address = serve(make_assistant(engine))
    body = json.dumps({"message": "x" * 2_200_000}).encode()
    for content in (body, iter([body])):
        refused = httpx.post(
            f"{address}/gradio_api/call/v2/recommend", content=content, trust_env=False,
            headers={"content-type": "application/json"},
        )  # fmt: skip
        assert refused.status_code == 413 and "shorten" in refused.json()["detail"]
    assert engine.calls == []


@pytest.mark.parametrize(("num_bytes", "status"), [(3_000_000, 200), (6_000_000, 413)])
def test_a_table_may_be_larger_than_a_message_but_not_without_end(serve, make_assistant, scripted, num_bytes, status):
    address = serve(make_assistant(scripted(["Fine."])))
    sent = httpx.post(f"{address}/gradio_api/upload", files={"files": ("films.csv", b"x" * num_bytes)}, trust_env=False)
    assert sent.status_code == status


def test_who_asks_too_often_is_told_how_long_to_wait_in_his_language(serve, make_assistant, scripted):
    engine = scripted(["Fine."])
    address = serve(make_assistant(engine), rate_limit=1)
    assert ask(address)["status"] == "done"
    refused = ask(address, "安静的科幻片")
    assert refused["status"] == "refused" and re.search(r"请等\d\d秒", refused["notice"])
    assert "Please wait" in ask(address)["notice"] and len(engine.calls) == 1
    assert metric(address, 'genrec_replies_total{status="limited"}') == 2


def test_a_visitor_may_ask_as_often_as_the_limit_says_and_gets_it_back_by_and_by():
    now = [0.0]
    limit = RateLimit(3, clock=lambda: now[0])
    assert [limit.take("ann") for _ in range(3)] == [0, 0, 0]
    assert limit.take("ann") == pytest.approx(20) and limit.take("bob") == 0
    now[0] = 19
    assert limit.take("ann") == pytest.approx(1)
    now[0] = 20
    assert limit.take("ann") == 0 and limit.take("ann") == pytest.approx(20)
    now[0] = 10_000
    assert [limit.take("ann") > 0 for _ in range(4)] == [False, False, False, True]


def test_no_limit_remembers_nobody():
    limit = RateLimit(0)
    assert all(limit.take("ann") == 0 for _ in range(100)) and not limit._left


@pytest.mark.parametrize(
    ("address", "forwarded", "num_proxies", "visitor"),
    [
        ("10.0.0.1", "", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6", 0, "10.0.0.1"),  # nobody said that a proxy is there
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", 1, "1.2.3.4"),  # what the visitor himself sent stands before
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", 2, "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4", 2, "10.0.0.1"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "", 0, "2001:db8:1:2::/64"),
    ],
)
def test_a_visitor_is_known_by_the_address_that_can_be_trusted(address, forwarded, num_proxies, visitor):
    request = types.SimpleNamespace(
        username=None, client=types.SimpleNamespace(host=address), headers={"x-forwarded-for": forwarded}
    )
    assert visitor_of(request, num_proxies) == visitor
    request.username = "ann"
    assert visitor_of(request, num_proxies) == "user ann"


# Who has left


class SlowEngine:
    """A scripted engine that never ends a sentence and takes 10 ms for each piece; counts them, and tells when it was closed."""

    def __init__(self, scripted):
        self.inner = scripted([])
        self.is_closed = threading.Event()
        self.num_pieces = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def stream(self, *args):
        pause = threading.Event()
        try:
            for _ in range(20_000):
                pause.wait(0.01)
                self.num_pieces += 1
                yield "a "
        finally:
            self.is_closed.set()


def test_who_closes_the_page_frees_the_model_within_a_second(serve, make_assistant, scripted):
    engine = SlowEngine(scripted)
    address = serve(make_assistant(engine))
    with closing(stream(address, {"message": WISH})) as snapshots:
        for _ in range(2):
            next(snapshots)
        assert not engine.is_closed.is_set()
    num_pieces = engine.num_pieces
    assert engine.is_closed.wait(120)
    assert engine.num_pieces - num_pieces < 100  # a second of the model's time, however busy this machine is
    assert metric(address, 'genrec_replies_total{status="stopped"}') == 1


def test_an_explanation_stops_at_its_next_step_when_its_visitor_has_left(make_assistant, scripted, monkeypatch):
    loading = Future()
    service = Service(loading, Settings())
    loading.set_result(make_assistant(scripted(["Fine."])))
    assistant = service.assistant.result()
    *_, reply = assistant.reply(Conversation(), LONG_WISH)
    assert assistant.explain(Conversation(), LONG_WISH, reply, num_rows=8).words
    heard = []
    monkeypatch.setattr(service, "is_gone", lambda: len(heard) > 2)
    with pytest.raises(InputError, match="left"):
        for share in assistant.explaining(Conversation(), LONG_WISH, reply, num_rows=24):
            heard.append(share)
    assert len(heard) == 3 and service.metrics.registry.get_sample_value("genrec_explanations_open") == 0


def test_a_visitor_has_left_when_his_last_stream_is_cut_and_not_when_it_ends():
    presence = Presence()
    presence.came("ann")
    presence.went("ann", is_cut=False)
    assert not presence.has_left("ann")
    presence.came("ann")
    presence.came("ann")
    presence.went("ann", is_cut=True)
    assert not presence.has_left("ann")
    presence.went("ann", is_cut=True)
    assert presence.has_left("ann") and not presence.has_left("bob")
    presence.came("ann")
    assert not presence.has_left("ann")


# MCP


def test_without_its_package_mcp_is_refused_in_one_clear_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"GENREC_MCP=1 needs.*pip install"):
        Service(Future(), Settings(mcp=1))


def test_an_agent_finds_both_tools_and_can_call_them(serve, make_assistant, scripted):
    pytest.importorskip("mcp", reason='the optional package is not installed: pip install "gradio[mcp]"')
    address = serve(make_assistant(scripted(["Try slow jazz."])), mcp=1)
    url = f"{address}/gradio_api/mcp/"
    headers = {"Accept": "application/json, text/event-stream"}

    def call(method, params):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        told = httpx.post(url, json=body, headers=headers, timeout=120, trust_env=False).text
        return json.loads(re.search(r"\{.*\}", told, re.S).group())["result"]

    tools = {tool["name"]: tool for tool in call("tools/list", {})["tools"]}
    assert sorted(name.rpartition("_")[2] for name in tools) == ["explain", "recommend"]
    name = next(name for name in tools if name.endswith("recommend"))
    assert "own words" in tools[name]["inputSchema"]["properties"]["message"]["description"]
    answer = call("tools/call", {"name": name, "arguments": {"message": WISH, "seed": 1}})
    assert "slow jazz" in json.dumps(answer)


# A GPU that is lent for one call


@pytest.fixture
def lent_gpu(monkeypatch):
    """A `spaces` package that does with arguments and results what ZeroGPU does: it pickles them. Gives the durations asked for."""
    durations = []

    def copied(value):
        return pickle.loads(pickle.dumps(value))

    def gpu(duration):
        def decorate(fn):
            import inspect

            durations.append(duration)
            if inspect.isgeneratorfunction(fn):

                def streamed(*args):
                    for value in fn(*copied(args)):
                        yield copied(value)

                return streamed
            return lambda *args: copied(fn(*copied(args)))

        return decorate

    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=gpu))
    return durations


def test_on_a_lent_gpu_a_reply_is_the_same_and_so_is_its_explanation(lent_gpu, assistant):
    served = GpuAssistant(assistant)
    assert len(lent_gpu) == 2
    start, sampling = Conversation(user_id="ann"), Sampling(seed=3, max_new_tokens=40)
    *before, reply = served.reply(start, WISH, sampling, tone="brief")
    *_, same = assistant.reply(start, WISH, sampling, tone="brief")
    assert before and reply.text == same.text and reply.items == same.items
    assert reply.conversation == same.conversation and reply.conversation.user_id == "ann"
    steps = served.explaining(start, WISH, reply, num_rows=8, tone="brief")
    assert [next(steps), next(steps)] == [0.0, 1.0]
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value.whole == assistant.explain(start, WISH, same, num_rows=8, tone="brief").whole


def test_on_a_lent_gpu_nobody_brings_a_catalogue(lent_gpu, assistant, catalogue):
    with pytest.raises(InputError, match="its own catalogue only"):
        GpuAssistant(assistant).with_catalogue(catalogue)


def test_on_a_lent_gpu_the_database_stays_at_home_and_its_ratings_count(lent_gpu, make_assistant, scripted, catalogue):
    film = catalogue.by_id["film-001"]
    store = Store()
    plain = make_assistant(scripted([f"Try **{film.title}**.", "Fine."]), store)
    served = GpuAssistant(plain)
    *_, first = served.reply(Conversation(user_id="ann"), "an animated film", Sampling(seed=1))
    served.rate(first.conversation, film.id, "dislike")
    asked = []
    store.of_user, of_user = lambda user: asked.append(user) or of_user(user), store.of_user
    *_, later = served.reply(Conversation(user_id="ann"), "an animated film", Sampling(seed=1))
    assert film.id in later.conversation.profile.disliked and later.conversation.user_id == "ann"
    assert film.id not in [candidate.item.id for candidate in later.candidates]
    assert asked == ["ann", ""]  # here, and in the worker, where no id means no look at the database


# The program


def test_the_program_ends_with_a_line_when_a_setting_cannot_be_used(monkeypatch, capsys):
    import app

    monkeypatch.setenv("GENREC_AUTH", "nonsense")
    assert app.main() == 2
    assert "GENREC_AUTH must be user:password" in capsys.readouterr().err


# The load test's own figures


def test_percentiles_and_growth_are_what_they_are_called():
    assert (
        percentile([1.0, 2.0, 3.0, 4.0], 50) == 2
        and percentile([1.0, 2.0, 3.0, 4.0], 95) == 4
        and percentile([5.0], 95) == 5
    )
    assert growth([1.0, 1.0, 3.0, 5.0]) == 3 and growth([2.0, 2.0]) == 0


def test_a_reply_counts_as_whole_if_it_was_written_to_its_end_and_to_the_message_it_is_for():
    turns = [{"role": "user", "text": "x"}, {"role": "assistant", "text": "Fine."}]
    row = {"status": "done", "reply": "Fine.", "turns": turns}
    assert Answer("x", 1, [], row=row).is_whole
    assert not Answer("another", 1, [], row=row).is_whole
    assert not Answer("x", 1, [], row={**row, "status": "lost"}).is_whole
    assert not Answer("x", 1, [], row=row, error="lost").is_whole and not Answer("x", 1, []).is_whole
