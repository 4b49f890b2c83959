"""Materialises the daily tables in a process of its own, for a test to kill: python -m ... START END."""

import sys

import dagster as dg

from ml_platform.definitions import defs
from ml_platform.runs import materialise
from ml_platform_tests.e2e.line import DAILY

if __name__ == "__main__":
    with dg.DagsterInstance.get() as instance:
        materialise(
            instance, defs(), DAILY, lambda step, event: print(step, event, flush=True), (sys.argv[1], sys.argv[2])
        )
