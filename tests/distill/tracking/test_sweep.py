"""Sweeps: the file is one of W&B's, and what its agents run is a trial of the same space."""

import pytest
import yaml
from typer.testing import CliRunner
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from distill.cli.main import app
from distill.recipe.schema import Search
from distill.system.errors import UserError
from distill.tracking.sweep import sweep, values_of

STAGE = {"kind": "distill", "name": "intermediate", "objectives": [{"kind": "hidden"}]}
SPACE = {
    "student.size": ["2x384", "3x384"],
    "stages.intermediate": [STAGE, None],
    "stages.prediction.lr": {"loguniform": [1e-4, 1e-2]},
    "stages.prediction.batch_size": {"quniform": [4, 16, 4]},
    "baseline": [True, False],
}


def search(**changes):
    return Search.model_validate({"space": SPACE, "trials": 7} | changes)


def test_the_space_is_the_studys():
    content = sweep("found", search(), None, ["distill", "study", "found.yaml"])
    assert (content["method"], content["run_cap"]) == ("bayes", 7)
    assert content["metric"] == {"name": "value", "goal": "maximize"}
    found = content["parameters"]
    assert found["student.size"] == {"values": ["2x384", "3x384"]}
    lr, batch = found["stages.prediction.lr"], found["stages.prediction.batch_size"]
    assert lr == {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}
    assert batch == {"distribution": "q_uniform", "min": 4, "max": 16, "q": 4}
    # Every choice comes back as itself, also those that are no plain values.
    assert found["stages.intermediate"]["values"][1] == "null"
    for n, choice in enumerate(found["stages.intermediate"]["values"]):
        given = {"student.size": "3x384", "stages.intermediate": choice, "baseline": "false"}
        given |= {"stages.prediction.lr": 1e-3, "stages.prediction.batch_size": 8.0}
        # As W&B's agent passes it on.
        args = {"args": {key: {"value": value} for key, value in given.items()}}
        values = values_of(search(), create_sweep_command_args(args)["args_json"][0])
        assert (values["stages.intermediate"], values["student.size"], values["baseline"]) == (
            n,
            1,
            1,
        )
        assert repr(values["stages.prediction.batch_size"]) == "8"


def test_a_grid_is_of_choices():
    space = {"a": {"quniform": [1, 7, 2]}}
    content = sweep("found", search(space=space, strategy="grid"), None, [])
    assert (content["method"], content["parameters"]) == ("grid", {"a": {"values": [2, 4, 6]}})
    with pytest.raises(UserError, match="W&B's grid has no intervals"):
        sweep("found", search(strategy="grid"), None, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lr=1", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"x": 1}', "the settings must be x, y"),
        ('{"x": 7, "y": 0.5}', "none of the choices: 1, 2"),
        ('{"x": 1, "y": 3}', "not between 0 and 1"),
        ('{"x": 1, "y": NaN}', "not between 0 and 1"),
        ('{"x": 1, "y": "high"}', "not between 0 and 1"),
    ],
)
def test_settings_of_another_space_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        values_of(search(space={"x": [1, 2], "y": {"uniform": [0, 1]}}), given)


@pytest.mark.parametrize(
    ("text", "message"),
    [("variants: {full: {}}", "needs a search"), ("seeds: [1, 2]", "each run of a sweep is one")],
)
def test_studies_that_are_no_sweep(tmp_path, text, message):
    content = yaml.safe_load(text) | {"study": 1, "name": "found", "recipe": "quickstart"}
    if "seeds" in content:
        content["search"] = {"space": {"stages.prediction.lr": [1e-4]}}
    file = tmp_path / "found.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    done = CliRunner().invoke(app, ["study", str(file), "--wandb-sweep"])
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert [*tmp_path.iterdir()] == [file]
