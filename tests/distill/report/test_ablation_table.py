"""An ablation's table and page, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from distill.errors import RunFolderError
from distill.evaluation.ablation import (
    AblationResults,
    differences,
    lines,
    read_ablation,
    write_ablation,
)
from distill.report.ablation_page import difference_chart, render_ablation
from distill.report.ablation_table import markdown, plain_table

SCORES = {
    ("full", "a", 1): 0.80, ("full", "b", 1): 0.60, ("full", "b", 2): 0.64,
    ("less", "a", 1): 0.78, ("less", "b", 1): 0.61, ("less", "b", 2): 0.57,
    ("part", "b", 2): 0.70,
}  # fmt: skip


def made(scores=SCORES, **changes):
    names = ["full", "less", "part", "none"]
    content = {
        "schema": 1,
        "name": "parts",
        "description": "What <each> part is worth",
        "command": "distill ablate parts --data DIR",
        "compare_to": "full",
        "tasks": [
            {"name": "a", "title": "A", "metric": "accuracy", "seeds": [1]},
            {"name": "b", "title": "B", "metric": "mcc", "seeds": [1, 2]},
        ],
        "variants": [
            {"name": n, "title": n.upper(), "tasks": ["a", "b"],
             "skipped": "no folder" * (n == "none")}
            for n in names
        ],
        "machine": {"cpu": "Some Processor 9", "cores": 2},
        "cells": [
            {"variant": v, "task": t, "seed": s, "key": "k", "status": "done", "score": score,
             "scores": {}, "seconds": 30.0, "folder": f"cells/{t}/seed-{s}/{v}"}
            for (v, t, s), score in scores.items()
        ]
        + [{"variant": "part", "task": "a", "seed": 1, "key": "k", "status": "failed",
            "reason": "the loss is not\n a number", "folder": "cells/a/seed-1/part"}],
    }  # fmt: skip
    return AblationResults.model_validate(content | changes)


def test_means_deviations_and_differences():
    full, less, part, none = lines(made())
    assert [e.mean for e in full.entries] == pytest.approx([0.80, 0.62])
    assert full.entries[0].deviation is None
    assert full.entries[1].deviation == pytest.approx(0.0282843, abs=1e-6)
    assert full.average == pytest.approx(0.71)
    assert less.average == pytest.approx((0.78 + 0.59) / 2)
    assert less.difference == pytest.approx(-0.025)
    # Without a score on every task there is no average, and what there is is compared in pairs.
    assert part.average is None
    assert part.difference == pytest.approx(0.06)
    assert (part.compared, less.compared) == (1, 2)
    assert (none.entries[0].wanted, none.entries[0].mean) == (0, None)
    b = made().tasks[1]
    assert differences(made(), "less", b) == pytest.approx([0.01, -0.07])
    assert differences(made(), "part", b) == pytest.approx([0.06])


def test_the_console_table():
    assert plain_table(made()).splitlines() == [
        "parts: What <each> part is worth",
        "",
        "variant  A (accuracy)     B (mcc)  average     to FULL",
        "FULL             80.0  62.0 ± 2.8     71.0",
        "LESS             78.0  59.0 ± 2.8     68.5        -2.5",
        "PART           failed  70.0 (1/2)        -  +6.0 (1/2)",
        "NONE                -           -        -           -",
        "",
        "note: points on the validation rows, which chose the checkpoints too; mean ± sample "
        "standard deviation over seeds; seeds: A 1, B 2",
        "note: NONE was not run: no folder",
        "note: part on a with seed 1 failed: the loss is not a number",
    ]


def test_the_markdown_table_says_where_it_comes_from():
    text = markdown(made()).splitlines()
    assert text[0] == "# parts: What <each> part is worth"
    assert text[2:5] == ["```", "distill ablate parts --data DIR", "```"]
    assert "| variant | A (accuracy) | B (mcc) | average | to FULL |" in text
    assert "|---|---:|---:|---:|---:|" in text
    assert "| **FULL** | 80.0 | 62.0 ± 2.8 | 71.0 |  |" in text
    assert "| LESS | 78.0 | 59.0 ± 2.8 | 68.5 | -2.5 |" in text
    assert text[-1] == "- 8 cells in 3 min 30 s on Some Processor 9 (2 cores)"


def test_the_page():
    page = render_ablation(made())
    assert "LESS costs most (-2.5 points)." in page
    assert "What &lt;each&gt; part is worth" in page
    assert "<td>62.0 ± 2.8</td>" in page
    assert page.count("<svg") == 1
    assert "the loss is not a number" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_chart_has_a_point_for_each_seed_and_waits_for_two_variants():
    chart = difference_chart(made())
    assert "LESS -2.5" in chart
    assert "NONE" not in chart
    assert difference_chart(made({("full", "a", 1): 0.8})) is None
    page = render_ablation(made({("full", "a", 1): 0.8}))
    assert "Nothing to compare yet" in page


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "ablation.json"
    assert read_ablation(path) is None
    write_ablation(path, made())
    assert read_ablation(path) == made()
    path.write_text('{"schema": 2}', "utf-8")
    with pytest.raises(RunFolderError, match="not an ablation of this version"):
        read_ablation(path)
