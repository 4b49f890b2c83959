"""The frame around a job fits the place: how it is asked, and what Spark's workers need."""

import subprocess
import sys
from pathlib import Path

import pytest
from dagster_pipes import encode_param

ASKED = """
import json, sys
from dbx_jobs.runtime import open_pipes
with open_pipes() as pipes:
    pipes.report_custom_message(pipes.get_extra("request"))
"""
PICKLED = """
import sys
import dbx_jobs.runtime as runtime
from dbx_jobs.values import CellReader
from dbx_jobs.contract import Column
runtime._send_code_along()
from pyspark.serializers import CloudPickleSerializer
def called():
    return CellReader(Column("n", "int"), False).read(("7", ""))
sys.stdout.buffer.write(CloudPickleSerializer().dumps(called))
"""
CALLED = """
import pickle, sys
sys.modules["dbx_jobs"] = None
print(pickle.loads(sys.stdin.buffer.read())())
"""


def test_what_spark_calls_carries_the_code_of_the_programs():
    pickled = subprocess.run([sys.executable, "-c", PICKLED], check=True, capture_output=True).stdout
    called = subprocess.run([sys.executable, "-c", CALLED], input=pickled, capture_output=True)
    assert called.stdout.decode().strip() == "[7, None]", called.stderr.decode()[-500:]


@pytest.mark.parametrize("way", ["environment", "arguments"])
def test_a_program_finds_what_it_is_asked_by_environment_or_by_arguments(tmp_path: Path, way: str):
    (tmp_path / "context.json").write_text('{"extras": {"request": {"day": "2013-01-01"}}}')
    params = {"context": {"path": str(tmp_path / "context.json")}, "messages": {"path": str(tmp_path / "messages")}}
    if way == "environment":
        given = {f"DAGSTER_PIPES_{name.upper()}": encode_param(value) for name, value in params.items()}
        arguments: list[str] = []
    else:
        arguments = [
            word for name, value in params.items() for word in (f"--dagster-pipes-{name}", encode_param(value))
        ]
        given = {}
    command = [sys.executable, "-c", ASKED, *arguments]
    subprocess.run(command, check=True, env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **given})
    assert '"payload": {"day": "2013-01-01"}' in (tmp_path / "messages").read_text()
