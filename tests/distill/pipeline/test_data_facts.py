"""What a run folder tells of its rows: how many, which were cut, which were set aside."""

from __future__ import annotations

import json

import pytest
from run_files import changed, read_lines, recipe_at

from distill import load_recipe, run
from distill.cli.main import main
from distill.pipeline.environment import write_data_facts
from distill.run_folder import RunFolder
from distill.stages.workspace import Workspace

_BAD = ['{"text": "", "label": "positive"}', "{broken", '{"text": "film", "label": "nobody"}']


def _recipe(tiny_recipe, **data):
    recipe = recipe_at(tiny_recipe)
    recipe |= {"baseline": False, "track": {}, "stages": [recipe["stages"][-1]]}
    recipe["data"] |= data
    recipe["teacher"]["finetune"]["epochs"] = 1
    return changed(tiny_recipe, **recipe)


def test_bad_rows_are_refused_with_their_line_and_nothing_is_written(tmp_path, tiny_recipe, capsys):
    path = _recipe(tiny_recipe)
    train = tmp_path / "train.jsonl"
    train.write_text(train.read_text("utf-8") + "\n".join(_BAD), "utf-8")
    assert main(["run", str(path), "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert f"{train}:50: not JSON" in said
    assert "data.on_bad_row: skip" in said
    assert not (tmp_path / "run").exists()


def test_bad_rows_are_set_aside_counted_and_reported(tmp_path, tiny_recipe):
    path = _recipe(tiny_recipe, on_bad_row="skip", max_length=8)
    train = tmp_path / "train.jsonl"
    good = train.read_text("utf-8")
    train.write_text(good + "\n".join(_BAD), "utf-8")
    folder = tmp_path / "run"
    run(load_recipe(path), folder)
    found = read_lines(folder / "bad_rows.jsonl")
    assert [row["place"] for row in found] == [f"{train}:{n}" for n in (50, 49, 51)]
    assert [row["row"] for row in found] == [
        _BAD[1] + "\n",
        {"text": "", "label": "positive"},
        {"text": "film", "label": "nobody"},
    ]
    data = json.loads((folder / "data.json").read_text("utf-8"))
    assert data["rows"] == {"train": 48, "validation": 16}
    assert data["bad"] == 3
    cut = data["cut"]["train"]
    assert 0 < cut["cut"] <= 48
    assert cut["keeps_99"] == cut["longest"]  # of so few rows none may be cut
    assert any("3 of 51 rows set aside as bad" in note for note in data["notes"])
    page = (folder / "report.html").read_text("utf-8")
    cut_note = (
        f"are cut to 8 tokens, the longest had {cut['longest']}; "
        f"data.max_length: {cut['keeps_99']} would keep 99 % whole"
    )
    assert "3 of 51 rows set aside as bad" in page
    assert cut_note in page
    assert cut_note in (folder / "log.txt").read_text("utf-8")
    # The rows that are left are those of a file without the bad ones: nothing is done again.
    train.write_text(good, "utf-8")
    assert main(["resume", str(folder)]) == 0
    assert (folder / "log.txt").read_text("utf-8").count("done before") == 2
    assert not (folder / "bad_rows.jsonl").exists()
    assert json.loads((folder / "data.json").read_text("utf-8"))["rows"] == data["rows"]


def _tagged(path, bad):
    lines = ["Ann B-person\nsings O\n"] * 20 + (["bad O\nfilm I-person\n"] if bad else [])
    path.write_text("\n".join(lines), "utf-8")
    return {"kind": "ner"}, f"{path}:61: word 2: 'I-person' follows 'O'"


def _asked(path, bad):
    answers = {"answers": [{"text": "good", "answer_start": 7}]}
    questions = [{"id": f"q{n}", "question": "what?", **answers} for n in range(20)]
    if bad:
        wrong = {"answers": [{"text": "good", "answer_start": 6}]}
        questions.append({"id": "q20", "question": "what?", **wrong})
    paragraph = {"context": "it was good film", "qas": questions}
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), "utf-8")
    return {"kind": "qa"}, f"{path}: question 'q20': the answer 'good' does not stand at character"


@pytest.mark.parametrize(("ending", "write"), [("conll", _tagged), ("json", _asked)])
def test_bad_rows_of_every_kind_are_counted(tmp_path, tiny_recipe, ending, write):
    """Set aside in the same file, and what is left is what a file without them gives."""
    path = tmp_path / f"rows.{ending}"
    task, said = write(path, bad=True)
    data = {"source": "files", "train": str(path), "on_bad_row": "skip"}
    changed(tiny_recipe, task=task, data=data, stages=recipe_at(tiny_recipe)["stages"][1:2])
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    broken = Workspace(load_recipe(tiny_recipe))
    write_data_facts(folder, broken)
    facts = json.loads(folder.data.read_text("utf-8"))
    assert facts["bad"] == 1
    assert sum(facts["rows"].values()) == 20
    assert any(f"1 of 21 rows set aside as bad, see bad_rows.jsonl; the first: {said}" in note
               for note in facts["notes"])  # fmt: skip
    [row] = read_lines(folder.bad_rows)
    assert f"{row['place']}: {row['reason']}".startswith(said)
    write(path, bad=False)
    assert Workspace(load_recipe(tiny_recipe)).data_digest == broken.data_digest
