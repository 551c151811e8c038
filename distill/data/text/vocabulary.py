"""A WordPiece vocabulary of one's own, learned from text or read from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from distill.data.text.documents import TextSource
from distill.recipe.model_shapes import vocabulary_lines
from distill.system.console import Bar
from distill.system.errors import DataError

#: In the order of their ids in a vocabulary that is learned here.
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def learn_vocabulary(source: TextSource, *, size: int, lowercase: bool = True) -> list[str]:
    """A WordPiece vocabulary with BERT's normalisation: Chinese signs are words of their own.

    Of ``size`` entries at most, :data:`SPECIAL` come first. Single signs take at most half of it,
    the most frequent ones; the same text gives the same vocabulary.

    Raises:
        DataError: the text has no words.
    """
    engine = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    engine.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, inner = _signs(source, engine)
    if not first:
        raise DataError(f"{source.place}: no words in it to make a vocabulary of")
    signs = _most(first + inner, (size - len(SPECIAL)) // 2)
    # The trainer numbers signs inside words in the order of a hash map and breaks ties by number;
    # given beforehand, in order, they make the same vocabulary every time.
    within = [f"##{sign}" for sign in signs if inner[sign]]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[*SPECIAL, *within],
        initial_alphabet=signs,
        limit_alphabet=len(signs),
        show_progress=False,
    )
    with Bar("learn vocabulary", source.size) as bar:
        engine.train_from_iterator(_lines(source, bar), trainer)
    vocabulary = engine.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _signs(source: TextSource, engine: Tokenizer) -> tuple[Counter[str], Counter[str]]:
    """How often each sign begins a word, and stands inside one."""
    first: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    with Bar("count signs", source.size) as bar:
        for line in _lines(source, bar):
            text = engine.normalizer.normalize_str(line)
            for word, _ in engine.pre_tokenizer.pre_tokenize_str(text):
                first[word[0]] += 1
                inner.update(word[1:])
    return first, inner


def _most(counts: Counter[str], most: int) -> list[str]:
    ranked = sorted(counts, key=lambda sign: (-counts[sign], sign))
    return sorted(ranked[:most])


def _lines(source: TextSource, bar: Bar) -> Iterator[str]:
    for at, document in source.documents():
        yield from document
        bar.advance(at - bar.done)


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a ``vocab.txt``, one a line, by id.

    Raises:
        DataError: it cannot be read, a token stands in it twice, or a special one is missing.
    """
    tokens = vocabulary_lines(path)
    missing = [token for token in SPECIAL if token not in set(tokens)]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)}; a vocabulary has one token on each line")
    if len(set(tokens)) != len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise DataError(f"{path}: '{twice}' stands in it twice; each line is another token")
    return tokens


def make_tokenizer(tokens: list[str], *, lowercase: bool = True) -> PreTrainedTokenizerFast:
    """BERT's tokenizer over a vocabulary (tokens by id), of 512 tokens at most."""
    ids = {token: number for number, token in enumerate(tokens)}
    engine = Tokenizer(models.WordPiece(ids, unk_token=SPECIAL[1]))
    engine.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    marks = {f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine, model_input_names=inputs, **marks)
    tokenizer.model_max_length = 512
    return tokenizer
