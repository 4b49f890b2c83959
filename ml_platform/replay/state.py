"""How far a replay has come: one small file, replaced as a whole, from which an interrupted replay goes on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

from ml_platform.errors import PlatformError

FILE = "replay.json"


@dataclass
class State:
    """What is done. `seconds` is the time that each part took, over all the processes that worked on it."""

    product: str
    start: str
    first_version: str = ""
    """The model that the replay began with; empty until it serves."""
    scored: str = ""
    """The last day whose events were asked about."""
    done: str = ""
    """The last day that is done."""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        started = monotonic()
        try:
            yield
        finally:
            self.add(part, monotonic() - started)

    def add(self, part: str, seconds: float) -> None:
        """Add `seconds` to `part`."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


def load(home: Path, product: str, start: str) -> State:
    """The state of the replay in `home`, a new one when there is none.

    Raises PlatformError when the replay there is another one, or its file cannot be read.
    """
    path = home / FILE
    if not path.exists():
        return State(product, start)
    try:
        state = State(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise PlatformError(f"{path} cannot be read: {error}; begin anew with --fresh") from error
    if (state.product, state.start) != (product, start):
        raise PlatformError(
            f"{home} holds a replay of {state.product} from {state.start}, not of {product} from {start}: "
            "go on with that one, name another --home, or begin anew with --fresh"
        )
    return state


def save(state: State, home: Path) -> None:
    """Write the state; whoever reads it, and whenever this process ends, finds a whole one."""
    unfinished = home / f".{FILE}.part"
    unfinished.write_text(json.dumps(asdict(state), indent=1))
    unfinished.replace(home / FILE)
