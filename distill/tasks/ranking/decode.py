"""The candidates of a query in order, by their scores.

Legend: N queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distill.tasks.decoder import Inputs, Logits, Page, Wording
from distill.tasks.regression.decode import RegressionDecoder
from distill.text.encoding import TextEncoder


class RankingDecoder(RegressionDecoder):
    """The candidates of every query.

    A score is the model's raw logit for a query and a candidate.
    """

    always_pairs = True
    takes_candidates = True
    page = Page("ranking", names=("Query", "Texts, one a line"), lines=True)
    words = Wording(
        gives="a score (`score`), by which the candidates of a query are put into an order",
        tag="reranking",
        pipeline="text-ranking",
        auto_model=("AutoModelForSequenceClassification", "output.logits"),
        example=("some query", "a text that may answer it"),
        majority="candidates in random order",
        limit="It puts candidates into an order and does not say whether any of them answers the "
        "query; scores are logits on no scale.",
        differ="Below are queries for which {model} puts another candidate first than the teacher "
        "does, those where it loses most first; a tick marks a first one that is most relevant.",
    )

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[Any] | None
    ) -> Inputs:
        pairs = pairs or ()
        first = [text for text, own in zip(texts, pairs, strict=True) for _ in own]
        second = [candidate for own in pairs for candidate in own]
        return Inputs(texts, pairs, encoder.encode(first, second))

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """Per query ``{"candidates": [{"index", "score", "text"}]}``, the best candidate first.

        ``index`` is the candidate's place in the list that was given, from 0. Those with equal
        scores keep their order.
        """
        scores = iter(float(own[0]) for own in outputs)
        found = []
        for texts in inputs.pairs or ():
            ranked = [
                {"index": index, "score": next(scores), "text": text}
                for index, text in enumerate(texts)
            ]
            found.append({"candidates": sorted(ranked, key=lambda one: -one["score"])})
        return found

    def line(self, prediction: Mapping[str, Any]) -> str:
        """A line for each candidate: ``   3.412  Paris is the capital of France.``."""
        return "\n".join(
            f"{one['score']:8.3f}  {' '.join(one['text'].split())}"
            for one in prediction["candidates"]
        )


DECODER = RankingDecoder
