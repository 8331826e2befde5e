"""The assistant on a ZeroGPU Space, where a GPU is lent for one call at a time.

There a call runs in a forked worker: what goes in and comes out is pickled, what it changes stays behind, and only generators stream. So a whole reply,
and a whole explanation, is one call. Where the `spaces` package is not ZeroGPU's its decorator does nothing, and the same code serves.
Source: https://huggingface.co/docs/hub/spaces-zerogpu
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genrec.errors import InputError
from genrec.schema import Attribution, Conversation, Reply, Sampling

if TYPE_CHECKING:  # at run time it would import torch, which `spaces` must come before
    from genrec.assistant import Assistant
    from genrec.catalogue import Catalogue
    from genrec.engines import Engine

_REPLY_S, _EXPLAIN_S = (
    60,
    90,
)  # GPU seconds asked for at most; a shorter wish is served earlier and costs a visitor less quota


def is_present() -> bool:
    """Whether this machine lends its GPU by the `spaces` package."""
    return importlib.util.find_spec("spaces") is not None


class GpuAssistant:
    """An assistant whose replies and explanations are GPU calls; everything else is the assistant's own. To be made before the app is launched:
    ZeroGPU looks for its functions, and for models on the GPU, at that moment."""

    def __init__(self, assistant: Assistant):
        import spaces

        self._assistant = assistant
        home = os.getpid()

        @spaces.GPU(duration=_REPLY_S)
        def reply(conversation: Conversation, message: str, sampling: Sampling, options: dict[str, Any]):
            _settle(home)
            yield from assistant.reply(conversation, message, sampling, **options)

        @spaces.GPU(duration=_EXPLAIN_S)
        def explain(conversation: Conversation, message: str, reply: Reply, options: dict[str, Any]) -> Attribution:
            _settle(home)
            return assistant.explain(conversation, message, reply, **options)

        self._reply, self._explain = reply, explain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._assistant, name)

    def with_catalogue(self, catalogue: Catalogue) -> Assistant:
        """
        Raises:
            InputError: always; what a GPU call needs is fixed at the start, and a catalogue is too much to be sent along with each.
        """
        raise InputError(
            "This Space lends its GPU by the call, so it serves its own catalogue only. 这个空间只能用自带的目录。"
        )

    def with_engine(self, engine: Engine) -> Assistant:
        """
        Raises:
            InputError: always; a model that is not there at the start gets no GPU.
        """
        raise InputError("This Space lends its GPU by the call, so it has one model only. 这个空间只能用一个模型。")

    def reply(
        self, conversation: Conversation, message: str, sampling: Sampling = Sampling(), **options: Any
    ) -> Generator[Reply, None, None]:
        """As Assistant.reply. The database stays in this process, since its connection must not be used in a fork: the worker is given a
        conversation that already holds the ratings, without the user id to look them up by."""
        user_id = conversation.user_id
        told = replace(self._assistant.with_feedback(conversation), user_id="")
        with closing(self._reply(told, message, sampling, options)) as snapshots:
            for snapshot in snapshots:
                yield replace(snapshot, conversation=replace(snapshot.conversation, user_id=user_id))

    def explaining(
        self, conversation: Conversation, message: str, reply: Reply, **options: Any
    ) -> Generator[float, None, Attribution]:
        """As Assistant.explaining, but that it has two steps, the begin and the end: only a whole explanation comes back from the worker."""
        told = replace(
            self._assistant.with_feedback(conversation, but_for={item.id for item in reply.items}), user_id=""
        )
        yield 0.0
        attribution = self._explain(told, message, replace(reply, conversation=Conversation()), options)
        yield 1.0
        return attribution


def _settle(home: int) -> None:
    """In a fork one thread computes: the threads that torch had before the fork are gone, and to wait for them would be for ever."""
    if os.getpid() != home:
        import torch

        torch.set_num_threads(1)
