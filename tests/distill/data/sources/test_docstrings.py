import sys
import textwrap

import pytest

from distill.data.sources import docstrings as source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Too short text.",
        "concatenate(arrays, axis of the join, output array)",
        "amax(Tensor first, Tensor second dims) -> Tensor",
        "Args:\n    first: one value of many values",
        "Parameters\n----------\nfirst : one value of many values",
        ">>> from some import thing or other",
        "[Sin](https://example.org/many/words/in/an/address 'Online Documentation')",
        "x = 1 + 2 - 3 * 4 / 5 ** 6",
        "word " * 101,
    ],
)
def test_what_says_too_little_is_no_row(text):
    assert source.paragraph(text) is None


def test_docstrings_of_modules_classes_functions_nested_and_in_branches(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(
        textwrap.dedent(
            '''
            """Module."""
            raise SystemExit("this file must never run")
            class A:
                """Class."""
                async def f(self):
                    """Method."""
                    def g():
                        """Inner."""
            try:
                pass
            except ValueError:
                def h():
                    """Handler."""
            else:
                def i():
                    """Else."""
            """not a docstring"""
            '''
        )
    )
    assert sorted(source.docstrings(path)) == [
        ("", "Module."),
        ("A", "Class."),
        ("A.f", "Method."),
        ("g", "Inner."),
        ("h", "Handler."),
        ("i", "Else."),
    ]


@pytest.fixture
def library(tmp_path, monkeypatch):
    folder = tmp_path / "madeup_library"
    for name, text in {
        "__init__.py": "Everything that anybody needs here.",
        "b.py": "A text that names madeup_library itself.",
        "c.py": "Options of the Madeup command line tool.",
        "tests/test_a.py": "Check that nothing breaks in here.",
        "_vendor/other.py": "Belongs to somebody else for certain.",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""{text}"""\nraise SystemExit("imported")\n')
    monkeypatch.syspath_prepend(tmp_path)
    return source.Library("madeup", "madeup_library", ("madeup",))


def test_a_library_is_read_without_import_and_never_names_itself(library):
    assert source.texts_of(library) == {"Everything that anybody needs here."}
    assert "madeup_library" not in sys.modules


def test_what_is_selected_does_not_depend_on_order():
    texts = {
        "a": {f"text number {n} of the first" for n in range(300)},
        "b": {f"text number {n} of the second" for n in range(300)},
    }
    rows = source.select(texts)
    assert len(rows) == 600
    turned = {label: set(texts[label]) for label in reversed(texts)}
    assert source.select(turned) == rows
    shares = {split: sum(row[0] == split for row in rows) / 600 for split, _, _ in rows}
    assert shares["train"] == pytest.approx(0.8, abs=0.05)
    assert shares["validation"] == pytest.approx(0.1, abs=0.04)


def test_texts_of_several_libraries_have_all_their_labels():
    texts = {
        "b": {"Return a copy of the array.", "Only in b is this text."},
        "a": {
            "Return a copy of the array.",
            "Twice in a is THIS text.",
            "Twice in a is this text.",
        },
        "c": {"return a copy of the ARRAY."},
    }
    rows = {text.casefold(): labels for _, text, labels in source.select(texts)}
    assert rows == {
        "return a copy of the array.": ["a", "b", "c"],
        "only in b is this text.": ["b"],
    }
