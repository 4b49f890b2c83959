"""Lets a deployment score what another one answers (shadow traffic), without holding up the answers."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from time import thread_time

from ml_platform.scoring.measures import Measures
from ml_platform.scoring.serving import Serving

MAX_WAITING = 64
"""Requests that wait to be mirrored; of a deployment that does not keep up the rest are skipped and counted."""

logger = logging.getLogger(__name__)


class Mirror:
    """A thread that scores mirrored requests. What it finds is counted and not logged: the caller never saw it."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._thread = ThreadPoolExecutor(1, "mirror")
        self._waiting = 0

    def score(self, serving: Serving, body: bytes) -> None:
        """Have `body` scored by `serving`; called on the event loop only, returns at once."""
        if self._waiting >= MAX_WAITING:
            self._measures.skipped_shadows += 1
            return
        self._waiting += 1
        self._thread.submit(self._score, serving, body).add_done_callback(self._ended)

    def _score(self, serving: Serving, body: bytes) -> None:
        counts = self._measures.of("shadow", serving.counted_as)
        try:
            records = serving.reader.read(body)
            # Of the processor: it also waits for its turn beside the event loop, for which the model can do nothing.
            began = thread_time()
            probabilities = serving.score(records)
        except Exception as error:
            logger.error("a mirrored request failed: %r", error)
            counts.failure()
        else:
            counts.scored(thread_time() - began, probabilities)

    def _ended(self, _: "Future[None]") -> None:
        self._waiting -= 1
