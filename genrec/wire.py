"""Replies as JSON, and what other programs send, checked: one form for the command line and the app's endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genrec.errors import InputError
from genrec.schema import Reply, Sampling, Turn
from genrec.text import plain


def checked_sampling(sampling: Sampling, name: Callable[[str], str] = str) -> Sampling:
    """The sampling itself, if every value is in its range. `name` is what the caller calls a field.

    Raises:
        InputError: one is not; says which and what was wanted.
    """
    for field, is_good, wanted in (
        ("temperature", 0 <= sampling.temperature <= 5, "between 0 and 5"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0 and at most 1"),
        ("top_k", sampling.top_k >= 0, "0 or more"),
        ("repetition_penalty", 0.5 <= sampling.repetition_penalty <= 2, "between 0.5 and 2"),
        ("seed", sampling.seed is None or 0 <= sampling.seed < 2**63, "between 0 and 2**63 - 1"),
        ("max_new_tokens", 1 <= sampling.max_new_tokens <= 4096, "between 1 and 4096"),
    ):
        if not is_good:
            raise InputError(f"{name(field)} must be {wanted}, but is {getattr(sampling, field)}.")
    return sampling


def read_turns(turns: Sequence[Any]) -> list[Turn]:
    """Turns that were spoken elsewhere, each {"role", "text"}; whoever is not the user counts as the assistant.

    Raises:
        InputError: one is not such a turn.
    """
    read = []
    for turn in turns:
        if (
            not isinstance(turn, dict)
            or turn.get("role") not in ("user", "assistant", "system")
            or not isinstance(turn.get("text"), str)
        ):
            raise InputError('each of "turns" needs a "role" (user or assistant) and a "text"')
        read.append(Turn("user" if turn["role"] == "user" else "assistant", turn["text"]))
    return read


def reply_json(reply: Reply, *, id: object) -> dict[str, Any]:
    """A reply as other programs read it."""
    profile = reply.conversation.profile
    return {
        "id": id,
        "language": reply.language,
        "reply": plain(reply.text),
        "sentences": [plain(sentence.text).strip() for sentence in reply.sentences],
        "items": [
            {
                "id": mention.item.id if mention.item else None,
                "title": mention.title,
                "year": mention.item.year if mention.item else None,
                "kind": mention.item.kind if mention.item else None,
                "matched": mention.is_matched,
            }
            for mention in {mention.title: mention for mention in reply.mentions}.values()
        ],
        "candidates": [candidate.item.id for candidate in reply.candidates],
        "withheld": [{"category": withheld.category, "score": withheld.score} for withheld in reply.withheld],
        "notice": reply.notice,
        "profile": {
            "likes": [interest.text for interest in profile.likes],
            "dislikes": [interest.text for interest in profile.dislikes],
            "constraints": [
                {"field": one.field, "op": one.op, "value": one.value, "text": one.text} for one in profile.constraints
            ],
            "kinds": list(profile.kinds),
            "liked": list(profile.liked),
            "disliked": list(profile.disliked),
            "seen": list(profile.seen),
        },
        "seconds": round(reply.seconds, 3),
        "tokens": reply.num_tokens,
        "model": reply.model,
        "seed": reply.sampling.seed,
        "status": reply.status,
    }
