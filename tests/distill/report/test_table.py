"""The console table, on a terminal and off it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from distill.report.table import models_table, plain_table, print_table

HEADER = [
    "model", "format", "accuracy", "retention", "params M", "MACs M", "size MB",
    "p50 ms b1", "p95 ms", "ex/s b32", "smaller", "faster",
]  # fmt: skip


def test_every_number_of_a_row(sample):
    content = models_table(sample())
    assert content.header == HEADER
    assert content.rows[-1] == [
        "onnx-int8", "onnx-int8", "0.8013", "96.4 %", "15.1", "101", "15.3",
        "0.69", "0.75", "2,443", "5.9x", "12.3x",
    ]  # fmt: skip


def test_off_a_terminal_it_is_plain_aligned_text(sample):
    file = io.StringIO()
    print_table(sample(), Console(file=file))
    lines = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert lines[0].startswith("quickstart: accuracy on the test examples")
    table = lines[2:10]
    assert len({len(line) for line in table}) == 1
    assert lines[-2].startswith("onnx-int8: 96.4 % of the teacher")
    assert lines[-1] == "measured on Some Processor 9 with avx512, vnni; 2 threads"
    assert file.getvalue() == plain_table(sample()) + "\n"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_cell_is_cut(sample, width):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)
    print_table(sample(), console)
    lines = file.getvalue().splitlines()
    rows = [line for line in lines if line.startswith(("teacher", "onnx", "prune"))][:-1]
    assert max(len(line.rstrip()) for line in rows) <= width
    assert "…" not in file.getvalue()
    assert "0.8013" in file.getvalue()
    assert "12.3x" in file.getvalue()
