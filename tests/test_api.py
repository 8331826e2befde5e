"""The endpoints as programs see them, through gradio_client and as plain functions."""

from __future__ import annotations

import re
from concurrent.futures import Future

import gradio as gr
import pytest
from gradio_client import Client

from genrec.engines import stop_telemetry
from genrec.ui.api import Endpoints

WISH = "I love slow-burn science fiction and moody jazz"


@pytest.fixture(scope="module")
def client(serve, assistant):
    """A program connected to the app with the bundled models."""
    address = serve(assistant)
    stop_telemetry()  # the client's own library would ask its hub
    client = Client(address, verbose=False)
    yield client
    client.close()


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_program_finds_two_endpoints_with_names_types_and_defaults(client):
    told = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert set(told) == {"/recommend", "/explain"}
    parameters = {one["parameter_name"]: one for one in told["/recommend"]["parameters"]}
    assert (
        list(parameters)[:3] == ["message", "language", "seed"] and not parameters["message"]["parameter_has_default"]
    )
    assert parameters["seed"]["parameter_default"] == -1 and "int" in str(parameters["seed"]["python_type"])
    assert (
        "own words" in told["/recommend"]["description"] and "words led to the reply" in told["/explain"]["description"]
    )


def test_a_reply_streams_as_json_is_reproduced_by_its_seed_and_goes_on_by_its_turns(client):
    job = client.submit(message=WISH, seed=4, max_new_tokens=80, api_name="/recommend")
    row = job.result(timeout=120)
    snapshots = job.outputs()
    assert [one["status"] for one in snapshots[:-1]] == ["writing"] * (len(snapshots) - 1) and row["status"] == "done"
    assert row["reply"] and row["seed"] == 4 and row["language"] == "en" and all(one["matched"] for one in row["items"])
    assert row["safety"]["verdict"] in ("ok", "withheld") and 0 <= row["safety"]["toxicity"] < 0.5
    assert client.predict(message=WISH, seed=4, max_new_tokens=80, api_name="/recommend")["reply"] == row["reply"]
    assert [turn["role"] for turn in row["turns"]] == ["user", "assistant"] and row["turns"][0]["text"] == WISH
    later = client.predict(message="seen it, something else", seed=4, turns=row["turns"], api_name="/recommend")
    assert len(later["turns"]) == 4
    assert not {one["id"] for one in later["items"]} & {one["id"] for one in row["items"]}


def test_an_explanation_is_of_the_reply_with_the_same_seed(client):
    row = client.predict(message="slow jazz", seed=2, max_new_tokens=40, api_name="/recommend")
    told = client.predict(message="slow jazz", seed=2, max_new_tokens=40, rows=8, api_name="/explain")
    assert told["reply"] == row["reply"] and [one["word"] for one in told["attribution"]["words"]] == ["slow", "jazz"]


def test_what_is_wrong_is_told_to_the_program_in_words(client):
    with pytest.raises(Exception, match="tone must be one of warm"):
        client.predict(message=WISH, tone="rude", api_name="/recommend")


@pytest.fixture
def endpoints(make_assistant, scripted):
    def make(*scripts):
        loading = Future()
        loading.set_result(make_assistant(scripted(scripts)))
        return Endpoints(loading)

    return make


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"message": ""}, "empty"),
        ({"message": 3}, "message must be a text"),
        ({"language": "fr"}, "language must be one of auto, en, zh"),
        ({"seed": -2}, "seed must be between 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": "one"}, "seed must be a whole number"),
        ({"temperature": float("nan")}, "temperature must be between"),
        ({"temperature": None}, "temperature must be a number"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"max_new_tokens": 10**6}, "max_new_tokens must be between"),
        ({"turns": {}}, "turns must be a list"),
        ({"turns": [{"role": "user"}]}, 'needs a "role"'),
        ({"turns": [{"role": "user", "text": "x"}] * 101}, "at most 100"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_by_name(endpoints, wrong, told):
    with pytest.raises(gr.Error) as error:
        list(endpoints("Fine.").recommend(**{"message": WISH, **wrong}))
    assert re.search(told, error.value.message)


def test_an_explanation_of_nothing_and_too_many_rows_are_told(endpoints):
    with pytest.raises(gr.Error, match="rows must be between"):
        endpoints("Fine.").explain(WISH, rows=1000)
    with pytest.raises(gr.Error, match="helpline"):
        endpoints("Fine.").explain("I want to kill myself")


def test_a_refusal_is_a_reply_with_its_verdict(endpoints):
    *_, row = endpoints("Fine.").recommend("I want to kill myself")
    assert row["status"] == "refused" and row["safety"]["verdict"] == "refused" and "helpline" in row["notice"]


def test_a_call_while_the_models_load_says_so_and_is_answered(make_assistant, scripted):
    loading = Future()
    snapshots = Endpoints(loading).recommend(WISH)
    assert next(snapshots) == {"status": "warming", "reply": ""}
    loading.set_result(make_assistant(scripted(["Fine."])))
    *_, row = snapshots
    assert row["reply"] == "Fine."
