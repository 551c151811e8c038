"""The table and the page of several seeds, from results with believable numbers."""

from __future__ import annotations

import re

import pytest

from distill.evaluation.results import Results
from distill.evaluation.seeds import SeedResults, summarise
from distill.report.compare_seeds import seeds_comparison, seeds_table
from distill.report.seeds_page import seed_chart
from distill.report.seeds_table import markdown, notes, plain_table, summary


@pytest.fixture
def results(sample_results, sample_models) -> SeedResults:
    """Three seeds of four; the last falls below its baseline."""
    found = {}
    for seed, change in ((1, 0.01), (2, 0.0), (3, -0.03)):
        moved = [(*m[:3], m[3] + change * (m[0] != "baseline"), *m[4:]) for m in sample_models]
        found[seed] = Results.model_validate(sample_results(moved))
    return summarise(found, [1, 2, 3, 4])


def test_the_table_tells_mean_deviation_and_count(results: SeedResults) -> None:
    lines = plain_table(results).splitlines()
    assert (
        "over 3 seeds (1, 2, 3); sizes and times are means, times at batch 1, length 32" in lines[0]
    )
    row = next(line for line in lines if line.startswith("onnx-int8 "))
    # Of 0.8113, 0.8013 and 0.7713.
    assert re.split(r"\s{2,}", row)[:6] == [
        "onnx-int8", "onnx-int8", "3", "0.7946 ± 0.0208", "96.4 ± 0.1 %", "+0.0053 ± 0.0208",
    ]  # fmt: skip
    assert summary(results).startswith("onnx-int8: 96.4 ± 0.1 % of the teacher (n = 3), +0.0053")
    assert notes(results) == [
        "3 of 4 seeds done; left: 4",
        "onnx-int8 is below the baseline with seed 3",
    ]
    assert "| onnx-int8 | onnx-int8 | 3 | 0.7946 ± 0.0208 |" in markdown(results)


def test_every_seed_is_a_point_and_untrained_heads_are_left_out(results: SeedResults) -> None:
    assert [row.name for row in results.models if row.superseded] == ["intermediate"]
    svg = seed_chart(results)
    assert "intermediate" not in svg
    names = [row.name for row in results.models if row.name != "intermediate"]
    assert all(name in svg for name in names)
    # Points are drawn as uses of one shape, in one group for each model.
    groups = re.findall(r'<g id="[^"]*PathCollection|<g clip-path[^>]*>\s*<use[\s\S]*?</g>', svg)
    assert sum(group.count("<use") for group in groups) == 3 * len(names)


def test_runs_of_several_seeds_side_by_side(results: SeedResults, sample_results) -> None:
    one = summarise({0: Results.model_validate(sample_results(split="validation"))}, [0])
    text = seeds_table({"several": results, "one": one})
    assert "note: different split, so scores do not compare" in text
    assert "note: one seed alone has no spread: one" in text
    content = seeds_comparison({"several": results, "one": one})
    assert content["kind"] == "seeds"
    assert content["models"]["onnx"]["one"]["score"]["deviation"] is None
    assert content["runs"][0]["final"]["score"]["n"] == 3
