"""On running out of memory, repeat the batch with fewer examples in the model at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from advrush.out_of_memory import is_out_of_memory

Found = TypeVar("Found")


@dataclass
class Limit:
    """The most examples that pass a model at once, None for no limit, and what is to be said of it."""

    most: int | None = None
    said: list[str] = field(default_factory=list)

    def take(self) -> tuple[str, ...]:
        """Return what is to be said, once."""
        sentences, self.said = tuple(self.said), []
        return sentences


_LIMIT: ContextVar[Limit | None] = ContextVar("most_examples_a_pass", default=None)


@contextmanager
def limited() -> Iterator[Limit]:
    """Remember within the context how many examples fit: what one attack found out, the next one knows."""
    outer = _LIMIT.get()
    if outer is not None:
        yield outer
        return
    limit = Limit()
    token = _LIMIT.set(limit)
    try:
        yield limit
    finally:
        _LIMIT.reset(token)


def most_at_once() -> int | None:
    """Return how many examples fit through a model at once, None where no limit was met."""
    limit = _LIMIT.get()
    return None if limit is None else limit.most


def within_memory(call: Callable[[], Found], examples: int) -> Found:
    """Return what `call` returns; where memory runs out, call it again with half as many examples in each pass.

    `call` passes `examples` examples through a model by `chunks.pieces`, which heeds the limit, and gives the same
    whenever it is called: examples do not mix, and a batch's random numbers are drawn for all of it. The error is
    raised where a single example does not fit.
    """
    with limited() as limit:
        while True:
            try:
                return call()
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                tried = min(examples, limit.most or examples)
                if not is_out_of_memory(error) or tried <= 1:
                    raise
                limit.most = (tried + 1) // 2
            # outside of the handler, whose traceback holds the tensors of the attempt
            limit.said.append(
                f"out of memory with {tried} examples at once; went on with {limit.most} at once, "
                "which changes no verdict"
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
