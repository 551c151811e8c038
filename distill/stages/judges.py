"""The judge of each kind of task."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation.predictions import KINDS
from distill.stages.judge import Judge
from distill.stages.judge_answers import AnswerJudge
from distill.stages.judge_rows import RowJudge
from distill.stages.judge_tags import TagJudge
from distill.stages.judge_vectors import VectorJudge
from distill.tasks.base import Task
from distill.tasks.ner.tokens import TaggedDataset, TaggedSplit
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit
from distill.tasks.vectors.data import VectorSplit


def make_judge(
    task: Task, split: Split, rows: TokenRows, tokenizer: PreTrainedTokenizerFast
) -> Judge:
    """What keeps what models say of a split's rows.

    Args:
        task: the run's task.
        split: the scored rows.
        rows: the same as token ids, as the final model reads them.
        tokenizer: the final model's.
    """
    if isinstance(split, TaggedSplit) and isinstance(rows, TaggedDataset):
        return TagJudge(task, split, rows, tokenizer)
    if isinstance(split, QuestionSplit) and isinstance(task, QuestionAnswering):
        return AnswerJudge(task, split)
    if isinstance(split, VectorSplit) and split.scored:
        return VectorJudge(split, task.primary)
    return RowJudge(task, split, rows) if task.kind in KINDS else Judge()
