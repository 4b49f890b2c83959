"""Scores the requests that arrive together as one batch: the model is called once for all of them."""

import asyncio
from collections import defaultdict
from time import perf_counter
from typing import NamedTuple

from ml_platform.scoring.records import Record
from ml_platform.scoring.serving import Serving


class Scored(NamedTuple):
    """Probabilities [n] of the records of a request, and how long (seconds) the model had them."""

    probabilities: list[float]
    seconds: float


class _Waiting(NamedTuple):
    records: list[Record]
    answer: asyncio.Future["Scored"]


class Together:
    """Collects what one turn of the event loop brings, by deployment."""

    def __init__(self) -> None:
        self._waiting: dict[Serving, list[_Waiting]] = defaultdict(list)

    async def score(self, serving: Serving, records: list[Record]) -> Scored:
        """Score the records of a request; raises what scoring them raises."""
        if not serving.row_by_row:
            began = perf_counter()
            return Scored(serving.score(records), perf_counter() - began)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._score_all)
        waiting = _Waiting(records, loop.create_future())
        self._waiting[serving].append(waiting)
        return await waiting.answer

    def _score_all(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        for serving, group in waiting.items():
            self._score(serving, group)

    def _score(self, serving: Serving, group: list[_Waiting]) -> None:
        began = perf_counter()
        try:
            found = serving.score([record for each in group for record in each.records])
        except Exception as error:
            # Whose records they were is found out one by one: nobody fails for another.
            if len(group) > 1:
                for each in group:
                    self._score(serving, [each])
            elif not group[0].answer.done():
                group[0].answer.set_exception(error)
            return
        seconds, start = perf_counter() - began, 0
        for each in group:
            end = start + len(each.records)
            if not each.answer.done():
                each.answer.set_result(Scored(found[start:end], seconds))
            start = end
