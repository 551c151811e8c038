"""Words and answers are found with any family's tokenizer: WordPiece, byte-level BPE, Unigram."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from distill.text.questions import Limits, WindowEncoder, token_span
from distill.text.words import words_of

TEXTS = ["Ada Lovelace wrote it in London,  1843.", "Who wrote it? Éva, in Paris (France)."] * 5


def tokenizer(kind: str) -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=special)
    elif kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=special, initial_alphabet=alphabet
        )
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    made.train_from_iterator(TEXTS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", made.token_to_id("<s>")), ("</s>", made.token_to_id("</s>"))],
    )
    return made


@pytest.mark.parametrize("kind", ["wordpiece", "bytes", "unigram"])
def test_words_are_without_spaces_and_apart_from_marks(kind) -> None:
    text = TEXTS[0]
    words = words_of(tokenizer(kind).encode(text), text)
    found = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert found[:7] == ["Ada", "Lovelace", "wrote", "it", "in", "London", ","]
    assert "".join(found[7:]) == "1843."


@pytest.mark.parametrize("kind", ["wordpiece", "bytes", "unigram"])
def test_answers_are_the_characters_of_the_text(kind) -> None:
    context = TEXTS[1]
    [window] = WindowEncoder(tokenizer(kind), Limits(128, 8, 16)).encode(["in?"], [context])[0]
    for answer in ("wrote", "Éva", "France"):
        start = context.index(answer)
        span = token_span(window, start, start + len(answer), part=(True, True))
        first, last = (at - window.first for at in span)
        assert context[window.chars[first, 0] : window.chars[last, 1]].startswith(answer)
