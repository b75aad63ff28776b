"""Rows of files: where each stands, why one cannot be read, and which columns are not read as they were meant.

Row                   the names and values of a row, and its number
csv_rows, json_rows   the rows of an open file; one that cannot be read is there too, with its fault
refuse_broken         the error of whoever needs every row
require_columns       the error for a column that no row has
refuse_unread         the error for a column that is another one but for its spelling
not_utf8              what is wrong with a file whose bytes are no UTF-8

A row's number is the line that an editor shows: the header of a CSV file is row 1.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.core.base import Example
from toolkit.errors import UsageError, did_you_mean

LONGEST = 2**31 - 1  # characters of a cell; Python's own limit, 2**17, is less than a long text
NUL = "it holds NUL characters, which text has none of: take them out, or is the file UTF-16? Save it as UTF-8"
SHOWN = 5  # rows that an error names
MEANINGS = {"split": "what is held out", "start": "where in its file a clip begins", "duration": "how long a clip is"}


class Row(dict[str, Any]):
    """A row of a file, ``number`` the line that it begins in. ``fault`` says why it cannot be read, where it cannot."""

    __slots__ = ("fault", "number")

    def __init__(self, values: Mapping[str, Any], number: int, fault: str | None = None) -> None:
        super().__init__(values)
        self.number, self.fault = number, fault


def like(example: Example, values: Mapping[str, Any]) -> Example:
    """Other ``values`` in the place of ``example``."""
    return Row(values, example.number, example.fault) if isinstance(example, Row) else values


def number_of(example: Example, place: int) -> int:
    """The row's number in its file; of an example that is from none its ``place`` (from 0) in the split, counted from 1."""
    return example.number if isinstance(example, Row) else place + 1


def row_name(example: Example, place: int) -> str:
    """What to call an example in an error."""
    return f"row {number_of(example, place)}"


def fault_of(example: object) -> str | None:
    """Why a row of a file cannot be read, or None."""
    return example.fault if isinstance(example, Row) else None


def listed(numbers: Sequence[int]) -> str:
    """The first of many row numbers."""
    return ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")


def refuse_broken(broken: Mapping[int, str], path: Path, error: type[UsageError] = UsageError) -> None:
    """Raise ``error`` where there are rows, by number, that cannot be read: what is wrong with the first, and which others."""
    if not broken:
        return
    (number, why), *others = broken.items()
    more = f" ({len(others)} more cannot be used: rows {listed([other for other, _ in others])})" if others else ""
    raise error(f"{path}, row {number}: {why}{more}")


def refuse_unread(names: Collection[str], read: Collection[str], whose: str, wanted: Collection[str] = (),
                  advice: str = "", error: type[UsageError] = UsageError) -> None:
    """Raise ``error`` for a column that is one of ``read`` but for its capitals or blanks: it would be passed over in silence.

    One that is ``wanted`` as it is may be. ``advice`` is what else can be done, with ``{name}`` for the column's name.
    """
    for name in sorted(names):
        meant = name.strip().lower()
        if meant in read and meant not in names and name not in wanted:
            raise error(f"{whose} column {name!r} is not read as {meant!r}, which says {MEANINGS[meant]}. Rename it to {meant}"
                        + advice.format(name=name))


def lacked(rows: Iterable[object], wanted: Iterable[str]) -> list[str]:
    """The columns that are ``wanted`` and none of the rows has."""
    present = {name for row in rows if isinstance(row, Mapping) for name in row}
    return [name for name in wanted if name not in present]


def columns_text(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


def require_columns(rows: Collection[object], wanted: Iterable[str], path: Path, why: str, advice: str,
                    error: type[UsageError] = UsageError) -> None:
    """Raise ``error`` where none of the rows has a column that is ``wanted``; lines of text have no columns."""
    names = list(dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row))
    absent = lacked(rows, wanted)
    if names and absent:
        raise error(f"{path}: it has no {columns_text(absent)}, {why}; it has {', '.join(names)}."
                    f"{did_you_mean(absent[0], names)} {advice}")


def csv_rows(lines: Iterable[str], path: Path, delimiter: str = "auto", strict: bool = False,
             nameless: bool = False) -> Iterator[Row]:
    """The rows below the header, whose names lose the blanks around them; ``strict`` is csv's, of quotes within a line.

    Columns without a name are passed over where there may be ``nameless`` ones. Raises UsageError for a header with them
    otherwise, or with repeated names.
    """
    csv.field_size_limit(LONGEST)
    lines = iter(lines)
    first = next(lines, "")
    if delimiter == "auto":
        delimiter = guess_delimiter(first, path.suffix.lower() == ".tsv")
    taken: list[str] = []  # for the row that is read: more than one line where a quoted cell goes on, "" for the file's end

    def given() -> Iterator[str]:
        for line in itertools.chain([first], lines, [""]):
            taken.append(line)
            if line:
                yield line

    reader = csv.reader(given(), strict=strict, delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UsageError(f"{path}, row 1: {unclosed(taken, delimiter) or f'it is not CSV: {error}'}") from error
    if wrong := unclosed(taken, delimiter) or nul_in(taken):
        raise UsageError(f"{path}, row 1: {wrong}")
    names = [name for name in header if name or not nameless]
    if len(set(names)) < len(names) or not all(names):
        index = " Rows that pandas numbers have no name there: save them with index=False" if not header[0] else ""
        raise UsageError(f"{path}: its header has empty or repeated names: {', '.join(header)}.{index}")
    while True:
        number = reader.line_num + 1
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row({}, number, unclosed(taken, delimiter) or f"it is not CSV: {error}")
            continue
        if cells:
            fault = unclosed(taken, delimiter) or nul_in(taken) or (
                None if len(cells) == len(header) else
                f"it has {len(cells)} cells and the header {len(header)}; quote cells that hold the delimiter")
            yield Row({name: cell for name, cell in zip(header, cells, strict=False) if name}, number, fault)


def unclosed(lines: Sequence[str], delimiter: str) -> str | None:
    """What is wrong with a row of several ``lines`` that is one because a quote was not closed, or None."""
    if len(lines) < 2:
        return None
    try:
        for _ in csv.reader(lines, strict=True, delimiter=delimiter):
            pass
    except csv.Error:
        many = len(lines) - 1 if lines[-1] else len(lines) - 2
        rest = f", so that {many} more {'lines' if many > 1 else 'line'} became its text" if many else ""
        return f"a quote that opens in it is not closed{rest}. Close it, or double it where it is meant"
    return None


def nul_in(lines: Sequence[str]) -> str | None:
    return NUL if any("\0" in line for line in lines) else None


def not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """What is wrong with a file that is read as UTF-8, and how to make it that; UTF-16 is told by how it begins."""
    with path.open("rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # Windows-1252 is Latin-1 with letters in the place of control characters.
    form, guess = ("UTF-16", "It is UTF-16, Excel's Unicode text:") if wide else ("CP1252", "Is it Windows-1252 or Latin-1?")
    source, target = (shlex.quote(str(item)) for item in (path, path.with_name(f"utf8{path.suffix}")))
    return f"byte {error.start} is not UTF-8; save the file as UTF-8. {guess} iconv -f {form} -t UTF-8 {source} > {target}"


def guess_delimiter(line: str, of_tabs: bool = False) -> str:
    """The most frequent of comma, semicolon, tab and bar outside quotes; the comma when there is none.

    In a file that is called one ``of_tabs`` the tab, where it has any.
    """
    outside = "".join(line.split('"')[::2])
    if of_tabs and "\t" in outside:
        return "\t"
    return max(",;\t|", key=outside.count)


def json_rows(lines: Iterable[str]) -> Iterator[Row]:
    """The rows of JSON Lines: one object a line, blank lines between them."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield Row({}, number, f"it is not JSON: {error.msg} at column {error.colno}")
            continue
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
            yield Row({}, number, f"it is not JSON that can be read: {error}")
            continue
        if isinstance(row, dict):
            yield Row(row, number)
        else:
            yield Row({}, number, f"a row is an object, names and values in {{}}; got {type(row).__name__}")
