"""First weights of a student from a folder: the encoder of a model of the same size."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModel, PreTrainedModel

from distill.recipe.run_models import model_of_run
from distill.recipe.sizes import Size
from distill.system.errors import ModelError
from students.family import family_of
from students.folder import check_folder, loading, read_config
from students.heads import masked_head
from students.pooling import DENSE
from students.weights import check_loaded


def load_encoder_into(student: PreTrainedModel, folder: Path, size: Size) -> None:
    """Take the encoder's weights from a folder; the head stays as drawn.

    Args:
        student: whose encoder it becomes.
        folder: the folder of a model, or of a run that made one.
        size: the student's size, which the folder's model must have.

    Raises:
        ModelError: the folder holds a model of another family, of another size, or one without all
            weights.
    """
    folder = check_folder(model_of_run(folder))
    found = read_config(folder)
    config = student.config
    if found.get("model_type") != config.model_type:
        raise ModelError(
            f"student.init: {folder} holds a '{found.get('model_type')}'; it must be a "
            f"'{config.model_type}', as students of this teacher are"
        )
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads")
    keys = {name: config.attribute_map.get(name, name) for name in names}
    wanted = [*names, family_of(config.model_type).ffn_size, "vocab_size"]
    differs = [
        f"{name} {found.get(keys.get(name, name))} (wanted {getattr(config, name)})"
        for name in wanted
        if found.get(keys.get(name, name)) != getattr(config, name)
    ]
    if differs:
        raise ModelError(
            f"student.init: {folder} does not hold a student of size '{size.name}': "
            f"{', '.join(differs)}; change student.size or the folder"
        )
    with loading(folder), torch.random.fork_rng(devices=[]):
        encoder, info = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    try:
        check_loaded(folder, encoder, info, optional=("pooler.",), keeps_head=False)
    except ModelError as error:
        raise ModelError(f"student.init: {error}") from error
    weights = {n: w for n, w in encoder.state_dict().items() if n not in info["missing_keys"]}
    student.base_model.load_state_dict(weights, strict=False)
    if masked_head(student) is not None or getattr(config, DENSE, None):
        _load_heads(student, folder)


def _load_heads(student: PreTrainedModel, folder: Path) -> None:
    """Take the heads of pre-training, or a projection of vectors, where the folder has them."""
    encoder = f"{student.base_model_prefix}."
    own = {name: w for name, w in student.state_dict().items() if not name.startswith(encoder)}
    for file in sorted(folder.glob("*.safetensors")):
        with loading(folder), safe_open(file, framework="pt") as content:
            for name in own.keys() & set(content.keys()):
                weight = content.get_tensor(name)
                if weight.shape == own[name].shape:
                    own[name].copy_(weight)
