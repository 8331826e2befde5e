"""The command line: chat, recommend, explain, screen, catalogue, deploy, evaluate, bench, train. Other programs rely on its options and its JSON.

Heavy packages are imported by the command that needs them. Bad input gets one clear line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from genrec import report
from genrec.errors import GenrecError, InputError
from genrec.schema import Conversation, Language, Reply, Sampling, Turn
from genrec.settings import Settings, from_env
from genrec.text import plain
from genrec.wire import checked_sampling, read_turns, reply_json

_BAD_INPUT = 2
_COLUMNS_HELP = "what columns of the catalogue are, where the guess is wrong: title=name,tags=genre+style,creator="


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    _prepare_streams()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(arguments)
    args = parser.parse_args(arguments)
    try:
        return args.run(args)
    except GenrecError as error:
        print(f"genrec: {error}", file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _prepare_streams() -> None:
    """UTF-8 in and out whatever the terminal says; broken bytes become replacement characters instead of an error."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="genrec", description="Say what you like; read a recommendation written for you."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chat = commands.add_parser("chat", help="a conversation in the terminal")
    recommend = commands.add_parser("recommend", help="answer one message, or a file of them")
    explain = commands.add_parser("explain", help="answer a message and say which of its words led to the answer")
    for command in (chat, recommend, explain):
        _add_common(command)
    for command in (recommend, explain):
        command.add_argument("message", nargs="?", help="what you like, in your own words")
        command.add_argument("--json", action="store_true", help="print one JSON object a line")
    recommend.add_argument(
        "--batch", metavar="FILE", help='JSONL with {"id", "message" | "turns"}; - reads standard input'
    )
    explain.add_argument("--html", metavar="FILE", help="write the explanation as a page of its own")
    explain.add_argument(
        "--without",
        metavar="WORDS",
        action="append",
        default=[],
        help="write again without these words; may be repeated",
    )
    explain.add_argument(
        "--rows", type=int, default=32, help="how many shortened messages are tried (default: %(default)s)"
    )
    screen = commands.add_parser("screen", help="toxicity scores and verdicts of texts")
    screen.add_argument("text", nargs="?")
    screen.add_argument("--batch", metavar="FILE", help='JSONL with {"id", "text"}; - reads standard input')
    screen.add_argument("--json", action="store_true")
    catalogue = commands.add_parser(
        "catalogue", help="show what the columns of a file are taken for, and what is wrong with it"
    )
    catalogue.add_argument("file", type=Path)
    catalogue.add_argument("--columns", default="", metavar="FIELD=COLUMN,…", help=_COLUMNS_HELP)
    catalogue.add_argument("--json", action="store_true")
    catalogue.set_defaults(run=_catalogue)
    deploy = commands.add_parser("deploy", help="put the app on a Hugging Face Space")
    deploy.add_argument("space", metavar="USER/SPACE")
    deploy.add_argument("--dry-run", action="store_true", help="only list the files and their sizes")
    deploy.add_argument("--private", action="store_true", help="a Space that is made now is visible to its owner only")
    deploy.set_defaults(run=_deploy)
    chat.set_defaults(run=_chat)
    recommend.set_defaults(run=_recommend)
    explain.set_defaults(run=_explain)
    screen.set_defaults(run=_screen)
    _add_development(commands, arguments)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="auto, bundled, a hub id or a folder")
    parser.add_argument("--quantize", choices=("int8", "int4"), help="weights of a local model in fewer bits")
    parser.add_argument(
        "--engine-url", help="an OpenAI-compatible server to write with, for example http://localhost:8000/v1"
    )
    parser.add_argument("--catalogue", help="a .jsonl, .csv or .parquet file to recommend from")
    parser.add_argument("--columns", metavar="FIELD=COLUMN,…", help=_COLUMNS_HELP)
    parser.add_argument("--language", choices=("auto", "en", "zh"), default="auto", help="of the reply")
    parser.add_argument("--tone", choices=("warm", "brief", "playful", "formal"), default="warm")
    parser.add_argument("--temperature", type=float, default=Sampling().temperature)
    parser.add_argument("--top-p", type=float, default=Sampling().top_p)
    parser.add_argument("--top-k", type=int, default=Sampling().top_k)
    parser.add_argument("--repetition-penalty", type=float, default=Sampling().repetition_penalty)
    parser.add_argument("--seed", type=int, help="the same seed gives the same reply")
    parser.add_argument("--max-new-tokens", type=int, default=Sampling().max_new_tokens)


def _add_development(commands: Any, arguments: Sequence[str]) -> None:
    """evaluate, bench and train: their modules are imported only when they are called."""
    for name, text, topics in (
        ("evaluate", "measure quality", ("writer", "samples", "recommender", "safety", "fairness")),
        ("bench", "measure speed and explanations", ("speed", "faults", "start", "attribution", "capacity", "load")),
        ("train", "train a bundled model", ("writer", "encoder", "toxicity", "ranker")),
    ):
        command = commands.add_parser(name, help=text)
        topic_parsers = command.add_subparsers(dest="topic", required=True, metavar="|".join(topics))
        for topic in topics:
            sub = topic_parsers.add_parser(topic)
            if list(arguments[:2]) == [name, topic]:
                import importlib

                module = importlib.import_module(f"genrec.{name}.{topic}")
                module.add_arguments(sub)
                sub.set_defaults(run=module.run)


def _settings(args: argparse.Namespace) -> Settings:
    settings = from_env(os.environ)
    named = ("model", "quantize", "engine_url", "catalogue", "columns")
    options = {name: getattr(args, name) for name in named}
    return settings.with_options(**options, database=":memory:")  # nobody rates on the command line


def _sampling(args: argparse.Namespace) -> Sampling:
    """
    Raises:
        InputError: a value is out of its range.
    """
    return checked_sampling(
        Sampling(
            temperature=args.temperature, top_p=args.top_p, top_k=args.top_k, repetition_penalty=args.repetition_penalty,
            max_new_tokens=args.max_new_tokens, seed=args.seed,
        ),
        lambda field: f"--{field.replace('_', '-')}",
    )  # fmt: skip


def _language(args: argparse.Namespace) -> Language | None:
    return None if args.language == "auto" else args.language


def _load(args: argparse.Namespace):
    from genrec.load import load_assistant

    assistant = load_assistant(_settings(args))
    if assistant.notice:
        print(f"genrec: {assistant.notice}", file=sys.stderr)
    return assistant


def _chat(args: argparse.Namespace) -> int:
    sampling, assistant = _sampling(args), _load(args)
    conversation = Conversation()
    print("Say what you like, in English or Chinese. An empty line ends the chat.")
    while True:
        try:
            message = input("\n> ")
        except EOFError:
            return 0
        if not message.strip():
            return 0
        try:
            conversation = _print_stream(
                assistant.reply(conversation, message, sampling, language=_language(args), tone=args.tone)
            ).conversation
        except InputError as error:
            print(error)


def _print_stream(snapshots: Iterator[Reply]) -> Reply:
    """Prints what is new in each snapshot, titles without their marks, and returns the last snapshot."""
    shown, last = "", Reply()
    with closing(snapshots) as stream:  # type: ignore[type-var]
        for last in stream:
            text = plain(last.text)
            print(text[len(shown) :], end="", flush=True)
            shown = max(shown, text, key=len)
    print(("\n" if shown else "") + (f"({last.notice})" if last.notice else ""), end="\n" if last.notice else "")
    return last


def _recommend(args: argparse.Namespace) -> int:
    sampling = _sampling(args)
    if args.batch:
        return _recommend_batch(args, sampling)
    if args.message is None:
        raise InputError('Say what you like: genrec recommend "…", or give a file with --batch.')
    assistant = _load(args)
    snapshots = assistant.reply(Conversation(), args.message, sampling, language=_language(args), tone=args.tone)
    if not args.json:
        return _status(_print_stream(snapshots))
    *_, reply = snapshots
    print(json.dumps(reply_json(reply, id=None), ensure_ascii=False))
    return _status(reply)


def _status(reply: Reply) -> int:
    """1 when the model was lost, so that a script notices."""
    return 1 if reply.status == "lost" else 0


def _recommend_batch(args: argparse.Namespace, sampling: Sampling) -> int:
    assistant, status = None, 0
    with _open(args.batch) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                id, turns = _batch_row(line, number, args.batch)
                assistant = assistant or _load(args)
                reply = _answer(assistant, turns, sampling, _language(args), args.tone)
            except InputError as error:
                text = str(error)
                print(
                    f"genrec: {text if text.startswith(args.batch) else f'{args.batch} line {number}: {text}'}",
                    file=sys.stderr,
                )
                status = _BAD_INPUT
                continue
            print(json.dumps(reply_json(reply, id=id), ensure_ascii=False), flush=True)
            status = status or _status(reply)
    return status


def _batch_row(line: str, number: int, name: str) -> tuple[object, list[Turn]]:
    """The id and turns of one batch line, the last turn being the visitor's.

    Raises:
        InputError: names the line and the field.
    """

    def bad(problem: str) -> InputError:
        return InputError(f"{name} line {number}: {problem}")

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise bad("not a JSON object")
    if "message" in row:
        if not isinstance(row["message"], str):
            raise bad('"message" is not a string')
        return row.get("id"), [Turn("user", row["message"])]
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns:
        raise bad('neither "message" nor a list "turns" is there')
    try:
        read = read_turns(turns)
    except InputError as error:
        raise bad(str(error)) from error
    if read[-1].role != "user":
        raise bad('the last of "turns" is not the user\'s')
    return row.get("id"), read


def _answer(assistant: Any, turns: list[Turn], sampling: Sampling, language: Language | None, tone: str) -> Reply:
    """The reply to the last turn, with the earlier ones taken in as they stand."""
    conversation = assistant.replay(Conversation(), turns[:-1])
    *_, reply = assistant.reply(conversation, turns[-1].text, sampling, language=language, tone=tone)
    return reply


def _explain(args: argparse.Namespace) -> int:
    if args.message is None:
        raise InputError('Say what you like: genrec explain "…".')
    if not 4 <= args.rows <= 1024:
        raise InputError(f"--rows must be between 4 and 1024, but is {args.rows}.")
    sampling, assistant = _sampling(args), _load(args)
    start = Conversation()
    *_, reply = assistant.reply(start, args.message, sampling, language=_language(args), tone=args.tone)
    if not reply.text:
        raise InputError(reply.notice or "There is no reply to explain.")
    rewrites = [assistant.rewrite(start, args.message, reply, one, tone=args.tone) for one in args.without]
    attribution = assistant.explain(start, args.message, reply, num_rows=args.rows, tone=args.tone)
    if args.html:
        _write(args.html, report.page(attribution.message, reply, attribution, rewrites))
    if args.json:
        row = reply_json(reply, id=None)
        row["attribution"] = report.attribution_json(attribution, reply)
        row["attribution"]["rewrites"] = [report.rewrite_json(rewrite) for rewrite in rewrites]
        print(json.dumps(row, ensure_ascii=False))
        return 0
    print(f"{plain(reply.text)}\n\n{report.as_text(attribution, reply)}")
    for rewrite in rewrites:
        print(f"\n{report.rewrite_as_text(rewrite)}")
    return 0


def _screen(args: argparse.Namespace) -> int:
    from genrec.load import load_toxicity
    from genrec.safety.normalise import normalise
    from genrec.safety.toxicity import verdict
    from genrec.settings import ASSETS

    if args.text is None and not args.batch:
        raise InputError('Give a text: genrec screen "…", or a file with --batch.')
    notices: list[str] = []
    scorer, status = load_toxicity(from_env(os.environ), ASSETS, notices), 0
    for notice in notices:
        print(f"genrec: {notice}", file=sys.stderr)

    def show(id: object, text: str) -> None:
        text = text.encode(
            errors="replace"
        ).decode()  # half a character (a broken byte, a lone surrogate) cannot be scored
        scores = scorer.score([text])[0]
        row = {
            "id": id,
            "verdict": verdict(scores),
            "scores": {label: round(float(score), 4) for label, score in scores.items()},
            "normalised": normalise(text),
        }
        if args.json or args.batch:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            print(row["verdict"], " ".join(f"{label} {score:.2f}" for label, score in scores.items()))

    if not args.batch:
        show(None, args.text)
        return 0
    with _open(args.batch) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                print(
                    f"genrec: {args.batch} line {number}: {'not JSON' if row is None else 'the field text is missing or not a string'}",
                    file=sys.stderr,
                )
                status = _BAD_INPUT
                continue
            show(row.get("id"), row["text"])
    return status


def _catalogue(args: argparse.Namespace) -> int:
    from genrec.catalogue import parse_columns, read_catalogue

    catalogue = read_catalogue(args.file, parse_columns(args.columns))
    columns = catalogue.columns
    if args.json:
        reports = {"left_out": catalogue.left_out, "cleaned": catalogue.cleaned}
        print(json.dumps({
            "file": str(args.file),
            "items": len(catalogue.items),
            "fields": {name: list(names) for name, names in columns.fields.items()},
            "attributes": {name: {"type": type, **_column_json(columns.profiles[name])} for name, type in columns.attributes.items()},
            "unused": list(columns.unused),
            "kinds": catalogue.kinds(),
            **{name: {"total": one.total, "counts": one.counts, "lines": one.lines} for name, one in reports.items()},
        }, ensure_ascii=False))  # fmt: skip
        return 0
    print(f"{len(catalogue.items):,} items: {_listed(catalogue.kinds())}\n")
    rows = [(name, "+".join(names), columns.profiles[names[0]]) for name, names in columns.fields.items()]
    rows += [(f"({type})", name, columns.profiles[name]) for name, type in columns.attributes.items()]
    for name, column, profile in rows:
        print(f"{name:14} {column:30.60} {profile.fill:6.1%} filled   {'  ·  '.join(profile.examples):.80}")
    if columns.unused:
        print(f"not used: {', '.join(columns.unused)}")
    for tally, what in ((catalogue.left_out, "rows"), (catalogue.cleaned, "cells")):
        if tally.total:
            print(f"\n{what} left out, {tally.total:,}: {_listed(tally.counts)}")
            print("\n".join(f"  {line}" for line in tally.lines))
    print("\nA wrong guess is set right by --columns, for example --columns title=name,tags=genre+style,creator=")
    return 0


def _deploy(args: argparse.Namespace) -> int:
    from genrec.deploy import ROOT, check_space_id, deploy, space_files

    check_space_id(args.space)
    files = space_files()
    total = 0
    for file in files:
        total += (size := (ROOT / file).stat().st_size)
        if args.dry_run:
            print(f"{size:>12,}  {file.as_posix()}")
    print(f"{total:>12,}  bytes in {len(files)} files for {args.space}")
    if args.dry_run:
        return 0
    from huggingface_hub import HfApi

    print(f"The Space is at {deploy(args.space, HfApi(), is_private=args.private)} and builds now.")
    return 0


def _column_json(column: Any) -> dict[str, Any]:
    return {"filled": round(column.fill, 4), "distinct": column.num_distinct, "examples": list(column.examples)}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _write(name: str, text: str) -> None:
    """
    Raises:
        InputError: the file cannot be written.
    """
    try:
        Path(name).write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{name} cannot be written: {error.strerror}.") from error


def _open(name: str) -> IO[str]:
    """
    Raises:
        InputError: the file cannot be read.
    """
    if name == "-":
        return sys.stdin
    try:
        return Path(name).open(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from error
