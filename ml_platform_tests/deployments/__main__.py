"""Checks all that is deployed; exit 1 and one line for each problem."""

import sys
import time

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.deployments.checks import CHECKS, SPECS_VARIABLE, specs


def main() -> int:
    """Print what is wrong, and what could not be looked at; returns how the process ends."""
    if specs() is None:
        print(
            f"{SPECS_VARIABLE} names no folder: Azure ML's resources are not held against their published types, nor "
            "the Databricks bundle against its schema; everything else is checked"
        )
    found = 0
    for name, check in CHECKS.items():
        start = time.perf_counter()
        problems = list(check(PROJECT_ROOT))
        found += len(problems)
        print(f"{name}: {len(problems) or 'no'} problems, {time.perf_counter() - start:.1f} s")
        print(*(f"  {problem}" for problem in problems), sep="\n", end="\n" if problems else "")
    return 1 if found else 0


sys.exit(main())
