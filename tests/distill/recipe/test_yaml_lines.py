from pathlib import Path

import pytest

from distill.recipe.yaml_lines import parse, read
from distill.system.errors import RecipeError


def plain(text):
    value = parse(text, Path("a.yaml"))
    assert value is not None
    return value.plain()


def refused(text):
    with pytest.raises(RecipeError) as caught:
        parse(text, Path("a.yaml"))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5e-5", 5e-5),
        ("2.0e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("-3", -3),
        ("010", 10),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("'5e-5'", "5e-5"),
        ("1.2.3", "1.2.3"),
        ("3x384", "3x384"),
        ("", None),
    ],
)
def test_scalars_mean_what_they_say(text, expected):
    found = plain(f"a: {text}")
    assert found == {"a": expected}
    assert type(found["a"]) is type(expected)


def lines(value):
    if isinstance(value.content, dict):
        return {key: (below.place.line, lines(below)) for key, below in value.content.items()}
    if isinstance(value.content, list):
        return [(below.place.line, lines(below)) for below in value.content]
    return None


def test_every_key_and_item_has_its_line():
    value = parse("a: 1\n\nb:\n  c:\n    - x\n    - y: 2\n", Path("a.yaml"))
    assert value is not None
    assert lines(value) == {
        "a": (1, None),
        "b": (3, {"c": (4, [(5, None), (6, {"y": (6, None)})])}),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a: the key occurs twice (first on line 1); keep one"),
        ("a: [1\n", "a.yaml:2: not valid YAML:"),
        ("a: b: c\n", "a.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: not valid YAML: but found another document"),
        ("a: .inf\n", "a.yaml:1: a: found .inf, expected a finite number"),
        ("a: 1e999\n", "a.yaml:1: a: found 1e999, expected a finite number"),
        ("a: !!int x\n", "a.yaml:1: a: 'x' cannot be read as !!int"),
        ("a: !!binary eA==\n", "a.yaml:1: a: tag '!!binary' is not allowed"),
        ("1: x\n", "a.yaml:1: '1' is not a name"),
        ("[a]: x\n", "a.yaml:1: 'this key' is not a name"),
        ("<<: {a: 1}\n", "a.yaml:1: '<<' is not known here; use `base:` instead"),
        ("a: \x07\n", "a.yaml:1: character U+0007 may not stand in YAML"),
        ("a: *nothing\n", "a.yaml:1: not valid YAML: found undefined alias"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_refused_with_a_line(text, said):
    told = refused(text)
    assert len(told) == 1
    assert said in told[0]


def test_nothing_that_a_tag_names_is_run(tmp_path):
    mark = tmp_path / "mark"
    text = f"a: !!python/object/apply:os.system ['touch {mark}']\nb: !!python/name:os.system\n"
    assert [line.split(": ")[-1] for line in refused(text)] == [
        "tag '!!python/object/apply:os.system' is not allowed",
        "tag '!!python/name:os.system' is not allowed",
    ]
    assert not mark.exists()


def test_aliases_that_multiply_are_stopped():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert len(refused("\n".join(rows))) == 1


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        read(tmp_path / "a.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        read(tmp_path)
