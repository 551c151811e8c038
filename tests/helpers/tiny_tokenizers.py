"""Tokenizers of each kind, trained on some sentences: WordPiece, byte-level BPE, Unigram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

FIRST, PAD, LAST, UNKNOWN = "<s>", "<pad>", "</s>", "<unk>"
KINDS = ("wordpiece", "bytes", "unigram")


def trained(
    kind: str, texts: Sequence[str], *, model_max_length: int = 256
) -> PreTrainedTokenizerFast:
    """One of :data:`KINDS`, whose special tokens are RoBERTa's."""
    special: dict[str, Any] = {"special_tokens": [FIRST, PAD, LAST, UNKNOWN], "vocab_size": 300}
    made: Tokenizer
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=alphabet, **special)
    elif kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(**special)
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token=UNKNOWN, show_progress=False, **special)
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}",
        pair=f"{FIRST} $A {LAST} {LAST} $B {LAST}",
        special_tokens=[(token, made.token_to_id(token)) for token in (FIRST, LAST)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        cls_token=FIRST,
        sep_token=LAST,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=model_max_length,
    )
