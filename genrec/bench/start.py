"""How long the app takes from its start to a page that takes a message, to the whole page and to ready models, and its memory; and how long the command line takes to its first word.

Each run is a fresh process, the app reached over HTTP as a browser reaches it. Beside the command stands, measured in turn with it, what it would take at least with a model of transformers:
a process that does no more than import torch and transformers' Llama. CPU seconds hold on a machine that others use; seconds do not.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genrec.settings import STARTING

APP = Path(__file__).resolve().parents[2] / "app.py"
_LIMIT_S = 180.0
_COMMAND = (
    "-m",
    "genrec",
    "recommend",
    "I love slow-burn science fiction and moody jazz",
    "--seed",
    "1",
    "--max-new-tokens",
    "30",
)
_IMPORTS = ("-c", "import torch, transformers; transformers.LlamaForCausalLM, transformers.AutoTokenizer; print('.')")


@dataclass(frozen=True)
class Start:
    """Seconds since the process was started, and its memory when its models were loaded."""

    page_s: float  # the page that takes a message while the app is being imported
    app_s: float
    ready_s: float
    resident_gib: float  # 0 where the system does not tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repeats", type=int, default=3, help="starts, of which the median counts (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    starts = [measure() for _ in range(max(1, args.repeats))]
    for name, unit in (("page_s", "s"), ("app_s", "s"), ("ready_s", "s"), ("resident_gib", "GiB")):
        values = [getattr(one, name) for one in starts]
        print(
            f"{name.rsplit('_', 1)[0]:9} median {statistics.median(values):.2f} {unit}, worst {max(values):.2f} {unit}"
        )
    commands, floors = zip(*((measure_command(_COMMAND), measure_command(_IMPORTS)) for _ in starts), strict=True)
    for name, unit in (("first_s", "s"), ("cpu_s", "CPU s")):
        ours, floor = (statistics.median(getattr(one, name) for one in ones) for ones in (commands, floors))
        print(
            f"first word median {ours:.2f} {unit}; importing torch and transformers alone {floor:.2f} {unit}, ratio {ours / floor:.2f}"
        )
    return 0


@dataclass(frozen=True)
class Command:
    """Seconds until a program wrote its first character, and processor seconds until it ended."""

    first_s: float
    cpu_s: float


def measure_command(arguments: Sequence[str]) -> Command:
    """One run of Python with these arguments.

    Raises:
        RuntimeError: it wrote nothing, or failed.
    """
    environ = {**os.environ, "GENREC_MODEL": "bundled"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=APP.parent, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        first_s = time.perf_counter() - started
        process.stdout.read()
    if process.returncode or not first:
        raise RuntimeError(f"python {' '.join(arguments)} wrote nothing, or failed.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Command(first_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure() -> Start:
    """One start of the app on a free port.

    Raises:
        RuntimeError: it did not come up.
    """
    port = free_port()
    environ = {**os.environ, "GENREC_PORT": str(port), "GENREC_DATABASE": ":memory:", "GENREC_MODEL": "bundled"}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(APP)],
        cwd=APP.parent,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            page_s, app_s = (_page(port, started, process, is_app=is_app) for is_app in (False, True))
            watch = threading.Timer(_LIMIT_S, process.kill)  # ends the reading below, whatever happens
            watch.start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if line.startswith("Ready"):
                        return Start(page_s, app_s, time.perf_counter() - started, _resident_gib(process.pid))
            finally:
                watch.cancel()
            raise RuntimeError(f"app.py did not load its models within {_LIMIT_S:.0f} s.")
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _page(port: int, started: float, process: subprocess.Popen[str], *, is_app: bool) -> float:
    """Seconds until a page was served whole: any, or the app's."""
    while process.poll() is None and time.perf_counter() - started < _LIMIT_S:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=_LIMIT_S) as page:
                page.read()
                if not (is_app and STARTING in page.headers):
                    return time.perf_counter() - started
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"app.py served no page within {_LIMIT_S:.0f} s, or ended.")


def _resident_gib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found.group(1)) / 2**20 if found else 0.0
