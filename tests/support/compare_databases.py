#!/usr/bin/env python3
"""Compares a SQLite file with the PostgreSQL schema that sluice migrated it into, value by value.

    compare_databases.py SOURCE CONNINFO REPORT_DIRECTORY
    compare_databases.py --self-test

Nothing here shares code with the program under test. The `sqlite3` program reads the source, `psql` the
target, and the conversions are written down a second time below, from the documentation. The only things
taken over are what a user is given: report.json (which column became which, and the figures) and
rejects.jsonl (which rows did not arrive).

Every row of the source must either be in the target, with every value as the conversions say, or hold a
value that no conversion covers and be named in rejects.jsonl; the target must hold nothing else. Rows are a
multiset: tables without a key may hold the same row twice, and then the target must too.

Prints a line per table and the differences, the first few of each table. Exit status: 0 equal,
1 different, 2 no answer (a file is missing, a program failed, a value cannot be read).
"""

import argparse
import collections
import decimal
import hashlib
import json
import marshal
import os
import re
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

DIFFERENCES_SHOWN = 10
TEXT_SHOWN = 120  # characters of a value in a message

# Rounding would hide a difference: enough digits for every numeric there is.
DECIMALS = decimal.Context(prec=200_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)

# Documents nest up to 5000 levels, and the parser recurses.
JSON_DEPTH_MAX = 5000
sys.setrecursionlimit(4 * JSON_DEPTH_MAX)
# A jsonb number may have 131,072 digits before the point.
sys.set_int_max_str_digits(0)


class Trouble(Exception):
    """No answer is possible."""


class Misfit(Exception):
    """The column's type cannot hold the value: the row must have been rejected."""


# ---- the source's values ----

# What a value becomes for the comparison: plain objects that marshal writes in one way only, so that two
# rows are equal when their bytes are.
Canonical = None | bool | int | float | str | bytes


class Cell(NamedTuple):
    """A value as SQLite stores it; text as the bytes of its UTF-8 form."""

    storage: str  # null, integer, real, text, blob
    value: Any


def storage_sql(column: str) -> str:
    """SQL that prints a value without losing any of it: a letter for the class, then digits or hex.

    Not quote(), which stops at a NUL, nor printf(), whose last digit of a double is not always right.
    """
    return (
        f"CASE typeof({column}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {column} "
        f"WHEN 'real' THEN 'r' || hex(ieee754_to_blob({column})) "
        f"WHEN 'text' THEN 't' || hex({column}) ELSE 'b' || hex({column}) END"
    )


def read_cell(field_text: str, encoding: str) -> Cell:
    tag, payload = field_text[:1], field_text[1:]
    if tag == "n":
        return Cell("null", None)
    if tag == "i":
        return Cell("integer", int(payload))
    if tag == "r":
        return Cell("real", struct.unpack(">d", bytes.fromhex(payload))[0])
    if tag == "t":
        text = bytes.fromhex(payload)
        if encoding != "UTF-8":
            text = text.decode(encoding, "replace").encode()
        return Cell("text", text)
    if tag == "b":
        return Cell("blob", bytes.fromhex(payload))
    raise Trouble(f"sqlite3 printed a value that is not one: {field_text[:40]!r}")


def real_text(value: float) -> str:
    """The shortest decimal that reads back as the same double: plain or with an exponent, plain on a tie."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), "nan")
    sign, digits, exponent = decimal.Decimal(repr(value)).as_tuple()
    minus = "-" if sign else ""
    text = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not text:
        return minus + "0"
    exponent += len("".join(map(str, digits))) - len("".join(map(str, digits)).rstrip("0"))
    power = exponent + len(text) - 1
    with_exponent = text[0] + ("." + text[1:] if len(text) > 1 else "") + f"e{power:+03d}"
    if exponent >= 0:
        plain = str(abs(int(value)))  # all digits of the double, where zeros would not be exact
    elif -exponent < len(text):
        plain = text[:exponent] + "." + text[exponent:]
    else:
        plain = "0." + "0" * (-exponent - len(text)) + text
    return minus + (plain if len(plain) <= len(with_exponent) else with_exponent)


def number_text(cell: Cell) -> str:
    return str(cell.value) if cell.storage == "integer" else real_text(cell.value)


def plain_text(cell: Cell) -> str:
    """Text that PostgreSQL can store."""
    if b"\0" in cell.value:
        raise Misfit("nul_character")
    try:
        return cell.value.decode("utf-8")
    except UnicodeDecodeError:
        raise Misfit("invalid_utf8") from None


# ---- one pair of functions per type: a source value, and a value as psql prints it ----


def integer_of(low: int, high: int) -> Callable[[Cell], Canonical]:
    def convert(cell: Cell) -> Canonical:
        if cell.storage == "integer":
            value = cell.value
        elif cell.storage == "real":
            if not -(2.0**63) <= cell.value < 2.0**63:
                raise Misfit("out_of_range")
            value = int(cell.value)
            if value != cell.value:
                raise Misfit("not_exact")
        else:
            raise Misfit("storage_class")
        if not low <= value <= high:
            raise Misfit("out_of_range")
        return value

    return convert


def float_of(cell: Cell) -> Canonical:
    if cell.storage == "real":
        return cell.value
    if cell.storage != "integer":
        raise Misfit("storage_class")
    if abs(cell.value) > 2**53:
        raise Misfit("not_exact")
    return float(cell.value)


def numeric_text(value: decimal.Decimal) -> str:
    return "0" if value.is_zero() else str(value.normalize(DECIMALS))


def numeric_of(cell: Cell) -> Canonical:
    if cell.storage == "integer":
        return numeric_text(decimal.Decimal(cell.value))
    if cell.storage == "real":
        return numeric_text(decimal.Decimal(repr(cell.value)))
    raise Misfit("storage_class")


TRUE_WORDS = {"t", "true", "y", "yes", "on", "1"}
FALSE_WORDS = {"f", "false", "n", "no", "off", "0"}


def boolean_of(cell: Cell) -> Canonical:
    if cell.storage in ("integer", "real") and cell.value in (0, 1):
        return cell.value == 1
    if cell.storage == "text" and cell.value.isascii():
        word = cell.value.decode().lower()
        if word in TRUE_WORDS or word in FALSE_WORDS:
            return word in TRUE_WORDS
    raise Misfit("storage_class" if cell.storage == "blob" else "not_a_boolean")


def text_of(cell: Cell) -> Canonical:
    if cell.storage == "blob":
        raise Misfit("storage_class")
    return plain_text(cell) if cell.storage == "text" else number_text(cell)


def bytes_of(cell: Cell) -> Canonical:
    if cell.storage not in ("blob", "text"):
        raise Misfit("storage_class")
    return cell.value


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, for any year; 0 is 1 BC."""
    lengths = [31, 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28, 31, 30, 31, 30]
    lengths += [31, 31, 30, 31, 30, 31]
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        raise Misfit("not_a_date")
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + sum(lengths[: month - 1]) + day - 719163


DATE = r"(?P<year>\d{4}|[+-]\d{4,7})-(?P<month>\d\d)-(?P<day>\d\d)"
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
ZONE = r"(?P<zone>(?: \+0000 UTC)| ?(?:[Zz]|[+-]\d\d(?::?\d\d)?))"
DATE_PATTERN = re.compile(DATE, re.ASCII)
TIME_PATTERN = re.compile(TIME, re.ASCII)
TIMESTAMP_PATTERN = re.compile(f"{DATE}(?:[ T]{TIME}{ZONE}?)?", re.ASCII)

MICROSECONDS_A_DAY = 86_400_000_000
DAYS_FIRST = days_of(-4713, 11, 24)
DAYS_LAST = days_of(5874897, 12, 31)
TIMESTAMP_END = days_of(294277, 1, 1) * MICROSECONDS_A_DAY


def match_text(pattern: re.Pattern[str], cell: Cell, reason: str) -> re.Match[str]:
    if cell.storage != "text":
        raise Misfit("storage_class")
    found = pattern.fullmatch(cell.value.decode("latin-1"))
    if found is None:
        raise Misfit(reason)
    return found


def date_of_match(found: re.Match[str]) -> int:
    return days_of(int(found["year"]), int(found["month"]), int(found["day"]))


def time_of_match(found: re.Match[str]) -> int:
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    fraction = found["fraction"] or ""
    if hour > 23 or minute > 59 or second > 59 or fraction[6:].strip("0"):
        raise Misfit("not_a_time")
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def date_of(cell: Cell) -> Canonical:
    days = date_of_match(match_text(DATE_PATTERN, cell, "not_a_date"))
    if not DAYS_FIRST <= days <= DAYS_LAST:
        raise Misfit("not_a_date")
    return days


def time_of(cell: Cell) -> Canonical:
    return time_of_match(match_text(TIME_PATTERN, cell, "not_a_time"))


def zone_seconds(zone: str) -> int:
    zone = zone.removesuffix(" UTC").strip().replace(":", "")
    if zone in ("Z", "z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:] or 0)
    if hours > 15 or minutes > 59:
        raise Misfit("not_a_timestamp")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def timestamp_of(zoned: bool) -> Callable[[Cell], Canonical]:
    def convert(cell: Cell) -> Canonical:
        found = match_text(TIMESTAMP_PATTERN, cell, "not_a_timestamp")
        try:
            moment = date_of_match(found) * MICROSECONDS_A_DAY
            if found["hour"] is not None:
                moment += time_of_match(found)
            if found["zone"] is not None:
                moment -= zone_seconds(found["zone"]) * 1_000_000
        except Misfit:
            raise Misfit("not_a_timestamp") from None
        if not DAYS_FIRST * MICROSECONDS_A_DAY <= moment < TIMESTAMP_END:
            raise Misfit("not_a_timestamp")
        if (found["zone"] is not None) != zoned:
            raise Misfit("zone_missing" if zoned else "zone_not_expected")
        return moment

    return convert


def refuse_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are not JSON


def nesting_of(text: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text, re.DOTALL):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def parse_json(text: str, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    if text.count("[") + text.count("{") > JSON_DEPTH_MAX and nesting_of(text) > JSON_DEPTH_MAX:
        raise Misfit("invalid_json")
    try:
        return json.loads(
            text,
            parse_float=decimal.Decimal,
            parse_int=decimal.Decimal,
            parse_constant=refuse_constant,
            object_pairs_hook=pairs_hook,
        )
    except ValueError:
        raise Misfit("invalid_json") from None


def json_of(cell: Cell) -> Canonical:
    if cell.storage == "blob":
        raise Misfit("storage_class")
    if cell.storage == "text":
        text = plain_text(cell)
        parse_json(text)
        return text
    if cell.value in (float("inf"), float("-inf")):
        raise Misfit("out_of_range")
    return number_text(cell)


def distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Misfit("jsonb_would_change")
    return members


def jsonb_form(value: Any) -> str:
    """A document in one spelling: members sorted, numbers by value."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{jsonb_form(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jsonb_form, value)) + "]"
    if isinstance(value, decimal.Decimal):
        return numeric_text(value)
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise Misfit("jsonb_would_change")
    return json.dumps(value)


def jsonb_of(cell: Cell) -> Canonical:
    text = json_of(cell)
    assert isinstance(text, str)
    return jsonb_form(parse_json(text, distinct_members))


UUID_PATTERN = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def uuid_of(cell: Cell) -> Canonical:
    if cell.storage != "text":
        raise Misfit("storage_class")
    text = cell.value.decode("latin-1").lower()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if UUID_PATTERN.fullmatch(text) is None:
        raise Misfit("not_a_uuid")
    return text.replace("-", "")


def printed_boolean(text: str) -> Canonical:
    return {"t": True, "f": False}[text]


def printed_bytes(text: str) -> Canonical:
    if not text.startswith("\\x"):
        raise ValueError(text)
    return bytes.fromhex(text[2:])


def printed_date_match(text: str, pattern: re.Pattern[str]) -> tuple[re.Match[str], int]:
    """PostgreSQL prints years BC as such: 1 BC is year 0."""
    before_christ = text.endswith(" BC")
    found = pattern.fullmatch(text.removesuffix(" BC"))
    if found is None:
        raise ValueError(text)
    year = int(found["year"])
    return found, days_of(1 - year if before_christ else year, int(found["month"]), int(found["day"]))


PRINTED_DATE = DATE.replace(r"\d{4}|[+-]\d{4,7}", r"\d{4,7}")
PRINTED_DATE_PATTERN = re.compile(PRINTED_DATE, re.ASCII)
PRINTED_TIMESTAMP_PATTERN = re.compile(rf"{PRINTED_DATE} {TIME}(?P<zone>\+00)?", re.ASCII)


def printed_date(text: str) -> Canonical:
    return printed_date_match(text, PRINTED_DATE_PATTERN)[1]


def printed_time(text: str) -> Canonical:
    found = TIME_PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return time_of_match(found)


def printed_timestamp(zoned: bool) -> Callable[[str], Canonical]:
    def convert(text: str) -> Canonical:
        found, days = printed_date_match(text, PRINTED_TIMESTAMP_PATTERN)
        if (found["zone"] is not None) != zoned:
            raise ValueError(text)
        return days * MICROSECONDS_A_DAY + time_of_match(found)

    return convert


class TypeRules(NamedTuple):
    of_source: Callable[[Cell], Canonical]
    of_target: Callable[[str], Canonical]


TYPES = {
    "smallint": TypeRules(integer_of(-(2**15), 2**15 - 1), int),
    "integer": TypeRules(integer_of(-(2**31), 2**31 - 1), int),
    "bigint": TypeRules(integer_of(-(2**63), 2**63 - 1), int),
    "double precision": TypeRules(float_of, float),
    "numeric": TypeRules(numeric_of, lambda text: numeric_text(decimal.Decimal(text))),
    "boolean": TypeRules(boolean_of, printed_boolean),
    "text": TypeRules(text_of, str),
    "bytea": TypeRules(bytes_of, printed_bytes),
    "date": TypeRules(date_of, printed_date),
    "time without time zone": TypeRules(time_of, printed_time),
    "timestamp without time zone": TypeRules(timestamp_of(False), printed_timestamp(False)),
    "timestamp with time zone": TypeRules(timestamp_of(True), printed_timestamp(True)),
    "json": TypeRules(json_of, str),
    "jsonb": TypeRules(jsonb_of, lambda text: jsonb_form(parse_json(text))),
    "uuid": TypeRules(uuid_of, lambda text: text.replace("-", "")),
}


# ---- rows ----


def digest_of(row: list[Canonical]) -> bytes:
    """Equal for equal rows. Version 2 of marshal writes every value in one way: no references, no interning;
    -0.0 is not 0.0, and 1 is not 1.0."""
    return hashlib.blake2b(marshal.dumps(row, 2), digest_size=16).digest()


class ColumnReader:
    """Converts the values of one column, remembering short ones: most columns repeat themselves."""

    ENTRIES_MAX = 10_000
    LENGTH_MAX = 80

    def __init__(self, convert: Callable[[Any], Canonical]):
        self.convert = convert
        self.known: dict[Any, Canonical] = {}

    def __call__(self, raw: Any) -> Canonical:
        known = self.known
        if raw in known:
            return known[raw]
        value = self.convert(raw)
        if len(raw) <= self.LENGTH_MAX:
            if len(known) >= self.ENTRIES_MAX:
                known.clear()
            known[raw] = value
        return value


@dataclass
class Column:
    source: str
    target: str
    type: str
    not_null: bool = False


@dataclass
class Table:
    source: str
    schema: str
    target: str
    columns: list[Column]
    reported: dict[str, Any]
    # How a row is named in rejects.jsonl: the source's primary key, else the rowid, else not at all.
    key: list[str] = field(default_factory=list)
    rowid_name: str = ""


class Reject(NamedTuple):
    """What rejects.jsonl says of a row; `key` as JSON with sorted members."""

    key: str
    column: str
    storage: str
    length: int
    hex: str
    reason: str


HEX_BYTES_MAX = 64


def key_value(cell: Cell) -> Any:
    if cell.storage == "text":
        try:
            return plain_text(cell)
        except Misfit:
            return {"hex": cell.value.hex()}
    if cell.storage == "blob":
        return {"hex": cell.value.hex()}
    if cell.storage == "real" and cell.value in (float("inf"), float("-inf")):
        return real_text(cell.value)
    return cell.value


def key_json(key: Any) -> str:
    return json.dumps(key, sort_keys=True)


class SourceRows:
    """Reads the rows of one table as the sqlite3 program prints them."""

    def __init__(self, table: Table, encoding: str):
        self.table = table
        self.encoding = encoding
        self.readers = [
            ColumnReader(self.converter(column, TYPES[column.type].of_source)) for column in table.columns
        ]
        self.key_places = [[column.source for column in table.columns].index(name) for name in table.key]

    def converter(self, column: Column, of_source: Callable[[Cell], Canonical]) -> Callable[[str], Canonical]:
        def convert(raw: str) -> Canonical:
            if raw == "n":
                if column.not_null:
                    raise Misfit("null_not_allowed")
                return None
            return of_source(read_cell(raw, self.encoding))

        return convert

    def select(self) -> str:
        parts = [storage_sql(quoted(column.source)) for column in self.table.columns]
        if self.table.rowid_name:
            parts.append(self.table.rowid_name)
        return f"SELECT {', '.join(parts)} FROM {self.source_name()};"

    def source_name(self) -> str:
        """NOT INDEXED, since an index may need a collation that only the application has."""
        return f"main.{quoted(self.table.source)} NOT INDEXED"

    def convert(self, line: str) -> list[Canonical] | Reject:
        fields = line.split("|")
        row: list[Canonical] = []
        for place, reader in enumerate(self.readers):
            try:
                row.append(reader(fields[place]))
            except Misfit as misfit:
                return self.reject(fields, place, str(misfit))
        return row

    def reject(self, fields: list[str], place: int, reason: str) -> Reject:
        key: dict[str, Any] | None = None
        if self.key_places:
            key = {
                self.table.columns[at].source: key_value(read_cell(fields[at], self.encoding))
                for at in self.key_places
            }
        elif self.table.rowid_name:
            key = {"rowid": int(fields[-1])}
        cell = read_cell(fields[place], self.encoding)
        if cell.storage in ("integer", "real"):
            value = number_text(cell).encode()
        else:
            value = cell.value or b""
        column = self.table.columns[place].source
        return Reject(
            key_json(key), column, cell.storage, len(value), value[:HEX_BYTES_MAX].hex(), reason
        )


UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
ESCAPE_PATTERN = re.compile(r"\\(.)", re.DOTALL)


def unescape(text: str) -> str:
    """The text form of COPY."""
    return ESCAPE_PATTERN.sub(lambda found: UNESCAPED[found[1]], text)


class TargetRows:
    """Reads the rows of one table as psql prints a COPY."""

    def __init__(self, table: Table):
        self.table = table
        self.readers = [ColumnReader(self.converter(TYPES[column.type].of_target)) for column in table.columns]

    @staticmethod
    def converter(of_target: Callable[[str], Canonical]) -> Callable[[bytes], Canonical]:
        def convert(raw: bytes) -> Canonical:
            if raw == b"\\N":
                return None
            text = raw.decode("utf-8")
            return of_target(unescape(text) if "\\" in text else text)

        return convert

    def select(self) -> str:
        columns = ", ".join(quoted(column.target) for column in self.table.columns)
        return f"COPY {quoted(self.table.schema)}.{quoted(self.table.target)} ({columns}) TO STDOUT;"

    def convert(self, line: bytes) -> list[Canonical]:
        try:
            return [reader(raw) for reader, raw in zip(self.readers, line.split(b"\t"), strict=True)]
        except (ValueError, KeyError, decimal.InvalidOperation, Misfit) as error:
            raise Trouble(f"cannot read what psql printed of {self.table.target}: {error!r}") from error


# ---- the two programs ----


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Program:
    """sqlite3 or psql running a script, read as sections of lines that end with a mark of ours."""

    def __init__(self, arguments: list[str], script: str, mark: str, environment: dict[str, str] | None = None):
        self.mark = mark.encode()
        self.name = arguments[0]
        self.errors = tempfile.TemporaryFile()
        # The script is a file, not a pipe: whoever writes to a pipe and reads from another may wait for ever.
        with tempfile.TemporaryFile() as script_file:
            script_file.write(script.encode())
            script_file.seek(0)
            try:
                self.process = subprocess.Popen(
                    arguments,
                    stdin=script_file,
                    stdout=subprocess.PIPE,
                    stderr=self.errors,
                    bufsize=1 << 20,
                    env={**os.environ, **(environment or {})},
                )
            except OSError as error:
                raise Trouble(f"cannot run {arguments[0]}: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """The lines up to the next mark."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            line = line[:-1]
            if line == self.mark:
                return
            yield line
        self.process.wait()
        raise Trouble(f"{self.name} stopped early: {self.error_text()}")

    def error_text(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()
        status = self.process.wait()
        errors = self.error_text()
        self.errors.close()
        if status != 0 or errors:
            raise Trouble(f"{self.name} ended with status {status}: {errors}")


@dataclass
class Databases:
    source: Path
    conninfo: str

    def ask_source(self, statements: list[str]) -> Program:
        """Each statement is a section. Read only: a writer would checkpoint the write-ahead log away."""
        mark = f"end of section {uuid.uuid4()}"
        script = ".mode list\n.separator | \\n\n" + "".join(f"{sql}\n.print {mark}\n" for sql in statements)
        return Program(["sqlite3", "-batch", "-bail", "-readonly", str(self.source)], script, mark)

    def ask_target(self, statements: list[str]) -> Program:
        mark = f"end of section {uuid.uuid4()}"
        script = "".join(f"{sql}\n\\echo {mark}\n" for sql in statements)
        environment = {
            "PGCLIENTENCODING": "UTF8",
            "PGOPTIONS": "-c datestyle=ISO,YMD -c timezone=UTC -c bytea_output=hex -c extra_float_digits=1"
            " -c search_path=pg_catalog",
        }
        arguments = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo]
        return Program(arguments, script, mark, environment)

    def source_json(self, statements: list[str]) -> list[list[Any]]:
        """For questions about the schema: each row is one JSON value, so that names may hold anything."""
        program = self.ask_source(statements)
        answers = [[json.loads(line) for line in program.lines()] for _ in statements]
        program.close()
        return answers


# ---- the schema ----


OWN_CONTENT = re.compile(r"using\s+(fts[345]|rtree|rtree_i32)\b(?![\s\S]*\bcontent\w*\s*=)", re.IGNORECASE)


def read_tables(databases: Databases, report: dict[str, Any], problems: list[str]) -> tuple[list[Table], str]:
    """The tables of the report, held against both catalogs; and the encoding of the source."""
    encoding_rows, listed, virtual = databases.source_json(
        [
            "SELECT json_quote(encoding) FROM pragma_encoding;",
            "SELECT json_array(name, wr) FROM pragma_table_list"
            " WHERE schema = 'main' AND type = 'table' AND lower(name) NOT GLOB 'sqlite_*';",
            "SELECT json_array(name, sql) FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%';",
        ]
    )
    without_rowid = {name: bool(wr) for name, wr in listed}
    # Virtual tables with rows of their own: the rowid, or the first column of an R-tree, is their key.
    modules = {name: found[1].lower() for name, sql in virtual if (found := OWN_CONTENT.search(sql))}
    without_rowid |= {name: False for name in modules}
    reported = {entry["source"]: entry for entry in report["tables"]}
    for name in without_rowid.keys() - reported.keys():
        problems.append(f"table {name} of the source is not in the report")
    for name in reported.keys() - without_rowid.keys():
        problems.append(f"table {name} of the report is not a table of the source")
    names = [name for name in reported if name in without_rowid]
    literals = ["'" + name.replace("'", "''") + "'" for name in names]
    columns_of = databases.source_json(
        [
            f"SELECT json_array(name, \"notnull\", pk) FROM pragma_table_xinfo({literal})"
            " WHERE hidden <> 1 ORDER BY cid;"
            for literal in literals
        ]
    )
    types = target_types(databases)

    tables = []
    for name, columns in zip(names, columns_of, strict=True):
        entry = reported[name]
        if name in modules:
            if modules[name].startswith("fts"):
                columns = [["rowid", 1, 1], *columns]
            else:
                columns[0][1:] = [1, 1]
        key = [column for _, column in sorted((pk, column) for column, _, pk in columns if pk > 0)]
        not_null = {column for column, required, pk in columns if required or (pk and without_rowid[name])}
        taken = {column.lower() for column, *_ in columns}
        rowid_names = [] if without_rowid[name] else [n for n in ("rowid", "_rowid_", "oid") if n not in taken]
        table = Table(
            source=name,
            schema=entry["schema"],
            target=entry["target"],
            columns=[
                Column(c["source"], c["target"], c["type"], c["source"] in not_null) for c in entry["columns"]
            ],
            reported=entry,
            key=key,
            rowid_name=rowid_names[0] if rowid_names else "",
        )
        if [column.source for column in table.columns] != [column for column, *_ in columns]:
            problems.append(f"table {name}: the report's columns are not those of the source")
            continue
        in_target = types.get((table.schema, table.target))
        if in_target != [[column.target, column.type] for column in table.columns]:
            problems.append(f"table {name}: the report's columns are not those of the target: {in_target}")
            continue
        unknown = {column.type for column in table.columns} - TYPES.keys()
        if unknown:
            raise Trouble(f"no rules for type {', '.join(unknown)} of table {name}")
        tables.append(table)
    return tables, {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}.get(encoding_rows[0], "UTF-8")


def target_types(databases: Databases) -> dict[tuple[str, str], list[list[str]]]:
    """Columns and types of every ordinary table, from the catalog."""
    program = databases.ask_target(
        [
            "COPY (SELECT json_build_array(n.nspname, c.relname, json_agg(json_build_array(a.attname,"
            " format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum))"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relkind = 'r' GROUP BY n.nspname, c.relname) TO STDOUT;"
        ]
    )
    types = {}
    for line in program.lines():
        schema, name, columns = json.loads(unescape(line.decode()))
        types[schema, name] = columns
    program.close()
    return types


def read_rejects(directory: Path, problems: list[str]) -> dict[str, collections.Counter[Reject]]:
    rejects: dict[str, collections.Counter[Reject]] = collections.defaultdict(collections.Counter)
    path = directory / "rejects.jsonl"
    if not path.exists():
        return rejects
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            reject = Reject(
                key_json(record["key"]),
                record["column"],
                record["storage_class"],
                record["length"],
                record["hex"],
                record["reason"],
            )
            rejects[record["table"]][reject] += 1
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"rejects.jsonl, line {number}: {error!r}")
    return rejects


# ---- the comparison ----


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + f"... ({len(text)} characters)"


@dataclass
class Comparison:
    """One table: rows seen on either side, as they come."""

    table: Table
    rejects: collections.Counter[Reject]
    balance: collections.Counter[bytes] = field(default_factory=collections.Counter)
    must_reject: collections.Counter[Reject] = field(default_factory=collections.Counter)
    rows_source: int = 0
    rows_target: int = 0

    def add_source(self, row: list[Canonical] | Reject) -> None:
        self.rows_source += 1
        if isinstance(row, Reject):
            self.must_reject[row] += 1
        else:
            self.balance[digest_of(row)] += 1

    def add_target(self, row: list[Canonical]) -> None:
        self.rows_target += 1
        digest = digest_of(row)
        left = self.balance[digest] - 1
        if left == 0:
            del self.balance[digest]  # what is left at the end is what differs
        else:
            self.balance[digest] = left

    def problems(self, counted_source: int, counted_target: int) -> list[str]:
        found = []
        rejected = self.rejects.total()
        for what, expected, actual in [
            ("rows the sqlite3 program printed and counted", counted_source, self.rows_source),
            ("rows psql printed and counted", counted_target, self.rows_target),
            ("rows of the source and of the target with rejects", counted_source, counted_target + rejected),
            ("rows_source of the report", counted_source, self.table.reported["rows_source"]),
            ("rows_loaded of the report", counted_target, self.table.reported["rows_loaded"]),
            ("rows_rejected of the report", rejected, self.table.reported["rows_rejected"]),
        ]:
            if expected != actual:
                found.append(f"{what}: {expected} and {actual}")
        for reject in (self.rejects - self.must_reject).elements():
            found.append(f"rejected, but not as the rules say: {shown(tuple(reject))}")
        for reject in (self.must_reject - self.rejects).elements():
            found.append(f"no type can hold it, but it is not in rejects.jsonl: {shown(tuple(reject))}")
        return found


def compare_tables(
    databases: Databases, tables: list[Table], encoding: str, rejects: dict[str, collections.Counter[Reject]]
) -> bool:
    """True when every table is equal. One process a side reads all tables, as hundreds of starts add up."""
    readers = [(SourceRows(table, encoding), TargetRows(table)) for table in tables]
    source_questions: list[str] = []
    target_questions: list[str] = []
    for source, target in readers:
        source_questions += [f"SELECT count(*) FROM {source.source_name()};", source.select()]
        name = f"{quoted(source.table.schema)}.{quoted(source.table.target)}"
        target_questions += [f"SELECT count(*) FROM {name};", target.select()]
    from_source = databases.ask_source(source_questions)
    from_target = databases.ask_target(target_questions)

    equal = True
    for source, target in readers:
        table = source.table
        comparison = Comparison(table, rejects.pop(table.source, collections.Counter()))
        counted_source = int("".join(line.decode() for line in from_source.lines()))
        for line in from_source.lines():
            comparison.add_source(source.convert(line.decode("ascii")))
        counted_target = int("".join(line.decode() for line in from_target.lines()))
        for raw in from_target.lines():
            comparison.add_target(target.convert(raw))
        problems = comparison.problems(counted_source, counted_target)
        if comparison.balance:
            problems += describe_rows(databases, source, target, comparison.balance)
        equal = equal and not problems
        rejected = f", {counted_source - counted_target} rejected" if comparison.must_reject else ""
        print(f"{'different' if problems else 'equal'}: {table.source}: {counted_target} rows{rejected}")
        print_problems(problems)
    from_source.close()
    from_target.close()
    for name in rejects:
        print(f"rejects.jsonl names the table {name}, which was not compared")
        equal = False
    return equal


def describe_rows(
    databases: Databases, source: SourceRows, target: TargetRows, balance: collections.Counter[bytes]
) -> list[str]:
    """Reads one table again to say which rows are missing and which are extra. Where a primary key pairs them
    up, only the columns that differ are named."""
    missing: list[list[Canonical]] = []
    extra: list[list[Canonical]] = []
    program = databases.ask_source([source.select()])
    for line in program.lines():
        row = source.convert(line.decode("ascii"))
        if not isinstance(row, Reject) and balance[digest_of(row)] > 0 and len(missing) < DIFFERENCES_SHOWN:
            missing.append(row)
    program.close()
    program = databases.ask_target([target.select()])
    for raw in program.lines():
        row = target.convert(raw)
        if balance[digest_of(row)] < 0 and len(extra) < DIFFERENCES_SHOWN:
            extra.append(row)
    program.close()

    columns = source.table.columns
    found = []
    for row in list(missing):
        key = [row[place] for place in source.key_places]
        pairs = [other for other in extra if key and [other[place] for place in source.key_places] == key]
        if not pairs:
            continue
        missing.remove(row)
        extra.remove(pairs[0])
        for column, wanted, actual in zip(columns, row, pairs[0], strict=True):
            if marshal.dumps(wanted, 2) != marshal.dumps(actual, 2):
                found.append(f"key {shown(key)}, {column.source}: {shown(wanted)} became {shown(actual)}")
    found += [f"missing in the target: {shown(row)}" for row in missing]
    found += [f"only in the target: {shown(row)}" for row in extra]
    left = sum(map(abs, balance.values()))
    return found + [f"rows without a counterpart on the other side: {left}"]


def print_problems(problems: list[str]) -> None:
    for problem in problems[:DIFFERENCES_SHOWN]:
        print(f"  {problem}")
    if len(problems) > DIFFERENCES_SHOWN:
        print(f"  and {len(problems) - DIFFERENCES_SHOWN} more")


def compare(source: Path, conninfo: str, report_directory: Path) -> bool:
    try:
        report = json.loads((report_directory / "report.json").read_bytes())
    except (OSError, ValueError) as error:
        raise Trouble(f"cannot read the report: {error}") from error
    if not source.exists():
        raise Trouble(f"no file {source}")
    problems: list[str] = []
    databases = Databases(source, conninfo)
    rejects = read_rejects(report_directory, problems)
    tables, encoding = read_tables(databases, report, problems)
    equal = compare_tables(databases, tables, encoding, rejects)
    if problems:
        print("different: the schema or the report")
        print_problems(problems)
    return equal and not problems


# ---- self-test ----


class Sample(NamedTuple):
    type: str
    source: str  # as storage_sql() prints it
    target: str  # as psql prints it, unescaped
    others: tuple[str, ...]  # what else psql could print, of which none is equal


def as_text(text: str) -> str:
    return "t" + text.encode().hex()


def as_real(value: float) -> str:
    return "r" + struct.pack(">d", value).hex()


SAMPLES = [
    Sample("bigint", "i9223372036854775807", "9223372036854775807", ("9223372036854775806", "\\N")),
    Sample("bigint", as_real(-0.0), "0", ("1",)),
    Sample("smallint", "i-32768", "-32768", ("32767",)),
    Sample("double precision", as_real(0.1), "0.1", ("0.10000000000000002", "0.09999999999999999")),
    Sample("double precision", as_real(-0.0), "-0", ("0",)),
    Sample("double precision", as_real(float("-inf")), "-Infinity",
           ("Infinity", "NaN", "-1.7976931348623157e+308")),
    Sample("double precision", as_real(5e-324), "5e-324", ("0", "1e-323")),
    Sample("double precision", "i9007199254740992", "9007199254740992", ("9007199254740994",)),
    Sample("numeric", as_real(1230.99), "1230.9900", ("1230.98", "1230.990000000000009")),
    Sample("numeric", as_real(1e23), "100000000000000000000000", ("99999999999999991611392", "NaN")),
    Sample("numeric", "i-9223372036854775808", "-9223372036854775808", ("9223372036854775808",)),
    Sample("boolean", as_text("Yes"), "t", ("f", "\\N")),
    Sample("boolean", as_real(0.0), "f", ("t",)),
    Sample("text", as_text(""), "", ("\\N", " ")),
    Sample("text", as_text("\\N"), "\\\\N", ("\\N", "N")),
    Sample("text", as_text("a\tb\r\n\\. \U0001f600"), "a\\tb\\r\\n\\\\. \U0001f600",
           ("a\\tb\\n\\\\. \U0001f600",)),
    Sample("text", as_real(1e23), "1e+23", ("1E+23", "100000000000000000000000")),
    Sample("text", as_real(100000.0), "1e+05", ("100000.0", "100000")),
    Sample("text", as_real(1000.0), "1000", ("1000.0", "1e+03")),
    Sample("text", as_real(0.001), "0.001", ("1e-03",)),
    Sample("text", as_real(0.0001), "1e-04", ("0.0001",)),
    Sample("text", as_text("\u00e9"), "\u00e9", ("e\u0301", "\u00c9")),
    Sample("bytea", "b00FF5C", "\\\\x00ff5c", ("\\\\x00ff5d", "\\\\x00ff", "\\\\x")),
    Sample("bytea", as_text("AB"), "\\\\x4142", ("\\\\x6142",)),
    Sample("date", as_text("2024-02-29"), "2024-02-29", ("2024-03-01",)),
    Sample("date", as_text("-0043-03-15"), "0044-03-15 BC", ("0043-03-15 BC", "0044-03-15")),
    Sample("date", as_text("+12345-01-01"), "12345-01-01", ("12345-01-02",)),
    Sample("time without time zone", as_text("12:34"), "12:34:00", ("12:34:00.000001",)),
    Sample("timestamp without time zone", as_text("1999-12-31T23:59:59.9999990"), "1999-12-31 23:59:59.999999",
           ("2000-01-01 00:00:00", "1999-12-31 23:59:59.999998")),
    Sample("timestamp without time zone", as_text("1970-01-01"), "1970-01-01 00:00:00",
           ("1970-01-01 01:00:00",)),
    Sample("timestamp with time zone", as_text("2024-03-01 00:30:00.25+02:00"), "2024-02-29 22:30:00.25+00",
           ("2024-03-01 00:30:00.25+00",)),
    Sample("timestamp with time zone", as_text("2024-03-01 00:30:00 +0000 UTC"), "2024-03-01 00:30:00+00",
           ("2024-03-01 00:30:01+00",)),
    Sample("json", as_text('{"a":  1}'), '{"a":  1}', ('{"a": 1}',)),
    Sample("json", as_real(0.5), "0.5", ("0.50",)),
    Sample("jsonb", as_text('{"b": 1.50, "a": [true, null, "\\u0041"]}'), '{"a": [true, null, "A"], "b": 1.50}',
           ('{"a": [true, null, "a"], "b": 1.50}', '{"a": [true, null, "A"], "b": 1.51}',
            '{"a": [null, true, "A"], "b": 1.50}')),
    Sample("uuid", as_text("{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
           ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",)),
]  # fmt: skip

# Type, value, reason.
MISFITS = [
    ("bigint", as_text("1"), "storage_class"),
    ("bigint", as_real(1.5), "not_exact"),
    ("bigint", as_real(2.0**63), "out_of_range"),
    ("smallint", "i32768", "out_of_range"),
    ("double precision", "i9007199254740993", "not_exact"),
    ("numeric", as_text("12,50"), "storage_class"),
    ("boolean", "i2", "not_a_boolean"),
    ("boolean", as_text("tr"), "not_a_boolean"),
    ("text", as_text("a\0b"), "nul_character"),
    ("text", "tEDA080", "invalid_utf8"),
    ("text", "b00", "storage_class"),
    ("bytea", "i1", "storage_class"),
    ("date", as_text("2023-02-29"), "not_a_date"),
    ("date", as_text("2023-02-28 "), "not_a_date"),
    ("date", "i2023", "storage_class"),
    ("time without time zone", as_text("24:00:00"), "not_a_time"),
    ("timestamp without time zone", as_text("2024-01-01 00:00:00Z"), "zone_not_expected"),
    ("timestamp with time zone", as_text("2024-01-01 00:00:00"), "zone_missing"),
    ("timestamp with time zone", as_text("2024-01-01 00:00:60"), "not_a_timestamp"),
    ("timestamp with time zone", as_text("294276-12-31 23:59:59-01:00"), "not_a_timestamp"),
    ("json", as_text("{'a': 1}"), "invalid_json"),
    ("json", as_text("[NaN]"), "invalid_json"),
    ("json", as_text("[" * 5001 + "]" * 5001), "invalid_json"),
    ("jsonb", as_text('{"a": 1, "a": 2}'), "jsonb_would_change"),
    ("uuid", as_text("urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "not_a_uuid"),
]


def self_test() -> list[str]:
    """Every corruption of a value, a row or a reject must be seen, and nothing else."""
    failures: list[str] = []

    def expect(condition: bool, what: str) -> None:
        if not condition:
            failures.append(what)

    def table_of(type_name: str) -> Table:
        columns = [Column("id", "id", "bigint"), Column("c", "c", type_name)]
        return Table("t", "public", "t", columns, {}, ["id"])

    def outcome(
        table: Table, source_lines: list[str], target_lines: list[bytes], rejected: list[Reject] | None = None
    ) -> list[str]:
        rejects = collections.Counter(rejected or [])
        count = len(source_lines)
        table.reported = {
            "rows_source": count, "rows_loaded": count - rejects.total(), "rows_rejected": rejects.total()
        }  # fmt: skip
        comparison = Comparison(table, rejects)
        source, target = SourceRows(table, "UTF-8"), TargetRows(table)
        for line in source_lines:
            comparison.add_source(source.convert(line))
        for raw in target_lines:
            comparison.add_target(target.convert(raw))
        return comparison.problems(count, len(target_lines)) + [str(d) for d in comparison.balance.values()]

    for sample in SAMPLES:
        table = table_of(sample.type)
        right = [f"1\t{sample.target}".encode()]
        found = outcome(table, [f"i1|{sample.source}"], right)
        expect(not found, f"{sample}: {found}")
        for other in sample.others:
            found = outcome(table, [f"i1|{sample.source}"], [f"1\t{other}".encode()])
            expect(bool(found), f"{sample}: {other} was not seen")
        expect(bool(outcome(table, ["i1|n"], right)), f"{sample}: NULL was not seen")
        expect(not outcome(table, ["i1|n"], [b"1\t\\N"]), f"{sample.type}: NULL and NULL differ")
        expect(bool(outcome(table, [f"i2|{sample.source}"], right)), f"{sample}: another key was not seen")

    for type_name, value, reason in MISFITS:
        table = table_of(type_name)
        row = SourceRows(table, "UTF-8").convert(f"i7|{value}")
        expect(isinstance(row, Reject) and row.reason == reason, f"{type_name} {value[:40]}: {row}")
        if not isinstance(row, Reject):
            continue
        expect(not outcome(table, [f"i7|{value}"], [], [row]), f"{type_name} {value[:40]}: an honest reject")
        expect(bool(outcome(table, [f"i7|{value}"], [])), f"{type_name} {value[:40]}: lost without a reject")
        for wrong in [row._replace(key=key_json({"id": 8})), row._replace(column="id"),
                      row._replace(length=row.length + 1), row._replace(reason="none")]:  # fmt: skip
            expect(bool(outcome(table, [f"i7|{value}"], [], [wrong])), f"{wrong} was not seen")

    # Rows: lost, twice, exchanged values, and the same row several times.
    table = table_of("text")
    source = ["i1|t61", "i2|t62", "i2|t62"]
    target = [b"1\ta", b"2\tb", b"2\tb"]
    expect(not outcome(table, source, target[::-1]), "the order of rows is of no meaning")
    exchanged = [b"1\tb", b"2\ta", b"2\tb"]
    for wrong in [target[:2], target + target[:1], exchanged, [target[0], target[0], target[1]]]:
        expect(bool(outcome(table, source, wrong)), f"{wrong} was not seen")
    good_reject = Reject(key_json({"id": 1}), "c", "text", 1, "61", "invalid_utf8")
    expect(bool(outcome(table, source, target[1:], [good_reject])), "a needless reject was not seen")

    # A UTF-16 file prints its text in UTF-16.
    utf16 = SourceRows(table, "utf-16-le").convert("i1|t" + "\u00e9".encode("utf-16-le").hex())
    expect(utf16 == [1, "\u00e9"], f"UTF-16: {utf16}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="corrupt values and see whether it is noticed")
    parser.add_argument("source", nargs="?", type=Path, help="the SQLite file")
    parser.add_argument("conninfo", nargs="?", help="the target, as for psql -d")
    parser.add_argument("report", nargs="?", type=Path, help="the directory given to sluice --report")
    arguments = parser.parse_args()
    try:
        if arguments.self_test:
            failures = self_test()
            for failure in failures:
                print(f"self-test: {failure}")
            print(f"self-test: {len(SAMPLES)} samples, {len(MISFITS)} misfits, {len(failures)} failures")
            return 1 if failures else 0
        if arguments.source is None or arguments.conninfo is None or arguments.report is None:
            parser.error("SOURCE, CONNINFO and REPORT_DIRECTORY are needed")
        return 0 if compare(arguments.source, arguments.conninfo, arguments.report) else 1
    except Trouble as trouble:
        print(f"compare_databases: {trouble}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
