"""Data, tokenizer and task of a run, made once for all stages."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.array_store import ArrayWriter, open_store
from distill.data.split import Split, TaskData
from distill.data.text.documents import TextSource
from distill.data.text.load import TextData, load_text, text_sources
from distill.data.tokenized import TokenExamples
from distill.recipe.model_shapes import TOKENIZER_FILES, teacher_shape
from distill.recipe.schema import Recipe, TeacherModel
from distill.recipe.schema.models import NO_PAIRS
from distill.recipe.schema.objectives import tokenizer_free
from distill.system import digest
from distill.system.errors import DataError, ModelError
from distill.tasks import make_task
from distill.tasks.base import Task
from distill.tasks.load import load_task_data
from distill.tasks.weights import weights_note
from distill.training.data import Rows
from students.pooling import POOLING
from students.sentence_modules import SentenceModules
from teachers.load import load_tokenizer
from teachers.resolve import model_folder, resolve_model, sentence_modules

logger = logging.getLogger("distill")


def _differences(modules: SentenceModules, pooling: str, max_length: int) -> Iterator[str]:
    """What a sentence encoder does otherwise than the recipe says."""
    if modules.pooling != pooling:
        yield (
            f"its folder pools by '{modules.pooling}', which is followed; the student pools by "
            f"task.pooling '{pooling}'"
        )
    if modules.max_length is not None and modules.max_length < max_length:
        yield (
            f"its folder keeps {modules.max_length} tokens of a text and data.max_length "
            f"{max_length}, so of longer texts it gives other vectors here than by itself"
        )
    if modules.prompts:
        yield (
            f"its prompts ({', '.join(modules.prompts)}) are put before no text; where it needs "
            "one, write it into the data, or make it the folder's default_prompt_name"
        )


def _same_tokens(one: PreTrainedTokenizerFast, other: PreTrainedTokenizerFast) -> bool:
    """Whether both have the same tokens under the same numbers and cut texts alike."""
    return one is other or _meaning(one) == _meaning(other)


def _meaning(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # Padding and truncation are set anew by whoever tokenises; the rest hangs on the vocabulary.
    return {
        "vocabulary": tokenizer.get_vocab(),
        "normalizer": content.get("normalizer"),
        "pre_tokenizer": content.get("pre_tokenizer"),
    }


@dataclass
class Workspace:
    """Data, tokenizer and task of a run, loaded when first asked for and then shared."""

    recipe: Recipe
    _tokenized: dict[tuple[str, int], TokenExamples] = field(default_factory=dict)
    _tokenizers: dict[tuple[str, str | None], PreTrainedTokenizerFast] = field(default_factory=dict)
    _text: dict[bool, TextData] = field(default_factory=dict)
    _readers: dict[Path, Workspace] = field(default_factory=dict)

    @property
    def learns_text(self) -> bool:
        """Whether the run learns from unlabelled text: models have no head then, and no score."""
        return self.recipe.task.learns_text

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
        for key, asked in (
            ("teacher.finetune", self.recipe.teacher.finetune),
            ("baseline", self.recipe.baseline),
        ):
            if asked and not self.data.train.labels:
                raise DataError(
                    f"data.train: the training examples have no scores, which {key} is trained on; "
                    f"write {key}={'false' if key == 'baseline' else 'null'}, or give pairs with "
                    "a score"
                )

    @cached_property
    def data(self) -> TaskData:
        task = self.recipe.task
        if task.learns_text:
            raise DataError("task.kind: text has no labelled examples")
        recipe = self.recipe
        return load_task_data(recipe.data, task, seed=recipe.seed, teacher=recipe.teacher)

    @cached_property
    def text_sources(self) -> dict[str, TextSource]:
        return text_sources(self.recipe.data)

    def text(self, *, pair: bool = False) -> TextData:
        """Unlabelled text, tokenised and packed, with a second segment for ``pair``."""
        if pair not in self._text:
            data, seed = self.recipe.data, self.recipe.seed
            found = load_text(self.text_sources, data, self.tokenizer, pair=pair, seed=seed)
            for note in found.notes:
                logger.info("data: %s", note)
            self._text[pair] = found
        return self._text[pair]

    @property
    def train_examples(self) -> Rows:
        """What is learned from, as token ids."""
        return self.text().train if self.learns_text else self.tokenized(self.data.train)

    @property
    def validation_examples(self) -> Rows:
        """What is held out, as token ids."""
        return self.text().validation if self.learns_text else self.tokenized(self.data.validation)

    @cached_property
    def task(self) -> Task:
        task = self.recipe.task
        if task.learns_text:
            raise DataError("task.kind: text has no score")
        made = make_task(task, self.data.labels, self.data.train.labels)
        if (note := weights_note(made)) is not None:
            logger.info("task: %s", note)
        return made

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The student's tokenizer: that of the folder it starts from, else the first teacher's."""
        theirs = self._load_tokenizer(self.recipe.source)
        start = self.recipe.student.start
        init = None if start is None else model_folder(start)
        if init is None or not any((init / file).is_file() for file in TOKENIZER_FILES):
            return theirs
        own = load_tokenizer(init, for_vectors=self.recipe.task.gives_vectors)
        return theirs if _same_tokens(own, theirs) else own

    def read_by(self, folder: Path) -> Workspace:
        """The same rows as they are read by the student in a folder, with the tokenizer there."""
        if folder not in self._readers:
            other = copy.copy(self)
            vars(other).pop("reads_as_teacher", None)
            vars(other)["tokenizer"] = load_tokenizer(folder, written_here=True)
            self._readers[folder] = other
        return self._readers[folder]

    def tokenizer_of(self, teacher: TeacherModel | None) -> PreTrainedTokenizerFast:
        """A teacher's tokenizer; the student's own without one, or where they are the same."""
        if teacher is None:
            return self.tokenizer
        theirs = self._load_tokenizer(teacher)
        return self.tokenizer if _same_tokens(self.tokenizer, theirs) else theirs

    def _load_tokenizer(self, teacher: TeacherModel) -> PreTrainedTokenizerFast:
        key = (teacher.model, teacher.revision)
        if key not in self._tokenizers:
            self._tokenizers[key] = load_tokenizer(
                resolve_model(teacher.model, revision=teacher.revision),
                revision=teacher.revision,
                trust_remote_code=teacher.trust_remote_code,
                for_vectors=self.recipe.task.gives_vectors,
            )
        return self._tokenizers[key]

    @cached_property
    def reads_as_teacher(self) -> bool:
        """Whether the student reads the tokens of the model that it is made from."""
        return self.tokenizer_of(self.recipe.source) is self.tokenizer

    def check_tokens(self) -> None:
        """Look whether what the recipe matches can be matched with the tokenizers there are.

        Raises:
            ModelError: an objective compares token by token what is not the same tokens.
        """
        for teacher in self.recipe.teacher.all:
            self.tokenizer_of(teacher)
        if self.recipe.task.gives_vectors:
            self._check_sentence_encoders()
        if self.tokenizer.mask_token_id is None:
            self._check_masks()
        if not self.recipe.student.has_layers and self.data.train.paired:
            raise ModelError(f"data: its examples are pairs, and {NO_PAIRS}")
        if self.reads_as_teacher:
            return
        others = ", ".join(tokenizer_free(self.recipe.task))
        for stage in self.recipe.stages:
            for objective in getattr(stage, "objectives", ()):
                if objective.same_tokens:
                    raise ModelError(
                        f"stages.{stage.name}.objectives: '{objective.kind}' compares token by "
                        f"token, and the student ({self.recipe.student.start}) has another "
                        f"tokenizer than the teacher; works here: {others}"
                    )

    def _check_sentence_encoders(self) -> None:
        """Say where a folder of sentence-transformers and the recipe make different vectors.

        Raises:
            ModelError: one of its modules cannot be followed, or vectors are to be shortened to a
                width that they do not have.
        """
        pooling, short = self.task.model_settings[POOLING], self.task.short_widths
        for teacher in self.recipe.teacher.all:
            modules = sentence_modules(teacher.model, revision=teacher.revision)
            if modules is not None:
                for note in _differences(modules, pooling, self.recipe.data.max_length):
                    logger.warning("teacher %s: %s", teacher.model, note)
            shape = teacher_shape(teacher.model)
            if not (self.task.keep_projection and short and shape):
                continue
            width = modules.width(shape.hidden) if modules else shape.hidden
            if short[0] >= width:
                raise ModelError(
                    f"task.matryoshka: {short[0]} dimensions of the teacher's vectors, that have "
                    f"{width}; write fewer"
                )

    def _check_masks(self) -> None:
        """A tokenizer without a mask token, where a stage masks tokens."""
        for stage in self.recipe.stages:
            masks = any("mlm" in one.signals for one in getattr(stage, "objectives", ()))
            if stage.kind == "pretrain" or masks:
                raise ModelError(
                    f"stages.{stage.name}: tokens are masked, and the tokenizer has no mask token; "
                    "take a model whose tokenizer has one ([MASK])"
                )

    @property
    def final_split(self) -> Split:
        """The rows that the final table scores: test where there is one, else validation."""
        return self.data.test or self.data.validation

    def tokenized(self, split: Split, teacher: TeacherModel | None = None) -> TokenExamples:
        """A split's token ids as the student reads them, or one of the teachers."""
        tokenizer = self.tokenizer_of(teacher)
        key = (split.name, id(tokenizer))
        if key not in self._tokenized:
            self._tokenized[key] = split.encode(tokenizer, max_length=self.recipe.data.max_length)
        return self._tokenized[key]

    def given(self, split: Split) -> npt.NDArray[np.float32] | None:
        """What ``teacher.targets`` gives for a split, memory-mapped; ``None`` where it does not.

        Returns:
            (N, C), row i of the split's i-th tokenised example.
        """
        if split.given is None:
            return None

        def fill(writer: ArrayWriter) -> dict[str, Any]:
            for row in split.given or ():
                writer.append(logits=row)
            return {}

        key = digest.of_json(["given", split.given_digest])
        store = open_store("logits", key, {"logits": "float32"}, name=split.name, fill=fill)
        # A pair of texts that have a vector each is one row of the file and two examples.
        return store["logits"].reshape(len(self.tokenized(split)), -1)

    def targets_digest(self, *, scored: bool) -> list[str | None] | None:
        """Hashes of what ``teacher.targets`` gives, where ``scored`` for the final rows too."""
        if self.recipe.teacher.targets is None:
            return None
        data = self.data
        splits = [data.train, *([data.validation, self.final_split] if scored else [])]
        return [split.given_digest for split in splits]

    @property
    def more_digest(self) -> dict[str, str]:
        more = {} if self.learns_text else self.data.more
        return {name: split.digest() for name, split in more.items()}

    @cached_property
    def data_digest(self) -> list[str]:
        """Hashes of the rows: part of what every stage depends on."""
        if self.learns_text:
            limits = f"{self.recipe.data.limit_train} {self.recipe.data.limit_validation}"
            return [*(source.digest() for source in self.text_sources.values()), limits]
        splits = [self.data.train, self.data.validation, self.data.test]
        return [split.digest() for split in splits if split is not None]
