"""Lets a deployment score what another one answers (shadow traffic), without holding up the answers."""

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from time import thread_time

from ml_platform.scoring.measures import Measures
from ml_platform.scoring.serving import Serving

MAX_WAITING = 64
"""Requests that wait to be mirrored; of a deployment that does not keep up the rest are skipped and counted."""
COMPLETED_WITHIN = 5
"""Seconds."""

logger = logging.getLogger(__name__)


class Mirror:
    """A thread that scores mirrored requests. What it finds is counted and not logged: the caller never saw it."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._thread = ThreadPoolExecutor(1, "mirror")
        self._waiting = 0

    def score(self, serving: Serving, body: bytes, at: datetime) -> None:
        """Have `body`, which came at `at`, scored by `serving`; called on the event loop only, returns at once."""
        if self._waiting >= MAX_WAITING:
            self._measures.skipped_shadows += 1
            return
        self._waiting += 1
        task = self._thread.submit(self._score, serving, body, at, asyncio.get_running_loop())
        task.add_done_callback(self._ended)

    def _score(self, serving: Serving, body: bytes, at: datetime, loop: asyncio.AbstractEventLoop) -> None:
        counts = self._measures.of("shadow", serving.counted_as)
        try:
            records = serving.reader.read(body)
            if serving.online:
                # On the loop, to which the store belongs.
                completed = serving.online.complete(records, at, Measures())
                records = asyncio.run_coroutine_threadsafe(completed, loop).result(COMPLETED_WITHIN)
            began = thread_time()
            probabilities = serving.score(records)
        except Exception as error:
            logger.error("a mirrored request failed: %r", error)
            counts.failure()
        else:
            counts.scored(thread_time() - began, probabilities)

    def _ended(self, _: "Future[None]") -> None:
        self._waiting -= 1
