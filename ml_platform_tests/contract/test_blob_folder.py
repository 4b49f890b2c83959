"""What is appended to blobs stands there once, whatever becomes of the answers, and the folder says what went wrong."""

from collections.abc import Iterator

import pytest

from ml_platform.scoring.blobs import BlobFolder
from ml_platform.scoring.folders import Unreachable
from ml_platform_tests.contract.lakes import BlobLake, blob_lake
from ml_platform_tests.emulators.entering import environ


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobLake]:
    with blob_lake(tmp_path_factory.mktemp("lake")) as found, environ(found.environment):
        yield found


def test_lines_whose_answer_was_lost_stand_once_when_they_are_given_again(lake: BlobLake) -> None:
    folder = BlobFolder(f"{lake.uri}/log")
    folder.append("a/1.jsonl", b"one\n")
    # The service has appended them, and nobody was told.
    lake.container.get_blob_client("log/a/1.jsonl").append_block(b"two\n")
    folder.append("a/1.jsonl", b"two\n")
    folder.append("a/1.jsonl", b"three\n")
    assert lake.read("log/a/1.jsonl") == b"one\ntwo\nthree\n"


def test_lines_of_another_writer_are_not_taken_for_ones_own(lake: BlobLake) -> None:
    folder = BlobFolder(f"{lake.uri}/log")
    folder.append("b/1.jsonl", b"one\n")
    lake.container.get_blob_client("log/b/1.jsonl").append_block(b"somebody else's\n")
    with pytest.raises(OSError, match="412") as error:
        folder.append("b/1.jsonl", b"two\n")
    assert not isinstance(error.value, Unreachable)


def test_a_lake_that_cannot_be_reached_is_told_without_its_key(lake: BlobLake) -> None:
    folder = BlobFolder(f"{lake.uri}/log")
    with lake.down(), pytest.raises(Unreachable, match="log: c/1.jsonl") as error:
        folder.append("c/1.jsonl", b"one\n")
    assert lake.environment["AZURE_STORAGE_ACCOUNT_KEY"] not in str(error.value)
    folder.append("c/1.jsonl", b"one\n")
    assert lake.read("log/c/1.jsonl") == b"one\n"


def test_a_document_that_is_not_there_is_none_and_a_container_that_is_not_there_is_told(lake: BlobLake) -> None:
    assert BlobFolder(lake.uri).read("nothing.json") is None
    with pytest.raises(Unreachable, match="404 ContainerNotFound"):
        BlobFolder(lake.uri.replace("lake@", "nowhere@")).read("nothing.json")
    with pytest.raises(ValueError, match="is not like abfss://"):
        BlobFolder("abfss://lake")
