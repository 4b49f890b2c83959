"""A one-time run and its life cycle, as Jobs 2.2 tells it."""

import time
from dataclasses import dataclass, field
from typing import Any

ENDS = ("TERMINATED", "INTERNAL_ERROR", "SKIPPED")


@dataclass
class Run:
    """`state` is the life cycle; `result` and `code` tell how it ended."""

    run_id: int
    body: dict[str, Any]
    address: str
    state: str = "PENDING"
    result: str = ""
    code: str = ""
    kind: str = ""
    message: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    started: int = field(default_factory=lambda: int(time.time() * 1000))
    ended: int = 0
    cancelled: bool = False

    @property
    def task_run_id(self) -> int:
        """The run of its one task; only that has an output."""
        return self.run_id + 1

    @property
    def over(self) -> bool:
        return self.state in ENDS

    @property
    def task(self) -> dict[str, Any]:
        return self.body["tasks"][0]

    def end(self, result: str, code: str, kind: str, message: str = "", state: str = "TERMINATED") -> None:
        """Let it end; the first end counts."""
        if not self.over:
            self.result, self.code, self.kind, self.message = result, code, kind, message
            self.state, self.ended = state, int(time.time() * 1000)

    def told(self) -> dict[str, Any]:
        """The answer of runs/get."""
        task = {"task_key": self.task["task_key"], "attempt_number": 0} | self._common(self.task_run_id)
        kept = {
            key: self.task[key] for key in ("python_wheel_task", "new_cluster", "environment_key") if key in self.task
        }
        return self._common(self.run_id) | {
            "run_name": self.body.get("run_name", "Untitled"),
            "run_type": "SUBMIT_RUN",
            "format": "MULTI_TASK",
            "creator_user_name": "emulator",
            "job_id": self.run_id + 2,
            "tasks": [task | kept],
        }

    def _common(self, run_id: int) -> dict[str, Any]:
        ended = {"end_time": self.ended, "execution_duration": self.ended - self.started} if self.over else {}
        return {
            "run_id": run_id,
            "run_page_url": f"{self.address}/?o=1#job/{self.run_id + 2}/run/{run_id}",
            "start_time": self.started,
            "state": self._state(),
            "status": self._status(),
            **ended,
        }

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"life_cycle_state": self.state, "state_message": self.message}
        if self.over:
            stopped = self.result in ("CANCELED", "TIMEDOUT")
            state |= {"result_state": self.result, "user_cancelled_or_timedout": stopped}
        return state

    def _status(self) -> dict[str, Any]:
        if not self.over:
            return {"state": self.state}
        details = {"code": self.code, "type": self.kind, "message": self.message}
        return {"state": "TERMINATED", "termination_details": details}
