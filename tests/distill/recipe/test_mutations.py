"""Whatever stands in a recipe, it is either loaded or refused in lines that a person can read."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.recipe.catalog import find
from distill.recipe.loader import load_recipe, resolved_yaml
from distill.recipe.overrides import read_tree
from distill.system.errors import RecipeError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.one_of(st.integers(-3, 10**30), st.just(10**400)),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["distill", "logits", "uniform", "3x384", "minilm-l6", "kind", "1e999"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["kind", "name", "epochs", "lr", "base"]), SCALARS),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


def survives(path, *overrides):
    refused = None
    try:
        recipe = load_recipe(path, *overrides)
    except RecipeError as error:
        refused = error
    if refused is None:
        again = path.with_name("again.yaml")
        again.write_text(resolved_yaml(recipe), "utf-8")
        assert load_recipe(again) == recipe
        return
    lines = str(refused).splitlines()
    assert len(lines) == len(refused.issues) > 0
    assert all(line.isprintable() and len(line) < 2000 for line in lines)


def places(value, path=()):
    pairs = enumerate(value) if isinstance(value, list) else []
    items = value.items() if isinstance(value, dict) else pairs
    return [path, *(place for key, below in items for place in places(below, (*path, key)))]


BASE = read_tree(find("quickstart")).plain()
PLACES = places(BASE)


@settings(max_examples=60, deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES, drop=st.booleans())
def test_any_value_anywhere(place, value, drop):
    content: Any = {"root": yaml.safe_load(yaml.safe_dump(BASE))}
    at, steps = content, ("root", *place)
    for step in steps[:-1]:
        at = at[step]
    if drop:
        del at[steps[-1]]
    else:
        at[steps[-1]] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        text = yaml.dump(content.get("root"), allow_unicode=True)
        path.write_text(text, "utf-8", errors="surrogatepass")
        survives(path)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_bytes_changed(data):
    raw = bytearray(find("quickstart").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_bytes(bytes(raw))
        survives(path)


@settings(max_examples=40, deadline=None)
@given(
    key=st.one_of(
        st.sampled_from(["stages.0", "stages.prune.heads", "student", "seed", "data.train"]),
        st.text(max_size=12),
    ),
    value=st.one_of(st.text(max_size=12), VALUES.map(lambda value: yaml.safe_dump(value))),
)
def test_any_override(key, value):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text("base: quickstart\n")
        survives(path, f"{key}={value}")
