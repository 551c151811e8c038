"""A recipe's unlabelled text: found, tokenised, packed, and a part of it held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.data.sources.builtin import read_builtin
from distill.data.sources.columnar import chosen_splits
from distill.data.text.corpus import pack, tokenize_text
from distill.data.text.documents import FileSource, RowSource, TextSource, find_files
from distill.data.text.rows import SpecialTokens, TextSequences
from distill.data.tokenized import check_length
from distill.recipe.schema import DataConfig
from distill.system import digest
from distill.system.errors import DataError, listed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Sequences of held-out text that are scored, where ``data.limit_validation`` says nothing.
SCORED = 500


@dataclass(frozen=True)
class TextData:
    """Unlabelled text to train on, held-out text, and sentences for the person."""

    train: TextSequences
    validation: TextSequences
    notes: list[str]


def text_sources(data: DataConfig) -> dict[str, TextSource]:
    """Where a recipe's text comes from: ``train``, and ``validation`` where it is named.

    Raises:
        DataError: a file, data set, split or column is not there.
    """
    if data.source == "files":
        names = {"train": data.train, "validation": data.validation}
        return {
            role: FileSource(find_files(name, key=f"data.{role}"), data.columns.text)
            for role, name in names.items()
            if name is not None
        }
    if data.source == "builtin":
        table = read_builtin(data)["train"]
        rows = [str(text) for text in table.column(data.columns.text, "data.columns.text")]
        return {"train": RowSource(table.place, rows, digest.of_texts(rows), len(rows))}
    return _hub(data)


def _hub(data: DataConfig) -> dict[str, TextSource]:
    named = {
        role: name if isinstance(name, str) else None
        for role, name in (("train", data.train), ("validation", data.validation))
    }
    found: dict[str, TextSource] = {}
    for role, (place, rows) in chosen_splits(data, named).items():
        column = data.columns.text
        if column not in rows.column_names:
            raise DataError(
                f"data.columns.text: {data.path} has no column '{column}'; columns are "
                f"{listed(rows.column_names)}"
            )
        # Read from memory-mapped files row by row.
        found[role] = RowSource(place, rows[column], str(rows._fingerprint), len(rows))
    return found


def load_text(
    sources: dict[str, TextSource],
    data: DataConfig,
    tokenizer: PreTrainedTokenizerFast,
    *,
    pair: bool,
    seed: int,
) -> TextData:
    """Tokenise and pack text, for sequences with a segment B where ``pair`` says so.

    Without validation text, one document of 50, drawn by the seed, is held out for it.

    Raises:
        DataError: the text cannot be used as it is.
    """
    length = data.max_length
    check_length(tokenizer, length)
    special = SpecialTokens(tokenizer)
    corpus = tokenize_text(sources["train"], tokenizer, name="text")
    named = sources.get("validation")
    packed = pack(corpus, max_length=length, pair=pair, hold_out=named is None, seed=seed)
    train = TextSequences(corpus, packed.train, special)
    if named is None:
        validation = TextSequences(corpus, packed.held_out, special)
    else:
        other = tokenize_text(named, tokenizer, name="validation text")
        rows = pack(other, max_length=length, pair=pair, hold_out=False, seed=seed).train
        validation = TextSequences(other, rows, special)
    learned = train.take(data.limit_train)
    scored = validation.take(data.limit_validation or SCORED)
    notes = [
        f"{corpus.facts['tokens']:,} tokens in {corpus.facts['documents']:,} documents; "
        f"{len(learned):,} sequences to learn from"
    ]
    if named is None:
        notes.append(
            f"no validation text: {len(validation):,} sequences of whole documents are held out"
        )
    if len(scored) < len(validation):
        notes.append(f"{len(scored):,} of {len(validation):,} held-out sequences are scored")
    return TextData(learned, scored, notes)
