"""The numbers at the end of a parquet file: how many rows, and how large each column is.

They are written in Thrift's compact form. Reading them so takes a millisecond and no library,
where importing one takes longer than everything else that a plan does.

Reference:
    https://parquet.apache.org/docs/file-format/metadata and the compact protocol of Apache Thrift.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_LARGEST = 1 << 26

#: Numbers of fields, from parquet.thrift.
_ROWS, _GROUPS = 3, 4  # FileMetaData
_COLUMNS = 1  # RowGroup
_META = 3  # ColumnChunk
_PATH, _UNPACKED = 3, 6  # ColumnMetaData

# Types, from the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64 = 1, 2, 3, 4, 5, 6
_DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 7, 8, 9, 10, 11, 12


@dataclass(frozen=True)
class Footer:
    """What a file says of itself.

    Args:
        rows: how many.
        bytes: of each column by its name, unpacked.
    """

    rows: int
    bytes: dict[str, int]


def read_footer(path: Path) -> Footer | None:
    """The numbers of a parquet file; ``None`` where it is none, which its reader tells."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - 8))
            tail = file.read(8)
            size = int.from_bytes(tail[:4], "little")
            if tail[4:] != _MAGIC or not 0 < size <= min(end - 8, _LARGEST):
                return None
            file.seek(end - 8 - size)
            meta = _Reader(file.read(size)).struct()
        sizes: dict[str, int] = defaultdict(int)
        for group in meta[_GROUPS]:
            for column in group[_COLUMNS]:
                told = column[_META]
                sizes[told[_PATH][0].decode("utf-8")] += int(told[_UNPACKED])
        return Footer(int(meta[_ROWS]), dict(sizes))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


class _Reader:
    """Reads Thrift's compact form; structs become dicts by the numbers of their fields."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self) -> dict[int, Any]:
        """A struct: fields up to the stop, each with how far its number is from the last one's."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            # A field's truth stands in its type.
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):  # of a list: a byte each
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind in (_LIST, _SET):
            head = self._byte()
            size = self._unsigned() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15) for _ in range(size)]
        if kind == _MAP:
            size = self._unsigned()
            kinds = self._byte() if size else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"no type {kind}")

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, size: int) -> bytes:
        end = self._at + size
        if not size >= 0 or end > len(self._content):
            raise ValueError("ends too soon")
        found = self._content[self._at : end]
        self._at = end
        return found

    def _unsigned(self) -> int:
        """A number of seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _integer(self) -> int:
        """A number with its sign in the lowest bit."""
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
