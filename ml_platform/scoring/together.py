"""Scores the requests that arrive together as one batch: the model is called once for all of them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from time import thread_time

import msgspec

from ml_platform.scoring.records import Record
from ml_platform.scoring.serving import Serving

MOST_WAITING = 64
"""Requests that are scored at once, though more may be coming: their callers wait for the last of them."""


class Scored(msgspec.Struct):
    """Probabilities [n] of the records of a request, and the processor time (seconds) that the model took."""

    probabilities: list[float]
    seconds: float


Outcome = Scored | Exception
"""What scoring gave or raised."""
Then = Callable[[Outcome], None]


class _Waiting(msgspec.Struct):
    records: list[Record]
    then: Then


class Together:
    """Collects what turns of the event loop bring, by deployment, until one brings nothing more.

    Callers that were answered together ask again within a turn or two: without the wait for the last of them they
    drift apart into ever smaller batches. A turn that brings nothing takes microseconds.
    """

    def __init__(self) -> None:
        self._waiting: dict[Serving, list[_Waiting]] = defaultdict(list)
        self._count = self._counted = 0

    async def score(self, serving: Serving, records: list[Record]) -> Outcome:
        """Score the records of a request."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.soon(serving, records, lambda outcome: None if answer.done() else answer.set_result(outcome))
        return await answer

    def soon(self, serving: Serving, records: list[Record], then: Then) -> None:
        """Score the records of a request and call `then`, which raises nothing, with what came of it."""
        waiting = _Waiting(records, then)
        if not serving.row_by_row:
            _score(serving, [waiting])
            return
        if not self._count:
            asyncio.get_running_loop().call_soon(self._look)
        self._count += 1
        self._waiting[serving].append(waiting)

    def _look(self) -> None:
        if self._counted < self._count < MOST_WAITING:
            self._counted = self._count
            asyncio.get_running_loop().call_soon(self._look)
        else:
            self._score_all()

    def _score_all(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        self._count = self._counted = 0
        for serving, group in waiting.items():
            _score(serving, group)


def _score(serving: Serving, group: list[_Waiting]) -> None:
    began = thread_time()
    try:
        found = serving.score([record for each in group for record in each.records])
    except Exception as error:
        if len(group) == 1:
            group[0].then(error)
            return
        # Whose records they were is found out one by one: nobody fails for another.
        for each in group:
            _score(serving, [each])
        return
    seconds, start = thread_time() - began, 0
    for each in group:
        end = start + len(each.records)
        each.then(Scored(found[start:end], seconds))
        start = end
