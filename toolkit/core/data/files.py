"""Rows from a user's file: CSV, JSON Lines, Parquet, plain text.

Every reader gives one split, ``train``: the task holds a share of it out. A column called ``split``
with the words train, validation, test puts rows where they say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.core.base import Example
from toolkit.core.configs import CSVConfig, FileConfig, TextFileConfig
from toolkit.errors import UsageError, did_you_mean

LONGEST = 2**31 - 1  # characters of a cell; Python's own limit, 2**17, is less than a long text
SPLITS = ("train", "validation", "test")
ALSO = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}


class FileDataset:
    """Rows of a file as dictionaries from column to value."""

    target: str | None = None

    def __init__(self, config: FileConfig) -> None:
        if not config.path:
            raise UsageError("the data set needs its file: --data FILE, or --data.path FILE")
        self.path, self.limit = Path(config.path), config.limit

    def rows(self) -> Iterator[Example]:
        raise NotImplementedError

    def splits(self) -> Mapping[str, Sequence[Example]]:
        return by_split(self.read(), self.path)

    def read(self) -> list[Example]:
        """All rows in their order, up to the limit. Raises UsageError for a file that cannot be read, or holds none."""
        rows: list[Example] = []
        try:
            for row in self.rows():
                rows.append(row)
                if self.limit is not None and len(rows) == self.limit:
                    break
        except OSError as error:
            raise UsageError(f"{self.path}: it cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
        if not rows:
            raise UsageError(f"{self.path}: it holds no rows")
        return rows


def split_meant(word: object) -> str:
    """The split that a cell means, such as ``Dev``; the cell's text where it means none."""
    text = str(word).strip()
    name = ALSO.get(text.lower(), text.lower())
    return name if name in SPLITS else text


def by_split(rows: Sequence[Example], path: Path) -> dict[str, list[Example]]:
    """Rows by what their column ``split`` says, without it; all are ``train`` where there is none."""
    if not any("split" in row for row in rows):
        return {"train": list(rows)}
    found: dict[str, list[Example]] = {}
    for number, row in enumerate(rows, 1):
        name = split_meant(row.get("split"))
        if name not in SPLITS:
            raise UsageError(f"{path}: row {number} has split {row.get('split')!r}; allowed: {', '.join(SPLITS)}."
                             f"{did_you_mean(name, SPLITS)}")
        found.setdefault(name, []).append({key: value for key, value in row.items() if key != "split"})
    if "train" not in found:
        raise UsageError(f"{path}: its column split puts no row into train")
    return found


class CSVDataset(FileDataset):
    """Comma-, semicolon- or tab-separated values with a header row."""

    def __init__(self, config: CSVConfig) -> None:
        super().__init__(config)
        self.delimiter = config.delimiter
        if self.delimiter != "auto" and len(self.delimiter) != 1:
            raise UsageError(f"delimiter: got {self.delimiter!r}, allowed: auto, or one character")

    def rows(self) -> Iterator[Example]:
        csv.field_size_limit(LONGEST)
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=self.delimiter if self.delimiter != "auto" else guess_delimiter(first))
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) < len(header) or not all(header):
                index = " Rows that pandas numbers have no name there: save them with index=False" if not header[0] else ""
                raise UsageError(f"{self.path}: its header has empty or repeated names: {', '.join(header)}.{index}")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise UsageError(f"{self.path}: line {reader.line_num} has {len(cells)} cells and the header "
                                     f"{len(header)}; quote cells that hold the delimiter, or name it: --data.delimiter")
                yield dict(zip(header, cells, strict=True))


def guess_delimiter(line: str) -> str:
    """The most frequent of comma, semicolon, tab and bar outside quotes; the comma when there is none."""
    outside = "".join(line.split('"')[::2])
    return max(",;\t|", key=outside.count)


class JSONLinesDataset(FileDataset):
    """One JSON object a line."""

    def rows(self) -> Iterator[Example]:
        with self.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise UsageError(f"{self.path}: line {number} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise UsageError(f"{self.path}: line {number} is not a JSON object")
                yield row


class ParquetDataset(FileDataset):
    """Columns of a Parquet file."""

    def rows(self) -> Iterator[Example]:
        from pyarrow import ArrowInvalid, parquet

        try:
            table: Any = parquet.read_table(self.path)
        except ArrowInvalid as error:
            raise UsageError(f"{self.path}: it is not a Parquet file: {error}") from error
        yield from table.to_pylist()


class TextDataset(FileDataset):
    """Plain text as ``{"text": ...}``: the file, its paragraphs (blank lines between) or its lines."""

    def __init__(self, config: TextFileConfig) -> None:
        super().__init__(config)
        self.by = config.by

    def rows(self) -> Iterator[Example]:
        text = self.path.read_text(encoding="utf-8-sig")
        pieces = {"file": [text], "paragraph": text.split("\n\n"), "line": text.splitlines()}[self.by]
        yield from ({"text": piece} for piece in pieces if piece.strip())
