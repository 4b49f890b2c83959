"""What a wheel task of Databricks calls: runs the program that the first argument names, as `python -m` would."""

import runpy
import sys


def run() -> None:
    """Run the module `sys.argv[1]`; the other arguments are its own."""
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
