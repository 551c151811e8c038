"""What a masked-language model proposes for words: many words of many sentences at once.

Legend: B masked inputs, L length, D hidden size, V vocabulary, P words, K candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.data.augmentation.words import Reader, Sentence, Word

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

#: Tokens of a forward pass, padding included.
TOKENS_PER_BATCH = 4096
#: More proposals looked at than wanted: the word itself, in other cases too, may be among them.
_MARGIN = 4


class _Item(NamedTuple):
    """One masked input: its place in the answer, its sentence, and the word that is masked."""

    row: int
    sentence: int
    word: Word


class MaskedProposals:
    r"""The K likeliest words at a word's place: :math:`\mathrm{topk}\, p(w \mid x_{\setminus i})`.

    Only whole words of letters count, and never the word itself. Logits are worked out at the
    masked places alone, in fp32.

    Args:
        model: a ``BertForMaskedLM`` or one with its parts (``base_model``, ``cls``).
        original: whether the model reads the unmasked sentence as the second segment; a sentence
            that is too long to be read twice is read once.
        precision: ``fp32`` or ``bf16`` (autocast of the encoder).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        reader: Reader,
        *,
        count: int,
        original: bool = True,
        precision: str = "fp32",
        tokens: int = TOKENS_PER_BATCH,
    ) -> None:
        self.model = model.eval()
        self.count, self.original, self.precision = count, original, precision
        self.tokens = tokens
        self._cls, self._sep = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
        self._mask, self._pad = int(tokenizer.mask_token_id), int(tokenizer.pad_token_id)
        self._longest = int(model.config.max_position_embeddings)
        vocabulary = int(model.config.vocab_size)
        forbidden = torch.full((vocabulary,), -torch.inf)
        forbidden[[number for number in reader.replacements() if number < vocabulary]] = 0
        self._forbidden = forbidden.to(model.device)  # (V,)
        self._folded = [subword.casefold() for subword in reader.subwords]

    @staticmethod
    def words(sentence: Sentence) -> list[Word]:
        """The words that the model is asked for: those of a single subword."""
        return [word for word in sentence.words if len(word.ids) == 1]

    @torch.inference_mode()
    def __call__(self, sentences: Sequence[Sentence]) -> npt.NDArray[np.int32]:
        """(P, K): ids in rising order, -1 where there are fewer; P in the order of the words."""
        every = ((n, word) for n, sentence in enumerate(sentences) for word in self.words(sentence))
        items = [_Item(row, number, word) for row, (number, word) in enumerate(every)]
        found = np.full((len(items), self.count), -1, dtype=np.int32)
        inputs = [self._input(sentence) for sentence in sentences]
        for batch in self._batches(items, inputs):
            top = self._forward(batch, inputs).tolist()  # (B, K + margin)
            for item, ids in zip(batch, top, strict=True):
                own = self._folded[item.word.ids[0]]
                kept = [number for number in ids if self._folded[number] != own][: self.count]
                found[item.row, : len(kept)] = sorted(kept)
        return found

    def _input(self, sentence: Sentence) -> tuple[npt.NDArray[np.int64], int]:
        """Ids of a sentence with special tokens, and where the second segment begins."""
        ids = sentence.ids[: self._longest - 2]
        first = [self._cls, *ids, self._sep]
        twice = self.original and len(first) + len(ids) + 1 <= self._longest
        both = [*first, *ids, self._sep] if twice else first
        return np.array(both, dtype=np.int64), len(first)

    def _batches(
        self, items: list[_Item], inputs: list[tuple[npt.NDArray[np.int64], int]]
    ) -> Iterator[list[_Item]]:
        """Inputs of like length together, longest first."""
        order = sorted(items, key=lambda item: -len(inputs[item.sentence][0]))
        start = 0
        while start < len(order):
            size = max(1, self.tokens // len(inputs[order[start].sentence][0]))
            yield order[start : start + size]
            start += size

    def _forward(
        self, batch: list[_Item], inputs: list[tuple[npt.NDArray[np.int64], int]]
    ) -> Tensor:
        length = len(inputs[batch[0].sentence][0])
        ids = np.full((len(batch), length), self._pad, dtype=np.int64)  # (B, L)
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        places = np.array([1 + item.word.at for item in batch])  # (B,), behind [CLS]
        for row, item in enumerate(batch):
            own, second = inputs[item.sentence]
            ids[row, : len(own)] = own
            types[row, second : len(own)] = 1
            mask[row, : len(own)] = 1
        ids[np.arange(len(batch)), places] = self._mask
        model: Any = self.model
        device = model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            hidden = model.base_model(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(mask).to(device),
                token_type_ids=torch.from_numpy(types).to(device),
            ).last_hidden_state  # (B, L, D)
        rows = torch.arange(len(batch), device=device)
        at_mask = hidden[rows, torch.from_numpy(places).to(device)]  # (B, D)
        logits = model.cls(at_mask.float()) + self._forbidden  # (B, V)
        values, top = logits.topk(min(self.count + _MARGIN, logits.shape[-1]), dim=-1)
        # Of a small vocabulary some of the best are forbidden: the word itself takes their place,
        # and is left out later.
        masked = torch.tensor([item.word.ids[0] for item in batch], device=device)
        found: Tensor = torch.where(values.isfinite(), top, masked[:, None])
        return found
