"""A million requests to the scoring server, an hour of 280 a second: its memory must stay flat, no answer may be lost.

The model is the champion of this home (`make demo` makes one). The inference log, some 2.6 GB, goes to a scratch folder
and is counted against the answers before it is removed.
"""

import argparse
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.server_process import Target
from benchmarks.serving import champion
from benchmarks.serving_targets import endpoint_folder, log_folder, this_server
from benchmarks.wrk import Load, load, require_wrk
from ml_platform.scoring.inference_log import INPUTS, OUTPUTS
from ml_platform.scoring.measures import Measures, measured
from ml_platform.settings import Settings

REQUESTS, CONNECTIONS = 1_000_000, 16
BURST_SECONDS = 10
"""wrk is given a time, not a number: it is started again until there were enough requests."""
SAMPLE_SECONDS = 1.0
SETTLE_SECONDS = 1.0
"""For the requests that wrk did not wait for, and for the counts of all to be written down."""
MAX_GROWTH_MIB = 4.0
"""Of the second half over the first; eight bytes kept of each request would be as much."""
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Worker:
    """A worker's resident memory (MiB) over time, at even distances."""

    pid: int
    memory: Sequence[float]

    @property
    def growth(self) -> float:
        """By how much the median of the second half is above that of the first."""
        middle = len(self.memory) // 2
        return median(self.memory[middle:]) - median(self.memory[:middle])


def main() -> None:
    """Soak and print; raises SystemExit where memory grew or an answer is lost."""
    arguments = _arguments()
    require_wrk()
    # The server lives in a session of its own: whoever ends this by a signal must not leave it behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="ml_platform_soak_", dir=arguments.scratch) as folder:
        scratch = Path(folder)
        subject = champion(Settings(), scratch)
        with this_server(subject) as target:
            with watched(target) as workers:
                loads = soak(target, arguments.requests)
            time.sleep(SETTLE_SECONDS)
            counted = measured(endpoint_folder(scratch, subject.product.name))
        # The endpoint has ended, so all that it had to log is written.
        lines = {collection: count_lines(log_folder(scratch), collection) for collection in (INPUTS, OUTPUTS)}
    tell(loads, workers, counted, lines)
    if faults := [*lost(loads, counted, lines), *grown(workers)]:
        raise SystemExit("\n" + "\n".join(faults))


def soak(target: Target, requests: int) -> list[Load]:
    """Load the server until it has had so many requests."""
    loads: list[Load] = []
    while sum(each.requests for each in loads) < requests:
        loads.append(load(target.request, CONNECTIONS, BURST_SECONDS))
        print(f"{sum(each.requests for each in loads):>10,} requests, {target.memory():.1f} MiB", flush=True)
    return loads


@contextmanager
def watched(target: Target) -> Iterator[list[Worker]]:
    """Sample the workers' memory for as long as the block lasts; the list is filled at its end."""
    workers, ended = target.process.children(), threading.Event()
    samples: dict[int, list[float]] = {each.pid: [] for each in workers}
    found: list[Worker] = []

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            for each in workers:
                samples[each.pid].append(each.memory_info().rss / 2**20)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
    found += [Worker(pid, memory) for pid, memory in samples.items()]
    if target.process.children() != workers:
        raise SystemExit("a worker was replaced while it was watched")


def count_lines(log: Path, collection: str) -> int:
    """Lines of a collection, read a piece at a time."""
    count = 0
    for path in log.glob(f"*/*/{collection}/**/*.jsonl"):
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                count += piece.count(b"\n")
    return count


def tell(loads: Sequence[Load], workers: Sequence[Worker], counted: Measures, lines: dict[str, int]) -> None:
    """Print what was seen."""
    print(f"\nrequests/s: {median(each.rate for each in loads):,.0f}, p99 {median(each.p99 for each in loads):.2f} ms")
    print(f"answers by status: {counted.answers}; logged: {lines}; rows dropped: {counted.dropped_rows}")
    for worker in workers:
        tenths = [worker.memory[len(worker.memory) * n // 10] for n in range(10)]
        print(f"worker {worker.pid}, MiB at each tenth: {' '.join(f'{each:.1f}' for each in tenths)}")
        print(f"second half over the first: {worker.growth:+.2f} MiB, at most {MAX_GROWTH_MIB:g}")


def lost(loads: Sequence[Load], counted: Measures, lines: dict[str, int]) -> Iterator[str]:
    """What was answered badly or is not in the log."""
    if failed := sum(each.failed for each in loads):
        yield f"{failed} requests failed"
    if set(counted.answers) != {200}:
        yield f"not all answers were a success: {counted.answers}"
    answered = sum(each.requests for each in counted.live.values())
    if set(lines.values()) != {answered}:
        yield f"{answered} requests were answered, the log holds {lines}"
    if counted.dropped_rows:
        yield f"the log dropped {counted.dropped_rows} rows"


def grown(workers: Sequence[Worker]) -> Iterator[str]:
    """Which workers' memory did not stay flat."""
    for worker in workers:
        if worker.growth > MAX_GROWTH_MIB:
            yield f"worker {worker.pid} grew by {worker.growth:.2f} MiB, more than {MAX_GROWTH_MIB:g}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many at least ({REQUESTS:,})")
    parser.add_argument("--scratch", type=Path, help="a folder for the log; 3 GB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
