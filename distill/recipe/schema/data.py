"""The ``data`` section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr, field_validator

from distill.files.rows import one_character
from distill.section import Name, PositiveInt, Section

Paths = StrictStr | Annotated[list[StrictStr], Field(min_length=1)]

#: Data sets that need no network, read from installed packages, and their columns.
BUILTIN = {
    "docsearch": ("query", "candidates", "label"),
    "docstrings": ("text", "label"),
    "rotten_tomatoes": ("text", "label"),
}


class Columns(Section):
    """Which columns of the data hold what."""

    text: StrictStr = "text"
    """The column with the text (or the first sentence of a pair)."""
    text_pair: StrictStr | None = None
    """The column with the second sentence of a pair."""
    question: StrictStr = "question"
    """Question answering: the column with the question."""
    context: StrictStr = "context"
    """Question answering: the column with the text that may answer it."""
    answers: StrictStr = "answers"
    """Question answering: the column with the answers and the characters they start at."""
    query: StrictStr = "query"
    """Ranking: the column with the query."""
    query_id: StrictStr | None = None
    """Ranking: the column with what a query is called; rows with one id are one query. Left out,
    rows with one query text are."""
    candidates: StrictStr = "candidates"
    """Ranking: the column with a candidate, or the list of a query's candidates."""
    relevant: StrictStr | None = None
    """Ranking: the column with the place in that list (or a list of places), from 0, of what is
    relevant, where there is no ``label`` with a relevance for each."""
    id: StrictStr | None = None
    """The column with what a row is called; where it is named, no id may stand twice in a split.
    Question answering: left out, ``id``, where there is such a column."""
    label: StrictStr = "label"
    """The column with the label: a name, or its integer; of a regression a number; of several
    labels a list; of a ranking the candidate's relevance, 0 or more, or the list of them."""
    tokens: StrictStr = "tokens"
    """Named entities: the column with the list of words; of a CoNLL file the first one."""
    tags: StrictStr = "tags"
    """Named entities: the column with the list of tags, names or integers; of a CoNLL file the
    last one. Its other columns go by their numbers from 1."""
    separator: Annotated[StrictStr, Field(min_length=1)] | None = None
    """What stands between several labels in one cell of text; left out, such a cell holds a JSON
    list, or one label."""


class DataConfig(Section):
    """Where the rows come from."""

    source: Literal["builtin", "files", "hub"]
    """``builtin`` (read from installed packages), ``files`` (paths) or ``hub`` (a name)."""
    path: StrictStr | None = None
    """The hub data set (``nyu-mll/glue``) or the built-in one (``rotten_tomatoes``)."""
    subset: StrictStr | None = None
    """The hub data set's configuration, such as ``sst2``; only ``hub`` uses it."""
    revision: StrictStr | None = None
    """The hub data set's revision; only ``hub`` uses it."""
    train: Paths | None = None
    """``files``: csv, tsv, jsonl (each optionally .gz), parquet or a saved ``datasets`` folder;
    unlabelled text: txt and jsonl files, folders and patterns, one or a list;
    ``hub``: the split's name, if it is not ``train``."""
    validation: Paths | None = None
    """Chooses checkpoints. Left out, a tenth of the training examples (of unlabelled text: every
    50th document) is held out for it."""
    test: StrictStr | None = None
    """Scored at the end only. Left out, the final table scores the validation examples."""
    more: dict[Name, StrictStr] = {}
    """Further examples by name (``files``: a path; ``hub``: a split), such as MNLI's mismatched.
    Every model is scored on each apart, at the end; they choose nothing."""
    columns: Columns = Columns()
    """Which columns hold the text and the label."""
    delimiter: StrictStr | None = None
    """What separates the fields of csv and tsv files. Left out, a tab in tsv, and in csv a comma,
    or the semicolon, tab or bar that the header has instead."""
    on_bad_row: Literal["refuse", "skip"] = "refuse"
    """What happens to a row that cannot be used (no text, unknown label, ...): ``refuse`` stops
    with its place; ``skip`` sets it aside in ``bad_rows.jsonl``, counted in the report."""
    max_length: Annotated[StrictInt, Field(ge=8, le=512)] = 128
    """Tokens kept of an example, special tokens included; how many were cut is reported."""
    limit_train: PositiveInt | None = None
    """Use only so many training examples, drawn by the seed; unlabelled text: so many sequences,
    evenly spread."""
    limit_validation: PositiveInt | None = None
    """Use only so many validation (and test) rows, drawn by the seed; unlabelled text: so many
    sequences, evenly spread (left out, 500)."""

    @field_validator("delimiter")
    @classmethod
    def _character(cls, delimiter: str | None) -> str | None:
        return None if delimiter is None else one_character(delimiter)
