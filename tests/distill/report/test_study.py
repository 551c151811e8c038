"""A study's tables and page, against numbers worked out by hand."""

from __future__ import annotations

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from distill.evaluation.bootstrap import with_intervals, write_draws
from distill.evaluation.over_seeds import model_table
from distill.evaluation.results import Results
from distill.evaluation.study import StudyResults, differences, lines, read_study, write_study
from distill.report.study import markdown, notes, plain_tables, summary
from distill.report.study_page import render_study
from distill.system.errors import RunFolderError
from distill.tasks.scorers import mean_scorer

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
        "command": "distill study parts folders.data=DIR",
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
        "trials": [
            {"variant": v, "task": t, "seed": s, "key": "k", "status": "done", "score": score,
             "scores": {}, "seconds": 30.0, "evaluated": False,
             "folder": f"trials/{t}/seed-{s}/{v}"}
            for (v, t, s), score in scores.items()
        ]
        + [{"variant": "part", "task": "a", "seed": 1, "key": "k", "status": "failed",
            "reason": "the loss is not\n a number", "evaluated": False,
            "folder": "trials/a/seed-1/part"}],
    }  # fmt: skip
    return StudyResults.model_validate(content | changes)


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


def test_differences_within_noise_are_marked(tmp_path):
    # 100 examples: 'less' is wrong on five of which 'full' is right, 'part' on one.
    def keep(variant: str, wrong: int, texts: str = "the same") -> None:
        class Kept:
            models = ("model",)
            split = SimpleNamespace(text_digest=texts)

            def scorer(self, _: str):
                return mean_scorer(np.arange(100) >= wrong)

            def __len__(self) -> int:
                return 100

        for seed in (1, 2):
            folder = tmp_path / f"trials/b/seed-{seed}/{variant}/02-prediction"
            folder.mkdir(parents=True)
            write_draws(folder, Kept(), "model")

    keep("full", 0)
    keep("less", 5)
    keep("part", 1)
    full, less, part, none = with_intervals(tmp_path, made()).variants
    assert (full.low, none.low) == (None, None)
    # The share of five of 100 in 100 draws: 0.05, give or take two of its standard errors, 0.022.
    assert less.low == pytest.approx(-0.09, abs=0.011)
    assert less.high == pytest.approx(-0.01, abs=0.011)
    assert part.high == 0.0
    table = plain_tables(with_intervals(tmp_path, made()))
    assert re.search(r"^LESS .*-2\.5 +-\d+\.\d to -[12]\.0$", table, re.MULTILINE)
    assert re.search(r"^PART .*\(1/2\) +-[23]\.\d to \+0\.0 \(noise\)$", table, re.MULTILINE)
    assert "by the paired bootstrap" in table
    # Other examples are no pairs.
    shutil.rmtree(tmp_path / "trials/b/seed-1/full")
    shutil.rmtree(tmp_path / "trials/b/seed-2/full")
    keep("full", 0, "others")
    assert [row.low for row in with_intervals(tmp_path, made()).variants] == [None] * 4


def test_the_console_table():
    assert plain_tables(made()).splitlines() == [
        "parts: What <each> part is worth",
        "",
        "points on the validation examples, which chose the checkpoints too; mean ± sample "
        "standard deviation over seeds; seeds: A 1, B 2",
        "",
        "variant  A (accuracy)     B (mcc)  average     to FULL",
        "FULL             80.0  62.0 ± 2.8     71.0",
        "LESS             78.0  59.0 ± 2.8     68.5        -2.5",
        "PART           failed  70.0 (1/2)        -  +6.0 (1/2)",
        "NONE                -           -        -           -",
        "",
        "LESS costs most (-2.5 points)",
        "note: 7 of 9 trials done",
        "note: NONE was not run: no folder",
        "note: part, a, seed 1 failed: the loss is not a number",
    ]


def test_the_markdown_table_says_where_it_comes_from():
    text = markdown(made()).splitlines()
    assert text[0] == "# parts: What <each> part is worth"
    assert text[2:5] == ["```", "distill study parts folders.data=DIR", "```"]
    assert "| variant | A (accuracy) | B (mcc) | average | to FULL |" in text
    assert "| --- | ---: | ---: | ---: | ---: |" in text
    assert "| **FULL** | 80.0 | 62.0 ± 2.8 | 71.0 |  |" in text
    assert "| LESS | 78.0 | 59.0 ± 2.8 | 68.5 | -2.5 |" in text
    assert text[-1] == "- 8 trials in 3 min 30 s on Some Processor 9 (2 cores)"


def test_the_page():
    page = render_study(made())
    assert "LESS costs most (-2.5 points)." in page
    assert "What &lt;each&gt; part is worth" in page
    assert "<td>62.0 ± 2.8</td>" in page
    assert page.count("<img") == 1
    assert "the loss is not a number" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_what_is_written_is_read_again(tmp_path):
    assert read_study(tmp_path) is None
    write_study(tmp_path, made())
    assert read_study(tmp_path) == made()
    (tmp_path / "study.json").write_text('{"schema": 2}', "utf-8")
    with pytest.raises(RunFolderError, match="not a study of this version"):
        read_study(tmp_path)


@pytest.fixture
def seeds(sample_results, sample_models) -> StudyResults:
    """A recipe with four seeds of which three are done; the last falls below its baseline."""
    found = {}
    for seed, move in ((1, 0.01), (2, 0.0), (3, -0.03)):
        moved = [(*m[:3], m[3] + move * (m[0] != "baseline"), *m[4:]) for m in sample_models]
        found[seed] = Results.model_validate(sample_results(moved))
    return made(
        {},
        compare_to="",
        tasks=[{"name": "", "title": "", "metric": "accuracy", "seeds": [1, 2, 3, 4]}],
        variants=[{"name": "", "title": "mine", "tasks": [""]}],
        trials=[
            {"variant": "", "task": "", "seed": seed, "key": "k", "status": "done", "split": "test",
             "score": runs.final.score, "evaluated": True, "folder": f"trials/seed-{seed}"}
            for seed, runs in found.items()
        ],
        models=[model_table("", "", found).model_dump()],
        chosen={"seed": 1, "seeds": 3, "folder": "trials/seed-1", "metric": "accuracy",
                "validation": 0.8},
    )  # fmt: skip


def test_seeds_have_mean_deviation_and_count(seeds):
    text = plain_tables(seeds).splitlines()
    assert text[2].startswith("mine: accuracy on the test examples; mean ± sample standard devia")
    assert text[2].endswith(
        "over 3 seeds (1, 2, 3); sizes and times are means, times at batch 1, length 32"
    )
    row = next(line for line in text if line.startswith("onnx-int8 "))
    # Of 0.8113, 0.8013 and 0.7713.
    assert re.split(r"\s{2,}", row)[:6] == [
        "onnx-int8", "onnx-int8", "3", "0.7946 ± 0.0208", "96.4 ± 0.1 %", "+0.0053 ± 0.0208",
    ]  # fmt: skip
    assert summary(seeds).startswith("onnx-int8: 96.4 ± 0.1 % of the teacher (n = 3), +0.0053")
    assert notes(seeds) == [
        "3 of 4 trials done",
        "onnx-int8 is below the baseline with seed 3",
    ]
    assert "| **onnx-int8** | onnx-int8 | 3 | 0.7946 ± 0.0208 |" in markdown(seeds)
    page = render_study(seeds)
    assert 'href="trials/seed-2/report.html"' in page
    assert "Predictions come from seed 1" in page
    assert "What each change gains" not in page
