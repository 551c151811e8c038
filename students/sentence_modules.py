"""What a folder of sentence-transformers says of its vectors, besides the encoder's weights.

Its ``modules.json`` lists what a text goes through: the encoder, a pooling, perhaps Dense layers,
perhaps a normalisation. What cannot be followed is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from distill.system.atomic import write_json
from distill.system.errors import ModelError
from students.folder import PRUNED_CONFIG, first_line
from students.pooling import ACTIVATIONS, DENSE

#: The file of a folder that says of which modules it consists.
MODULES = "modules.json"
_SETTINGS = "sentence_bert_config.json"
_PROMPTS = "config_sentence_transformers.json"
_OURS = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "weighted",
    "lasttoken": "last",
}
#: The poolings by the names of older versions, in the order in which several are joined.
_OLD = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt",
    "pooling_mode_weightedmean_tokens": "weighted",
    "pooling_mode_lasttoken": "last",
}
_MODULE = "sentence_transformers.models"
_SPECIAL = ("unk", "sep", "pad", "cls", "mask", "bos", "eos")

_DENSE_ENDS = ("module_input_name", "module_output_name")

#: Gives a file of the folder by its name, or ``None`` where there is none.
Fetch = Callable[[str], Path | None]


@dataclass(frozen=True)
class SentenceModules:
    """What follows the encoder, and how texts reach it."""

    pooling: str  # as :func:`students.pooling.pool` takes it
    # the layers behind it, as :func:`students.pooling.sentence_class` takes them
    dense: tuple[Mapping[str, Any], ...] = ()
    weights: tuple[Path, ...] = ()  # the file with the weights of each
    normalize: bool = False  # whether vectors get length 1
    max_length: int | None = None  # tokens kept of a text; ``None`` where nothing says so
    lower: bool = False  # whether texts are lower-cased before the tokenizer sees them
    prompt: str = ""  # what is put before every text
    # names of further prompts, which are put before a text only when asked for
    prompts: tuple[str, ...] = ()

    def width(self, hidden: int) -> int:
        """The width of the vectors of an encoder with hidden states so wide."""
        if self.dense:
            return int(self.dense[-1]["out_features"])
        return hidden * len(self.pooling.split("+"))


def read_modules(where: str | Path, fetch: Fetch) -> SentenceModules | None:
    """The modules of a folder; ``None`` where it is not one of sentence-transformers.

    Args:
        where: the folder or hub name, for messages.
        fetch: gives its files.

    Raises:
        ModelError: a module, or an order of modules, cannot be followed.
    """
    entries = _read(fetch(MODULES), where)
    if entries is None:
        return None
    kinds = [str(entry.get("type", "")).rpartition(".")[2] for entry in entries]
    known = ("Transformer", "Pooling", "Dense", "Normalize")
    for kind, entry in zip(kinds, entries, strict=True):
        if kind not in known:
            raise ModelError(
                f"{where}: its module '{entry.get('type')}' ({MODULES}) cannot be followed; known: "
                f"{', '.join(known)}"
            )
    dense = kinds.count("Dense")
    if kinds not in (
        ["Transformer", "Pooling", *["Dense"] * dense],
        ["Transformer", "Pooling", *["Dense"] * dense, "Normalize"],
    ):
        raise ModelError(
            f"{where}: its modules stand as {', '.join(kinds)} ({MODULES}); only Transformer, "
            "Pooling, Dense (any number), Normalize can be followed, in this order"
        )
    path = [str(entry.get("path", "")) for entry in entries]
    pooling = _read(fetch(f"{path[1]}/config.json"), where) or {}
    settings = _read(fetch(f"{path[0]}/{_SETTINGS}".lstrip("/")), where) or {}
    said = _read(fetch(_PROMPTS), where) or {}
    prompts = {str(k): str(v) for k, v in (said.get("prompts") or {}).items() if v}
    prompt = prompts.pop(str(said.get("default_prompt_name")), "")
    if prompt and not pooling.get("include_prompt", True):
        raise ModelError(
            f"{where}: its Pooling leaves the tokens of the prompt out (include_prompt), which "
            "cannot be followed"
        )
    layers = [_dense(where, fetch, path[2 + number]) for number in range(dense)]
    limit = settings.get("max_seq_length")
    return SentenceModules(
        pooling=_pooling(where, pooling),
        dense=tuple(layer for layer, _ in layers),
        weights=tuple(file for _, file in layers),
        normalize=kinds[-1] == "Normalize",
        max_length=int(limit) if limit else None,
        lower=bool(settings.get("do_lower_case")),
        prompt=prompt,
        prompts=tuple(prompts),
    )


def _read(file: Path | None, where: str | Path) -> Any:
    if file is None:
        return None
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{where}: {file.name} cannot be read: {first_line(error)}") from error


def _pooling(where: str | Path, config: Mapping[str, Any]) -> str:
    modes = config.get("pooling_mode")
    if modes is None:
        found = [ours for name, ours in _OLD.items() if config.get(name)] or ["mean"]
        return "+".join(found)
    names = [modes] if isinstance(modes, str) else list(modes)
    unknown = [name for name in names if name not in _OURS]
    if unknown or not names:
        raise ModelError(
            f"{where}: its Pooling '{unknown[0] if unknown else ''}' cannot be followed; known: "
            f"{', '.join(_OURS)}"
        )
    return "+".join(_OURS[name] for name in names)


def _dense(where: str | Path, fetch: Fetch, path: str) -> tuple[dict[str, Any], Path]:
    """A Dense module's shape, and the file of its weights."""
    config = _read(fetch(f"{path}/config.json"), where) or {}
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = name.rpartition(".")[2]
    if activation not in ACTIVATIONS or not name.startswith("torch.nn."):
        raise ModelError(
            f"{where}: the activation '{name}' of its module {path} cannot be followed; known: "
            f"{', '.join(ACTIVATIONS)}"
        )
    moved = {config.get(key) or "sentence_embedding" for key in _DENSE_ENDS}
    if config.get("use_residual") or moved != {"sentence_embedding"}:
        raise ModelError(
            f"{where}: its module {path} adds its input (use_residual) or reads something else "
            "than the pooled vector, which cannot be followed"
        )
    weights = fetch(f"{path}/model.safetensors")
    if weights is None:
        raise ModelError(
            f"{where}: its module {path} has no model.safetensors (a pytorch_model.bin is a "
            "pickle, which is not loaded); save the model again with sentence-transformers"
        )
    shape = {
        "in_features": int(config["in_features"]),
        "out_features": int(config["out_features"]),
        "bias": bool(config.get("bias", True)),
        "activation": activation,
    }
    return shape, weights


def prepared(
    tokenizer: PreTrainedTokenizerFast, modules: SentenceModules
) -> PreTrainedTokenizerFast:
    """A tokenizer that lower-cases texts and puts the prompt before them, as the modules say.

    Both become part of its normalizer, so that whoever has the tokenizer reads texts alike. It is
    no longer of the model's own class then, which would build a normalizer of its own when loaded.

    Args:
        tokenizer: the folder's.
        modules: the folder's.
    """
    first: list[Any] = []
    if modules.prompt:
        first.append(normalizers.Prepend(modules.prompt))
    if modules.lower:
        first.append(normalizers.Lowercase())
    if not first:
        return tokenizer
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    old = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([*first, *old])
    special = {f"{name}_token": getattr(tokenizer, f"{name}_token") for name in _SPECIAL}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        **{name: token for name, token in special.items() if token is not None},
    )


def write_modules(folder: Path, settings: Mapping[str, Any], *, max_length: int) -> None:
    """Make a bundle with a transformers model one of sentence-transformers with the same vectors.

    Args:
        folder: the bundle, with its ``config.json``.
        settings: its ``pooling``, ``normalize``, ``prompts`` and ``whitening``.
        max_length: tokens kept of a text.
    """
    width = json.loads((folder / "config.json").read_text("utf-8"))["hidden_size"]
    layers = _taken_layers(folder)
    modes = {name: ours in settings["pooling"].split("+") for name, ours in _OLD.items()}
    pooling = {"word_embedding_dimension": width, **modes, "include_prompt": True}
    unit: list[tuple[str, dict[str, Any]]] = []
    if settings.get("normalize", True):
        unit = [("Normalize", {})]
    modules: list[tuple[str, dict[str, Any]]] = [("Pooling", pooling)]
    modules += [*(("Dense", layer) for layer in layers), *unit]
    if "whitening" in settings:
        with np.load(folder / settings["whitening"]["file"], allow_pickle=False) as arrays:
            mean, kernel = arrays["mean"], arrays["kernel"]  # (D,), (D, K)
        linear = {"weight": kernel.T.copy(), "bias": -mean @ kernel}
        modules += [("Dense", {"activation": "Identity", **linear}), *unit]
    named = [("", "Transformer")]
    for number, (kind, config) in enumerate(modules, start=1):
        named.append((f"{number}_{kind}", kind))
        module = folder / named[-1][0]
        module.mkdir(exist_ok=True)
        write_json(module / "config.json", _dense_config(config) if kind == "Dense" else config)
        if kind == "Dense":
            linear = {f"linear.{k}": config[k] for k in ("weight", "bias") if k in config}
            save_file(linear, module / "model.safetensors")
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_MODULE}.{kind}"}
        for number, (path, kind) in enumerate(named)
    ]
    prompts = dict(settings.get("prompts", {}))
    said = {"prompts": prompts, "default_prompt_name": next(iter(prompts), None)}
    write_json(folder / MODULES, entries)
    write_json(folder / _SETTINGS, {"max_seq_length": max_length, "do_lower_case": False})
    write_json(folder / _PROMPTS, said | {"similarity_fn_name": "cosine"})


def _dense_config(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A Dense module's ``config.json``, of its ``activation``, ``weight`` and perhaps ``bias``."""
    name = str(layer["activation"])
    place = "linear" if name == "Identity" else "activation"
    outputs, inputs = layer["weight"].shape
    return {
        "in_features": inputs,
        "out_features": outputs,
        "bias": "bias" in layer,
        "activation_function": f"torch.nn.modules.{place}.{name}",
    }


def _taken_layers(folder: Path) -> list[dict[str, Any]]:
    """Take the layers behind the pooling out of an encoder's folder, as modules of their own.

    ``transformers`` has no class with them, and sentence-transformers loads the encoder by it.

    Returns:
        Of each its ``activation``, ``weight`` and perhaps ``bias``.
    """
    file = folder / "model.safetensors"
    shapes: list[dict[str, Any]] = []
    for path in (folder / "config.json", folder / PRUNED_CONFIG):
        content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        if DENSE in content:
            shapes = content.pop(DENSE)
            write_json(path, content)
    if not shapes:
        return []
    weights = load_file(file)
    layers: list[dict[str, Any]] = []
    for number, shape in enumerate(shapes):
        layers.append({"activation": shape["activation"]})
        for part in ("weight", "bias") if shape["bias"] else ("weight",):
            layers[-1][part] = weights.pop(f"sentence_layers.{number}.0.{part}")
    save_file(weights, file, metadata={"format": "pt"})
    return layers
