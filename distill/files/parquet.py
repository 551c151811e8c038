"""Parquet files of any size, some rows at a time; pyarrow is imported when used."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.files.lines import require_file
from distill.system.errors import DataError, UserError, listed

#: What the name of such a file ends in.
PARQUET = ".parquet"
#: Rows read at once.
_READ = 1024
#: Bytes read at once of a column: a row group is never held as a whole.
_BUFFER = 1 << 20


def arrow() -> Any:
    """Pyarrow.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("pyarrow is needed for .parquet files: pip install pyarrow") from error
    return pa


class ParquetRows:
    """The rows of a Parquet file.

    Attributes:
        columns: the Arrow type of each column.
        count: N.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        with opened_parquet(Path(self.source)) as file:
            schema = file.schema_arrow
            self.columns: dict[str, Any] = dict(zip(schema.names, schema.types, strict=True))
            self.count = int(file.metadata.num_rows)
        if len(self.columns) < len(schema.names):
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            raise DataError(f"{source}: a column name occurs twice: {listed(twice)}")

    def rows(self, wanted: Sequence[str], start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows with their numbers, from 1, and their values of the wanted columns.

        ``start`` rows are left out; groups before them are not read.
        """
        with opened_parquet(Path(self.source)) as file:
            sizes = [file.metadata.row_group(one).num_rows for one in range(file.num_row_groups)]
            ends = list(itertools.accumulate(sizes))
            group = bisect.bisect_right(ends, start)
            if group == len(ends):
                return
            groups, number = list(range(group, len(ends))), ends[group] - sizes[group]
            batches = file.iter_batches(_READ, groups, list(wanted), use_threads=False)
            for batch in batches:
                skipped = min(max(start - number, 0), batch.num_rows)
                for offset, values in enumerate(batch.slice(skipped).to_pylist(), skipped + 1):
                    yield number + offset, values
                number += batch.num_rows


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile``.

    Raises:
        DataError: there is no such file, or it is no whole Parquet file.
        UserError: pyarrow is not installed.
    """
    pa = arrow()
    require_file(path)
    try:
        with pa.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"{path}: not a whole Parquet file ({what})") from error
