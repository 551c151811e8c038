"""A vector for each text.

Legend: N texts, D width of the model's vectors, K of those that are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill.system.errors import ModelError
from distill.tasks.decoder import Decoder, Inputs, Logits, Page, Scatter, Wording
from distill.tasks.vectors.finish import Finish
from distill.text.encoding import TextEncoder

_SHOWN = 4


class VectorsDecoder(Decoder):
    """The vector of every text."""

    gives_vectors = True
    explains = False
    page = Page("vectors", names=("Text", "Compared with, one a line"), lines=True)
    words = Wording(
        gives="a vector, whose cosines with others say how alike texts are",
        tag="sentence-similarity",
        pipeline="feature-extraction",
        auto_model=("AutoModel", "output.last_hidden_state"),
        majority="the same similarity everywhere",
        limit="Cosines are on a scale of their own: compare them with each other only.",
        differ="The pairs whose place in the order of all is another for {model} than for the "
        "teacher, the furthest first.",
        scatter=Scatter("Cosines against similarities", "similarity", "cosine", same_scale=False),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._finish = Finish.of(self.folder, self.settings)
        self._prompts: dict[str, str] = self.settings.get("prompts", {})
        self._prompt: str | None = None
        self._dim: int | None = None

    def use(self, *, dim: int | None = None, prompt: str | None = None) -> None:
        if dim is not None:
            self._finish.check(dim)
        self.prompted([], prompt)
        self._dim, self._prompt = dim, prompt

    @property
    def used(self) -> dict[str, Any]:
        return {"dim": self._dim, "prompt": self._prompt}

    def prompted(self, texts: Sequence[str], prompt: str | None) -> Sequence[str]:
        name = prompt if prompt is not None else self._prompt
        if name is None:
            name = next(iter(self._prompts), "")
        if name and name not in self._prompts:
            known = ", ".join(self._prompts)
            raise ModelError(
                f"{self.folder}: no prompt '{name}'; "
                + (f"there are: {known}" if known else "it was trained without (task.prompts)")
            )
        before = self._prompts[name] if name else ""
        return [before + text for text in texts] if before else texts

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Inputs:
        return Inputs(texts, pairs, encoder.encode(self.prompted(texts, None), pairs))

    def logits(self, raw: Logits) -> Logits:
        return self.vectors(raw)

    def vectors(self, raw: Logits, *, whiten: bool = True, dim: int | None = None) -> Logits:
        return self._finish(raw, whiten=whiten, dim=self._dim if dim is None else dim)

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """Per text ``{"vector": [...]}``."""
        if not outputs:
            return []
        return [{"vector": vector.tolist()} for vector in self.vectors(np.stack(outputs))]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``[0.021 -0.043 0.008 0.110 ... 384]``."""
        vector = prediction["vector"]
        shown = " ".join(f"{number:.3f}" for number in vector[:_SHOWN])
        return f"[{shown} ... {len(vector)}]"


DECODER = VectorsDecoder
