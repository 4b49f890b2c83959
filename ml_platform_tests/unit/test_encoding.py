"""Raw values become the same matrix for a record, a column and a frame, or are refused by name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.scoring.encoding import Encoder, EncodingError, Input, Signature, read_signature, write_signature

SIGNATURE = Signature(
    (Input("carrier", "categorical", ("AA", "UA")), Input("distance", "numeric"), Input("seats", "numeric")),
    output="delayed_probability",
)
ENCODER = Encoder(SIGNATURE)


def test_a_category_becomes_its_position_and_anything_else_is_missing():
    records = [{"carrier": c, "distance": 1.5, "seats": 2} for c in ("AA", "UA", "ZZ", None)]
    assert_equal(ENCODER.encode_records(records)[:, 0], [0, 1, np.nan, np.nan])


def test_a_missing_number_is_nan_and_keys_that_are_no_input_are_ignored():
    matrix = ENCODER.encode_records([{"carrier": "AA", "distance": None, "seats": 3, "flight_id": "x"}])
    assert_equal(matrix, [[0, np.nan, 3]])
    assert matrix.dtype == np.float32


def test_an_absent_input_is_refused_by_name():
    with pytest.raises(EncodingError, match="record 1 lacks 'seats'"):
        ENCODER.encode_records([{"carrier": "AA", "distance": 1.0, "seats": 1}, {"carrier": "AA", "distance": 1.0}])
    with pytest.raises(EncodingError, match="seats"):
        ENCODER.encode_columns({"carrier": ["AA"], "distance": [1.0]})


@pytest.mark.parametrize(
    "record",
    [
        {"carrier": 7, "distance": 1.0, "seats": 1},
        {"carrier": "AA", "distance": "1.0", "seats": 1},
        {"carrier": "AA", "distance": [1.0], "seats": 1},
        {"carrier": ["AA"], "distance": 1.0, "seats": 1},
        {"carrier": "AA", "distance": 10**400, "seats": 1},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(record: dict):
    with pytest.raises(EncodingError, match="'carrier'|'distance'"):
        ENCODER.encode_records([record])
    with pytest.raises(EncodingError, match="'carrier'|'distance'"):
        ENCODER.encode_columns({name: [value] for name, value in record.items()})


VALUES = st.fixed_dictionaries(
    {
        "carrier": st.one_of(st.none(), st.sampled_from(["AA", "UA", "B6", ""])),
        "distance": st.one_of(st.none(), st.floats(width=32), st.integers(-(2**40), 2**40)),
        "seats": st.one_of(st.none(), st.floats(-1e6, 1e6), st.booleans()),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_records_and_columns_encode_alike(records: list[dict]):
    columns = {name: [record[name] for record in records] for name in SIGNATURE.names}
    assert_equal(ENCODER.encode_records(records), ENCODER.encode_columns(columns))
    rows = [[*(record[name] for name in SIGNATURE.names), "its key"] for record in records]
    assert_equal(ENCODER.encode_rows(rows), ENCODER.encode_records(records))


def test_numpy_columns_of_every_number_type_encode_alike():
    for dtype in (np.int32, np.int64, np.float32, np.float64, np.bool_, object):
        columns = {
            "carrier": np.array(["UA", None], dtype=object),
            "distance": np.array([1, 0], dtype=dtype),
            "seats": np.array([0, 1], dtype=dtype),
        }
        assert_equal(ENCODER.encode_columns(columns), [[1, 1, 0], [np.nan, 0, 1]])


def test_a_signature_is_read_as_it_was_written_and_equal_ones_give_equal_bytes(tmp_path: Path):
    write_signature(SIGNATURE, tmp_path)
    first = (tmp_path / "signature.json").read_bytes()
    assert read_signature(tmp_path) == SIGNATURE
    write_signature(read_signature(tmp_path), tmp_path)
    assert (tmp_path / "signature.json").read_bytes() == first


@pytest.mark.parametrize(
    "text", ["", "{}", '{"inputs": [], "output": "p"}', '{"inputs": [{"name": "a"}], "output": 1}']
)
def test_what_is_no_signature_is_refused_with_its_path(tmp_path: Path, text: str):
    (tmp_path / "signature.json").write_text(text)
    with pytest.raises(EncodingError, match="signature.json"):
        read_signature(tmp_path)


def test_a_directory_without_a_signature_is_refused(tmp_path: Path):
    with pytest.raises(EncodingError, match="missing"):
        read_signature(tmp_path)


def assert_equal(actual: np.ndarray, expected: object):
    np.testing.assert_array_equal(actual, np.asarray(expected, dtype=np.float32))
