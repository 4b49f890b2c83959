"""One landed CSV file: bytes in, typed records and faults out. Strict: nothing is guessed or repaired."""

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from dbx_jobs.contract import Column
from dbx_jobs.values import CellReader, Unfit


class FileFault(Exception):
    """The file cannot be read as a whole; nothing of its partition may be loaded."""

    def __init__(self, reason: str, line: int | None = None, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


class Record(NamedTuple):
    """A line that fits the declared columns; `values` are in their order, `cells` are the line as it was read."""

    file: str
    line: int
    cells: list[str]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class RowFault:
    """A line that is quarantined; `column` is the first column at fault, None where the line as a whole is."""

    file: str
    line: int
    column: str | None
    reason: str
    cells: list[str]


class CsvReader:
    """Reads files of one source; columns in `required` are never empty, whatever they are declared."""

    def __init__(self, columns: list[Column], required: set[str]) -> None:
        self._columns = {column.name: CellReader(column, column.name in required) for column in columns}

    def read(self, file: str, content: bytes) -> tuple[list[Record], list[RowFault]]:
        """The records and the faulty lines of one file; raises FileFault."""
        lines = _lines(_text(file, content))
        if not lines:
            raise FileFault("is empty: not even a header line")
        header = lines.pop(0)[1]
        self._check_header(header)
        ragged = [(line, cells) for line, cells in lines if len(cells) != len(header)]
        faults = [
            RowFault(file, line, None, f"has {len(cells)} fields where the header has {len(header)}", cells)
            for line, cells in ragged
        ]
        if ragged:
            lines = [(line, cells) for line, cells in lines if len(cells) == len(header)]
        if not lines:
            return [], faults
        rows = self._typed(header, [cells for _, cells in lines])
        records = [Record(file, line, cells, row) for (line, cells), row in zip(lines, rows, strict=True)]
        if not any(reader.any_unfit for reader in self._columns.values()):
            return records, faults
        fit = []
        for record in records:
            unfit = [
                (name, v.reason) for name, v in zip(self._columns, record.values, strict=True) if isinstance(v, Unfit)
            ]
            if unfit:
                reason = "; ".join(f"{name} {reason}" for name, reason in unfit)
                faults.append(RowFault(file, record.line, unfit[0][0], reason, record.cells))
            else:
                fit.append(record)
        return fit, faults

    def _check_header(self, header: list[str]) -> None:
        for name in header:
            if header.count(name) > 1:
                raise FileFault(f"names column {name!r} twice in its header", 1, name)
            if name not in self._columns:
                raise FileFault(f"has a column {name!r} that is not declared", 1, name)
        for name in self._columns:
            if name not in header:
                raise FileFault(f"lacks the column {name!r}", 1, name)

    def _typed(self, header: list[str], rows: list[list[str]]) -> list[tuple[Any, ...]]:
        cells = dict(zip(header, zip(*rows, strict=True), strict=True))
        return list(zip(*(reader.read(cells[name]) for name, reader in self._columns.items()), strict=True))


def _text(file: str, content: bytes) -> str:
    if file.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except EOFError:
            raise FileFault("is a truncated gzip file") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FileFault(f"is not a whole gzip file ({error})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFault(f"is not UTF-8: byte 0x{content[error.start]:02x} in line {line}", line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileFault(f"holds a NUL character in line {line}: it is not a text file", line)
    return text


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """The lines that are not blank, each with the number of the first physical line it stands in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, start = [], 1
    try:
        for cells in reader:
            if cells:
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise FileFault(f"is not well-formed CSV from line {start} on ({error})", start) from None
    return lines
