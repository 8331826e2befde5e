"""What is left out of a stream of text: thoughts, and everything from a stop string on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

THINK, END_THINK = "<think>", "</think>"


def hide_thoughts(pieces: Iterable[str], *, is_thinking: bool = False) -> Generator[str, None, None]:
    """The pieces without what stands between <think> and </think>, and without the blank lines after it."""
    buffer, is_after_thought = "", is_thinking
    for piece in pieces:
        buffer += piece
        while True:
            if is_after_thought and not is_thinking:
                buffer = buffer.lstrip()
                is_after_thought = not buffer
            mark = END_THINK if is_thinking else THINK
            before, found, after = buffer.partition(mark)
            if not found:
                break
            if not is_thinking and before:
                yield before
            buffer, is_thinking, is_after_thought = after, not is_thinking, True
        keep = _partial_end(buffer, [mark])
        if not is_thinking and len(buffer) > keep:
            yield buffer[: len(buffer) - keep]
        buffer = buffer[len(buffer) - keep :]
    if buffer and not is_thinking:
        yield buffer


def stop_before(pieces: Iterable[str], stops: Sequence[str]) -> Generator[str, None, None]:
    """The pieces up to the stop string that is complete first, which is left out; what may be the beginning of one is held back."""
    if not stops:
        yield from pieces
        return
    buffer = ""
    for piece in pieces:
        buffer += piece
        found = [(position + len(stop), position) for stop in stops if (position := buffer.find(stop)) >= 0]
        if found:
            _, start = min(found)
            if start:
                yield buffer[:start]
            return
        keep = _partial_end(buffer, stops)
        if len(buffer) > keep:
            yield buffer[: len(buffer) - keep]
        buffer = buffer[len(buffer) - keep :]
    if buffer:
        yield buffer


def _partial_end(text: str, marks: Sequence[str]) -> int:
    """The length of the longest end of `text` that begins one of the marks."""
    longest = max(len(mark) for mark in marks) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0
