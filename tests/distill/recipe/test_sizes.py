import pytest

from distill.recipe.sizes import NAMED, Size, resolve_size
from distill.system.errors import ModelError


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("tinybert4", (4, 312, 12, 1200)),
        ("TinyBERT6", (6, 768, 12, 3072)),
        ("bert-tiny", (2, 128, 2, 512)),
        ("4x312", (4, 312, 12, 1200)),
        ("3x384", (3, 384, 6, 1536)),
        ("2x128", (2, 128, 2, 512)),
        ("2x32", (2, 32, 1, 128)),
        ("3x384/12", (3, 384, 12, 1536)),
        ("3x384/12/500", (3, 384, 12, 500)),
        ("1x7", (1, 7, 1, 28)),
    ],
)
def test_shape(text, shape):
    size = resolve_size(text)
    assert (size.layers, size.hidden, size.heads, size.ffn) == shape
    assert size.name == text.lower()


def test_teacher_heads_are_preferred_where_they_divide():
    assert resolve_size("3x384", head_dim_of=(768, 12)) == Size(3, 384, 12, 1536, "3x384")
    assert resolve_size("3x256", head_dim_of=(768, 12)).heads == 4
    assert resolve_size("3x384/6", head_dim_of=(768, 12)).heads == 6
    assert resolve_size("bert-mini", head_dim_of=(768, 12)).heads == 4


def test_heads_of_every_named_size_divide_its_width():
    assert all(hidden % heads == 0 for _, hidden, heads, _ in NAMED.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tinibert4", "did you mean 'tinybert4'?"),
        ("big", "LAYERSxWIDTH"),
        ("0x384", "layers must be 1 to"),
        ("3x0", "the width 1 to"),
        ("3x384/7", "7 heads do not divide the width 384; 3, 4, 6, 8 would"),
        ("3x384/0", "0 heads do not divide"),
        ("3x384/12/0", "at least 1 neuron"),
        ("", "unknown student size"),
        ("٣x384", "unknown student size"),
    ],
)
def test_refused_in_one_line(text, said):
    with pytest.raises(ModelError) as caught:
        resolve_size(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
