import pytest

from distill.recipe import catalog
from distill.system.errors import RecipeError


def test_names_are_recipes_and_not_their_parts():
    names = catalog.names()
    assert {"quickstart", "sst2", "mrpc"} <= set(names)
    assert names == sorted(names)
    assert not any("_base" in name for name in names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quikstart", "quikstart: no recipe of this name; did you mean 'quickstart'?"),
        ("zzz", "zzz: no recipe of this name; `distill ls` lists them"),
        ("_base/glue", "no recipe of this name"),
        ("", "'': no recipe"),
        ("a\0b", "a?b: no recipe"),
        ("x" * 5000, "no recipe of this name"),
    ],
)
def test_unknown_names(name, said):
    with pytest.raises(RecipeError) as caught:
        catalog.find(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
