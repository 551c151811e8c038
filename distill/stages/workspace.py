"""Data, tokenizer and task of a run, made once for all stages."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property

from transformers import PreTrainedTokenizerFast

from distill.data.load import load_task_data
from distill.data.split import Split, TaskData
from distill.data.text.documents import TextSource
from distill.data.text.load import TextData, load_text, text_sources
from distill.data.tokenized import TokenizedDataset, tokenize
from distill.errors import DataError
from distill.modules.fit import Rows
from distill.recipe.schema import Recipe, TextTask
from distill.tasks import Task, make_task
from teachers.load import load_tokenizer, resolve_model

logger = logging.getLogger("distill")


@dataclass
class Workspace:
    """Data, tokenizer and task of a run, loaded when first asked for and then shared.

    Args:
        recipe: the run's recipe.
    """

    recipe: Recipe
    _tokenized: dict[str, TokenizedDataset] = field(default_factory=dict)

    @property
    def learns_text(self) -> bool:
        """Whether the run learns from unlabelled text: models have no head then, and no score."""
        return isinstance(self.recipe.task, TextTask)

    def check_data(self) -> None:
        """Look at the data before anything is written, and tell what a person should know.

        Raises:
            DataError: they cannot be used as they are.
        """
        if self.learns_text:
            self.text_sources  # noqa: B018 - found, not yet tokenised
            return
        for note in self.data.notes:
            logger.info("data: %s", note)

    @cached_property
    def data(self) -> TaskData:
        """The rows of a task with labels."""
        task = self.recipe.task
        if isinstance(task, TextTask):
            raise DataError("task.kind: text has no labelled rows")
        return load_task_data(self.recipe.data, task, seed=self.recipe.seed)

    @cached_property
    def text_sources(self) -> dict[str, TextSource]:
        """Where unlabelled text comes from."""
        return text_sources(self.recipe.data)

    @cached_property
    def text(self) -> TextData:
        """Unlabelled text, tokenised and packed."""
        found = load_text(
            self.text_sources, self.recipe.data, self.tokenizer, pair=False, seed=self.recipe.seed
        )
        for note in found.notes:
            logger.info("data: %s", note)
        return found

    @property
    def train_rows(self) -> Rows:
        """What is learned from, as token ids."""
        return self.text.train if self.learns_text else self.tokenized(self.data.train)

    @property
    def validation_rows(self) -> Rows:
        """What is held out, as token ids."""
        return self.text.validation if self.learns_text else self.tokenized(self.data.validation)

    @cached_property
    def task(self) -> Task:
        """Labels, loss and metrics."""
        task = self.recipe.task
        if isinstance(task, TextTask):
            raise DataError("task.kind: text has no score")
        return make_task(task, self.data.labels)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The teacher's tokenizer, which the student shares."""
        teacher = self.recipe.teacher
        return load_tokenizer(
            resolve_model(teacher.model, revision=teacher.revision),
            revision=teacher.revision,
            trust_remote_code=teacher.trust_remote_code,
        )

    @property
    def final_split(self) -> Split:
        """The rows that the final table scores: test where there is one, else validation."""
        return self.data.test or self.data.validation

    def tokenized(self, split: Split) -> TokenizedDataset:
        """A split's token ids."""
        if split.name not in self._tokenized:
            self._tokenized[split.name] = tokenize(
                split, self.tokenizer, max_length=self.recipe.data.max_length
            )
        return self._tokenized[split.name]

    @cached_property
    def data_digest(self) -> list[str]:
        """Hashes of the rows: part of what every stage depends on."""
        if self.learns_text:
            limits = f"{self.recipe.data.limit_train} {self.recipe.data.limit_validation}"
            return [*(source.digest() for source in self.text_sources.values()), limits]
        splits = [self.data.train, self.data.validation, self.data.test]
        return [split.digest() for split in splits if split is not None]
