"""Many visitors at once: a bounded load on a served app on this machine, with real streams from the real model.

Every visitor goes on with a conversation of his own, and each of his messages carries his marker. Checked: every reply is whole, nobody is sent another's
marker, and a reply is the same as when it is asked for alone with the same seed. Measured: time to the first sentence, memory, and how soon a visitor who
closes the page frees the model.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from genrec.bench.start import APP, free_port

_LIMIT_S = 600.0  # of one wait
_SHORT_TALK = 4  # exchanges after which a visitor begins anew
_CHECKED_ALONE = 10  # replies asked for again when nobody else is there
_WISHES = (
    "I love slow-burn science fiction, said {}", "a cosy board game for two, says {}", "somewhere by the sea in winter for {}", "我是{}，我喜欢慢热的科幻片",
    "{}想学一道简单的素菜", "something else for {}", "{} would like a funny book", "moody jazz for {} without vocals",
)  # fmt: skip


@dataclass
class Answer:
    """One reply as its visitor got it."""

    message: str
    seed: int
    turns: list[dict[str, str]]  # before the message
    row: dict[str, Any] = field(default_factory=dict)  # the last snapshot
    first_s: float = 0.0  # until the first sentence, waiting in the queue included; 0: there was none
    seconds: float = 0.0
    crossed: tuple[str, ...] = ()  # markers of others that he was sent
    error: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the reply was written to its end, and to this message."""
        is_done = not self.error and self.row.get("status") == "done" and bool(self.row.get("reply"))
        return is_done and [turn["text"] for turn in self.row["turns"][-2:-1]] == [self.message]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--visitors", type=int, default=20, help="at the same time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="how long they chat (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    with served() as address:
        *_, warm = stream(address, {"message": "a calm film", "seed": 1})
        assert warm["status"] == "done"
        answers, memory = crowd(address, args.visitors, args.seconds)
        alone = [again(address, one) for one in random.Random(0).sample(answers, min(_CHECKED_ALONE, len(answers)))]
        freed_s = [leave(address, seed) for seed in range(3)]
    first = sorted(one.first_s for one in answers if one.first_s)
    whole, crossed = sum(one.is_whole for one in answers), [one for one in answers if one.crossed]
    print(
        f"{args.visitors} visitors for {args.seconds:.0f} s: {len(answers)} replies, {whole} whole, {len(crossed)} with another's text"
    )
    print(f"the same when asked for alone   {sum(alone)} of {len(alone)}")
    if first:
        print(
            f"to the first sentence           median {statistics.median(first):.2f} s, p95 {percentile(first, 95):.2f} s, worst {first[-1]:.2f} s"
        )
    print(
        f"memory, MiB                     {' '.join(f'{value:.0f}' for value in memory)}; grew by {growth(memory):+.0f} from the first half to the second"
    )
    print(f"page closed to model free       worst {max(freed_s):.2f} s of {len(freed_s)}")
    for one in answers:
        if not one.is_whole:
            print(f"  not whole: {one.error or one.row.get('status')} {one.row.get('notice', '')}", file=sys.stderr)
    return 0 if whole == len(answers) and not crossed and all(alone) and max(freed_s) < 1 else 1


@contextmanager
def served(**settings: str) -> Generator[str, None, None]:
    """The address of the app in a process of its own, once its models are loaded.

    Raises:
        RuntimeError: it did not come up.
    """
    port = free_port()
    environ = {
        **os.environ,
        "GENREC_PORT": str(port),
        "GENREC_DATABASE": ":memory:",
        "GENREC_MODEL": "bundled",
        "GENREC_RATE_LIMIT": "0",
        **settings,
    }
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, str(APP)], cwd=APP.parent, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            begun = time.perf_counter()
            while _health(address) != 200:
                if process.poll() is not None or time.perf_counter() - begun > _LIMIT_S:
                    raise RuntimeError(f"app.py was not ready within {_LIMIT_S:.0f} s, or ended.")
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def crowd(address: str, num_visitors: int, seconds: float) -> tuple[list[Answer], list[float]]:
    """What the visitors were answered, and the server's memory in MiB at eight moments from the first quarter on."""
    markers = [f"visitor{random.Random(number).randrange(10**6):06d}x{number}" for number in range(num_visitors)]
    begun = time.perf_counter()
    talks: list[list[Answer]] = [[] for _ in markers]
    threads = [
        threading.Thread(target=_visit, args=(address, number, markers, begun + seconds, talk))
        for number, talk in enumerate(talks)
    ]
    for thread in threads:
        thread.start()
    memory = []
    for step in range(8):
        time.sleep(max(0.0, begun + seconds * (0.25 + 0.75 * step / 7) - time.perf_counter()))
        memory.append(metric(address, "process_resident_memory_bytes") / 2**20)
    for thread in threads:
        thread.join()
    return [one for talk in talks for one in talk], memory


def _visit(address: str, number: int, markers: list[str], end: float, talk: list[Answer]) -> None:
    """One visitor, who says the next thing when he has read the reply."""
    others = re.compile("|".join(marker for marker in markers if marker != markers[number]) or "(?!)")
    turns: list[dict[str, str]] = []
    while time.perf_counter() < end:
        asked = len(talk)
        turns = turns if asked % _SHORT_TALK else []
        answer = Answer(_WISHES[(number + asked) % len(_WISHES)].format(markers[number]), 1000 * number + asked, turns)
        talk.append(answer)
        _ask(address, answer, others)
        turns = answer.row.get("turns", [])


def _ask(address: str, answer: Answer, others: re.Pattern[str]) -> None:
    from httpx import HTTPError

    begun = time.perf_counter()
    try:
        for row in stream(address, {"message": answer.message, "seed": answer.seed, "turns": answer.turns}):
            if row.get("reply") and not answer.first_s:
                answer.first_s = time.perf_counter() - begun
            answer.crossed += tuple(others.findall(json.dumps(row, ensure_ascii=False)))
            answer.row = row
    except (HTTPError, RuntimeError) as error:
        answer.error = str(error) or type(error).__name__
    answer.seconds = time.perf_counter() - begun


def stream(address: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Snapshots of /recommend over plain HTTP. Closing the iterator is closing the page.

    Raises:
        RuntimeError: the app answered with an error.
        httpx.HTTPError: the connection was lost.
    """
    import httpx

    url = f"{address}/gradio_api/call/v2/recommend"
    with httpx.Client(timeout=_LIMIT_S, trust_env=False) as client:
        begun = client.post(url, json=body)
        if begun.status_code != 200:
            raise RuntimeError(f"{begun.status_code} {begun.text[:200]}")
        with client.stream("GET", f"{url}/{begun.json()['event_id']}") as response:
            event = ""
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data" and event == "error":
                    raise RuntimeError(value)
                elif name == "data" and event in ("generating", "complete") and (rows := json.loads(value)):
                    yield rows[0]


def again(address: str, answer: Answer) -> bool:
    """Whether the same reply comes when nobody else is there."""
    *_, row = stream(address, {"message": answer.message, "seed": answer.seed, "turns": answer.turns})
    return row["reply"] == answer.row.get("reply")


def leave(address: str, seed: int) -> float:
    """Seconds from closing the page in the middle of a reply until the model is free."""
    with closing(
        stream(address, {"message": "I love long novels and much talk about them", "seed": seed})
    ) as snapshots:
        next(snapshots)
        next(snapshots)
    begun = time.perf_counter()
    while metric(address, "genrec_replies_open"):
        if time.perf_counter() - begun > _LIMIT_S:
            raise RuntimeError("The model was never freed.")
        time.sleep(0.01)
    return time.perf_counter() - begun


def metric(address: str, name: str) -> float:
    """A number of /metrics."""
    import httpx

    text = httpx.get(f"{address}/metrics", timeout=_LIMIT_S, trust_env=False).text
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found.group(1)) if found else math.nan


def _health(address: str) -> int:
    import httpx

    try:
        return httpx.get(f"{address}/healthz", timeout=_LIMIT_S, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` percent of the ascending values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def growth(values: list[float]) -> float:
    """How much the mean of the second half is above that of the first."""
    half = len(values) // 2
    return statistics.fmean(values[half:]) - statistics.fmean(values[:half])
