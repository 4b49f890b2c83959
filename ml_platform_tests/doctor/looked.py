"""What tests of single checks share: one check of a deployment, by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ml_platform.doctor.check import Result
from ml_platform.doctor.chosen import chosen_checks
from ml_platform.doctor.command import HASTE
from ml_platform.doctor.running import examine
from ml_platform.settings import Settings
from ml_platform_tests.emulators.entering import add

SECONDS = 60.0


def look(settings: Settings, name: str, seconds: float = SECONDS) -> Result:
    """The result of the check `name`, made without those it needs."""
    check = next(check for check in chosen_checks(settings) if check.name == name)
    (result,) = examine([type(check)(check.name, check.look)], seconds)
    return result


def changed(settings: Settings, **values: Any) -> Settings:
    """The same deployment with other values."""
    return Settings(**{**settings.model_dump(), **values})


def assert_failed(result: Result, *remedy: str) -> None:
    """It failed, with a reason and a remedy of one line that names all of `remedy`."""
    assert result.status == "failed", result
    assert result.reason, result
    assert result.remedy and "\n" not in result.remedy, result
    for part in remedy:
        assert part in result.remedy, result


@contextmanager
def environment(variables: dict[str, str], without: tuple[str, ...] = ()) -> Iterator[None]:
    """The environment of this process has these variables meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for name in without:
            patch.delenv(name, raising=False)
        add(patch, {**HASTE, **variables})
        yield
