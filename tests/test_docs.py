"""What the documents name is there: commands, options, recipe keys, YAML, links and files."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator

from distill.cli.main import COMMANDS, app
from distill.recipe import catalog
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Study
from distill.recipe.schema.recipe import file_schema
from distill.recipe.study import is_study
from distill.recipe.yaml_lines import read

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCS]
#: Commands whose arguments are a recipe and settings of it.
OF_RECIPES = ("show", "validate", "plan", "run", "study", "augment")
#: Commands whose arguments are folders of runs.
OF_RUNS = ("resume", "evaluate", "compare", "report", "predict", "inspect", "tune-runtime")
HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)
DOTTED = re.compile(
    r"`((?:task|data|teacher|student|baseline|trainer|track)\.(?!json)[a-z_.]+)[^`]*`"
)


def blocks(text):
    """Every fenced block: its language and its content."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text):
    """The words behind ``distill`` of every command in a document's blocks."""
    found = []
    for language, content in blocks(text):
        if language not in ("", "console", "sh", "bash"):
            continue
        for line in content.replace("\\\n", " ").splitlines():
            line = line.removeprefix("$ ")
            if line.startswith("distill "):
                words = shlex.split(line, comments=True)[1:]
                found.append([word.strip("[]") if word[:2] == "[-" else word for word in words])
    return found


def parse(words):
    """Parse a command line as `distill` would, without doing it."""
    group: Any = typer.main.get_command(app)
    with group.make_context("distill", ["ls"]) as context:
        command = group.get_command(context, words[0])
        command.make_context(words[0], list(words[1:]), parent=context).close()


ALL_COMMANDS = [(name, words) for name, path in zip(NAMES, DOCS, strict=True)
                for words in commands(path.read_text("utf-8"))]  # fmt: skip


@pytest.mark.parametrize(
    ("words"), [words for _, words in ALL_COMMANDS], ids=[f"{n}: {w[0]}" for n, w in ALL_COMMANDS]
)
def test_commands_can_be_called_and_their_settings_exist(words, tmp_path, monkeypatch):
    # A run that lies where the tests are started would be taken for what a command meant.
    monkeypatch.chdir(tmp_path)
    parse(words)
    recipe = words[0] in OF_RECIPES and words[1] in catalog.names()
    if recipe and not is_study(words[1]):
        settings = [word for word in words[2:] if re.match(r"[a-z_][\w.+]*=", word)]
        assert load_recipe(words[1], *settings)
    if words[0] in OF_RUNS:
        assert words[1] not in catalog.names(), "a recipe's name where a run's folder is meant"


def test_commands_are_found():
    assert len(ALL_COMMANDS) > 60
    assert {words[0] for _, words in ALL_COMMANDS} == set(COMMANDS)


def as_recipe(content):
    """A piece of a recipe as a file that is laid over another."""
    if set(content) == {"objectives"}:
        return {"base": "quickstart", "stages": [{"kind": "distill"} | content]}
    said = {key: value for key, value in content.items() if value != "..."}
    return said if "stages" in said and "recipe" in said else {"base": "quickstart"} | said


YAML = [(f"{name}: {content.splitlines()[0]}", content)
        for name, path in zip(NAMES, DOCS, strict=True)
        for language, content in blocks(path.read_text("utf-8")) if language == "yaml"]  # fmt: skip


@pytest.mark.parametrize("content", [c for _, c in YAML], ids=[name for name, _ in YAML])
def test_yaml_is_part_of_a_recipe(content, tmp_path):
    path = tmp_path / "piece.yaml"
    path.write_text(f"stages:\n{content}" if content.startswith("- ") else content, "utf-8")
    plain = read(path).plain()
    if "study" in plain:
        schema, said = Study.model_json_schema(), plain
    else:
        schema, said = file_schema(), as_recipe(plain)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(said)] == []


def anchor(heading):
    """The anchor that a heading has when it is rendered."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        file, _, part = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), target
        if part:
            assert part in [anchor(h) for h in HEADINGS.findall(found.read_text("utf-8"))], target


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_files_of_the_project_are_there(path):
    text = path.read_text("utf-8")
    tops = "distill|students|teachers|recipes|benchmarks|tests|docs"
    for file in re.findall(rf"(?<![\w/.])((?:{tops})/[\w./-]+\.(?:py|yaml|md))\b", text):
        assert (ROOT / file).is_file() or (path.parent / file).is_file(), file


def keys_at(section, definitions):
    """The keys of a section of the schema, of all its kinds together."""
    found: dict[str, Any] = dict(section.get("properties", {}))
    for kind in [*section.get("anyOf", []), *section.get("oneOf", [])]:
        found |= keys_at(kind, definitions)
    if "$ref" in section:
        found |= keys_at(definitions[section["$ref"].rpartition("/")[2]], definitions)
    return found


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_keys_of_a_recipe_exist(path):
    definitions = file_schema()["$defs"]
    for dotted in DOTTED.findall(path.read_text("utf-8")):
        place = definitions["Recipe"]
        for key in dotted.rstrip(".").split("."):
            keys = keys_at(place, definitions)
            assert key in keys, dotted
            place = keys[key]


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_options_exist(path):
    known = {"--run-dir"}
    group: Any = typer.main.get_command(app)
    with group.make_context("distill", ["ls"]) as context:
        for name in COMMANDS:
            for parameter in group.get_command(context, name).params:
                known |= {*parameter.opts, *parameter.secondary_opts}
    own = re.sub(r"^.*(?:python|pip|make|pytest) .*$", "", path.read_text("utf-8"), flags=re.M)
    said = set(re.findall(r"`(--[a-z-]+)", own))
    assert said <= known, said - known
