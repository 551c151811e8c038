"""pydantic's errors in plain words: where, what was found, and what to write instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from distill.recipe.schema import Recipe
from distill.recipe.yaml_lines import Loc, Value, one_line
from distill.section import Section
from distill.system.errors import Issue, nearest

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list ([a, b] or lines that begin with -)",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def translate(error: ValidationError, tree: Value, model: type[Section] = Recipe) -> list[Issue]:
    """Every finding of ``error`` as an issue, in the order of the keys."""
    schema = model.model_json_schema()
    found: dict[Loc, list[tuple[dict[Loc, str], dict[str, Any]]]] = defaultdict(list)
    for item in error.errors(include_url=False):
        loc, branches = _real_loc(tree, item["loc"], missing=item["type"] == "missing")
        found[loc].append((branches, dict(item)))
    chosen = _choose_branches(found, tree)
    return [
        tree.issue(*_described(schema, tree, loc, [item for _, item in items]))
        for loc, items in chosen.items()
    ]


def _real_loc(
    tree: Value, loc: Iterable[str | int], *, missing: bool
) -> tuple[Loc, dict[Loc, str]]:
    """A location in the file, and the branches of unions that pydantic wrote into it."""
    steps = list(loc)
    last = steps.pop() if missing and steps else None
    real: Loc = ()
    branches: dict[Loc, str] = {}
    at: Value | None = tree
    for step in steps:
        below = at.child(step) if at is not None else None
        if below is None:
            branches[real] = str(step)
        else:
            real, at = (*real, step), below
    return (real if last is None else (*real, last)), branches


def _choose_branches(
    found: dict[Loc, list[tuple[dict[Loc, str], dict[str, Any]]]], tree: Value
) -> dict[Loc, list[tuple[dict[Loc, str], dict[str, Any]]]]:
    """Of a union's branches keep the one that was meant: a mapping's for a mapping, and so on."""
    tried: dict[Loc, set[str]] = defaultdict(set)
    for items in found.values():
        for branches, _ in items:
            for loc, branch in branches.items():
                tried[loc].add(branch)
    kept: dict[Loc, list[tuple[dict[Loc, str], dict[str, Any]]]] = {}
    for loc, items in found.items():
        fitting = [
            (branches, item)
            for branches, item in items
            if all(_meant(branch, tried[at], tree.nearest(at)) for at, branch in branches.items())
        ]
        if fitting:
            kept[loc] = fitting
    return kept


def _meant(branch: str, tried: set[str], value: Value) -> bool:
    """Whether ``branch`` is the one that a value was written for; all are if none fits better."""
    fitting = {name for name in tried if _fits(name, value)}
    return not fitting or branch in fitting


def _fits(branch: str, value: Value) -> bool:
    if isinstance(value.content, dict):
        # A section is called by its class, one with a validator `function-after[f(), Class]`.
        return branch.removesuffix("]").rpartition(", ")[2][:1].isupper()
    if isinstance(value.content, list):
        return branch.startswith("list[")
    return True


def _described(
    schema: dict[str, Any], tree: Value, loc: Loc, items: list[dict[str, Any]]
) -> tuple[Loc, str]:
    item = items[0]
    value = tree.nearest(loc)
    kind = item["type"]
    if kind == "extra_forbidden":
        return loc, _unknown_key(schema, tree, loc)
    if kind == "missing":
        return loc, f"missing; {_description(schema, tree, loc)}"
    if kind in ("union_tag_invalid", "union_tag_not_found", "model_attributes_type"):
        return _kind_issue(schema, tree, loc, item)
    if kind == "value_error":
        return loc, str(item["msg"]).removeprefix("Value error, ")
    expected = list(dict.fromkeys(_expected(each) for each in items))
    hint = _hint(value, expected, items)
    return loc, f"found {shown(value)}, expected {' or '.join(expected)}{hint}"


def _kind_issue(
    schema: dict[str, Any], tree: Value, loc: Loc, item: dict[str, Any]
) -> tuple[Loc, str]:
    """What is wrong with a part whose ``kind`` or ``method`` says what may stand in it."""
    value, ctx = tree.nearest(loc), item.get("ctx", {})
    key = str(ctx.get("discriminator", "'kind'")).strip("'")
    known = [*_kinds(schema, tree, loc)]
    if key != "kind":
        known = [tag.strip(" '") for tag in str(ctx["expected_tags"]).split(",")]
    if not isinstance(value.content, dict):
        example = f", such as {{kind: {known[0]}}}" if known else ""
        return loc, f"found {shown(value)}, expected keys and values{example}"
    kind = value.child(key)
    if kind is None:
        return (*loc, key), f"missing; one of: {', '.join(known)}"
    found = (
        f"unknown {key} '{kind.content}'"
        if isinstance(kind.content, str)
        else f"found {shown(kind)}"
    )
    near = nearest(str(kind.content), known)
    return (*loc, key), f"{one_line(found, 80)}; there are: {', '.join(known)}{near}"


def _expected(item: dict[str, Any]) -> str:
    kind, ctx = item["type"], item.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{words} {ctx[key]:.15g}"
    if kind == "literal_error":
        return str(ctx["expected"])
    if kind == "too_short":
        return f"at least {_items(ctx['min_length'])}"
    if kind == "too_long":
        return f"at most {_items(ctx['max_length'])}"
    if kind == "string_pattern_mismatch":
        return "lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit"
    return _EXPECTED.get(kind) or str(item["msg"])


def _hint(value: Value, expected: list[str], items: list[dict[str, Any]]) -> str:
    content = value.content
    if "text" in expected and isinstance(content, int | float):
        return "; put it in quotes"
    if isinstance(content, str):
        if expected[0] in ("a whole number", "a number") and _is_number(content):
            return "; take the quotes away"
        choices = [
            text.strip().strip("'")
            for item in items
            if item["type"] == "literal_error"
            for text in str(item["ctx"]["expected"]).replace(" or ", ",").split(",")
        ]
        return nearest(content, choices)
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def shown(value: Value) -> str:
    """A value as a message says it: its type, and its text in short."""
    content = value.content
    if content is None:
        return "nothing (null)"
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, dict):
        return "keys and values"
    if isinstance(content, list):
        return f"a list of {_items(len(content))}" if content else "an empty list"
    text = one_line(f"{content:.6g}" if isinstance(content, float) else str(content))
    return f"the text '{text}'" if isinstance(content, str) else f"the number {text}"


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def _unknown_key(schema: dict[str, Any], tree: Value, loc: Loc) -> str:
    known = list(_schema_at(schema, tree, loc[:-1]).get("properties", {}))
    kinds = _kinds(schema, tree, loc[:-1]) if len(loc) == 2 else {}
    sections = {kind: _resolve(schema, {"$ref": one}, None) for kind, one in kinds.items()}
    if knowing := [kind for kind, one in sections.items() if loc[-1] in one["properties"]]:
        return f"only for {loc[0]}.kind: {', '.join(knowing)}; leave it out"
    if (others := _methods_with(schema, tree, loc)) is not None:
        return others
    near = nearest(str(loc[-1]), known)
    return f"unknown key{near or '; there are: ' + ', '.join(known)}"


def _methods_with(schema: dict[str, Any], tree: Value, loc: Loc) -> str | None:
    """Which other methods know a key of a section; ``None`` where none does."""
    union, value = _schema_at(schema, tree, loc[:-1], resolve_kind=False), tree.nearest(loc[:-1])
    while "discriminator" in union:
        name, mapping = union["discriminator"]["propertyName"], union["discriminator"]["mapping"]
        chosen = value.child(name)
        if name == "method":
            branches = [_resolve(schema, one, value)["properties"] for one in union["oneOf"]]
            knowing = [one["method"]["const"] for one in branches if loc[-1] in one]
            if not knowing:
                return None
            several = " and ".join([", ".join(knowing[:-1]), knowing[-1]]).removeprefix(" and ")
            used = branches[0]["method"]["const"] if chosen is None else chosen.content
            return f"is for method {several}; '{used}' has no use for it: leave it out"
        branch = mapping.get(chosen.content if chosen is not None else None, {})
        union = branch if isinstance(branch, dict) else {}
    return None


def _description(schema: dict[str, Any], tree: Value, loc: Loc) -> str:
    field = _schema_at(schema, tree, loc[:-1]).get("properties", {}).get(loc[-1], {})
    text = field.get("description", "it has to be given")
    return " ".join(str(text).replace("``", "'").split())


def _kinds(schema: dict[str, Any], tree: Value, loc: Loc) -> dict[str, Any]:
    """The sections that a ``kind`` may stand for, where it chooses one."""
    found = _schema_at(schema, tree, loc, resolve_kind=False)
    mapping: dict[str, Any] = found.get("discriminator", {}).get("mapping", {})
    return mapping


def _schema_at(
    root: dict[str, Any], tree: Value, loc: Loc, *, resolve_kind: bool = True
) -> dict[str, Any]:
    """The part of the JSON schema that describes ``loc``; empty where none does."""
    schema = root
    value: Value | None = tree
    for step in loc:
        schema = _resolve(root, schema, value)
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            # A mapping whose keys are free, but for their form, describes all its values alike.
            free: dict[str, Any] = next(iter(schema.get("patternProperties", {}).values()), {})
            schema = schema.get("properties", {}).get(step, free)
        value = value.child(step) if value is not None else None
    return _resolve(root, schema, value) if resolve_kind else schema


def _resolve(root: dict[str, Any], schema: dict[str, Any], value: Value | None) -> dict[str, Any]:
    """Follow references, kinds and unions to the branch that ``value`` is of."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _resolve(root, root["$defs"][name], value)
    if "discriminator" in schema:
        name, mapping = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
        kind = value.child(name) if value is not None else None
        if kind is None and "oneOf" in schema:
            first = _resolve(root, schema["oneOf"][0], value)
            if name == "method" or name not in first.get("required", [name]):
                return first  # left out, it is the first one
        branch = mapping.get(kind.content) if kind and isinstance(kind.content, str) else None
        return _resolve(root, {"$ref": branch} if isinstance(branch, str) else branch or {}, value)
    wanted = "items" if value is not None and isinstance(value.content, list) else "properties"
    for branch in schema.get("anyOf", []):
        resolved = _resolve(root, branch, value)
        if wanted in resolved:
            return resolved
    return schema
