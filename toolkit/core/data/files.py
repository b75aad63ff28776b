"""Rows from a user's file: CSV, JSON Lines, Parquet, plain text.

Every reader gives one split, ``train``: the task holds a share of it out. A column called ``split``
with the words train, validation, test puts rows where they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.core.base import Example
from toolkit.core.configs import CSVConfig, FileConfig, TextFileConfig
from toolkit.core.rows import Row, csv_rows, fault_of, json_rows, like, not_utf8, number_of, refuse_broken, row_name
from toolkit.errors import UsageError, did_you_mean
from toolkit.files import digest

INDEX = re.compile(r"__index_level_\d+__")  # the column in which pandas keeps the order that a table had once
SPLITS = ("train", "validation", "test")
ALSO = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}


BLANK_LINES = re.compile(r"\n[^\S\n]*\n(?:[^\S\n]+\n)*")  # between paragraphs; blanks may be in them


class FileDataset:
    """Rows of a file as dictionaries from column to value.

    Where people ask about them (``asked``), rows that cannot be read are there too, each with its fault, and columns without a
    name are passed over.
    """

    target: str | None = None
    asked = False

    def __init__(self, config: FileConfig) -> None:
        if not config.path:
            raise UsageError("the data set needs its file: --data FILE, or --data.path FILE")
        self.path, self.limit = Path(config.path), config.limit

    def fingerprint(self) -> str:
        return digest(self.path)

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
            raise UsageError(f"{self.path}: {not_utf8(self.path, error)}") from error
        if not rows:
            raise UsageError(f"{self.path}: it holds no rows")
        if not self.asked:
            faults = {number_of(row, place): why for place, row in enumerate(rows) if (why := fault_of(row))}
            refuse_broken(faults, self.path)
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
    for place, row in enumerate(rows):
        name = split_meant(row.get("split"))
        if name not in SPLITS:
            raise UsageError(f"{path}: {row_name(row, place)} has split {row.get('split')!r}; allowed: {', '.join(SPLITS)}."
                             f"{did_you_mean(name, SPLITS)}")
        found.setdefault(name, []).append(like(row, {key: value for key, value in row.items() if key != "split"}))
    return found


class CSVDataset(FileDataset):
    """Comma-, semicolon- or tab-separated values with a header row."""

    def __init__(self, config: CSVConfig) -> None:
        super().__init__(config)
        self.delimiter = config.delimiter
        if self.delimiter != "auto" and len(self.delimiter) != 1:
            raise UsageError(f"delimiter: got {self.delimiter!r}, allowed: auto, or one character")

    def rows(self) -> Iterator[Example]:
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv_rows(file, self.path, self.delimiter, nameless=self.asked)


class JSONLinesDataset(FileDataset):
    """One JSON object a line."""

    def rows(self) -> Iterator[Example]:
        with self.path.open(encoding="utf-8-sig") as file:
            yield from json_rows(file)


def decoded(cell: Any) -> Any:
    """Bytes, or a list of them, as the text that they are in UTF-8; whatever is none as it is."""
    if isinstance(cell, list):
        return [decoded(item) for item in cell]
    try:
        return cell.decode("utf-8") if isinstance(cell, bytes) else cell
    except UnicodeDecodeError:
        return cell


class ParquetDataset(FileDataset):
    """Columns of a Parquet file, but for pandas' nameless index, its rows counted from 1; text may be in columns of bytes."""

    def rows(self) -> Iterator[Example]:
        from pyarrow import ArrowInvalid, parquet

        try:
            table: Any = parquet.read_table(self.path)
        except ArrowInvalid as error:
            raise UsageError(f"{self.path}: it is not a Parquet file: {error}") from error
        table = table.drop_columns([name for name in table.column_names if INDEX.fullmatch(name)])
        binary = [field.name for field in table.schema if "binary" in str(field.type)]
        for number, row in enumerate(table.to_pylist(), 1):
            yield Row({**row, **{name: decoded(row[name]) for name in binary}}, number)


class TextDataset(FileDataset):
    """Plain text as ``{"text": ...}``: the file, its paragraphs (blank lines between) or its lines.

    Lines end as editors number them and as `toolkit predict` reads them, at \\n, \\r\\n or \\r, and at no other character.
    """

    def __init__(self, config: TextFileConfig) -> None:
        super().__init__(config)
        self.by = config.by

    def rows(self) -> Iterator[Example]:
        text = self.path.read_text(encoding="utf-8-sig")
        if self.by == "line":
            yield from (Row({"text": line}, number) for number, line in enumerate(text.split("\n"), 1) if line.strip())
            return
        pieces = BLANK_LINES.split(text) if self.by == "paragraph" else [text]
        yield from ({"text": piece} for piece in pieces if piece.strip())
