"""Typed settings from YAML, `.env` and `--set key=value`. Only this module reads the environment.

A config file may say `include: [other.yaml]` (relative to itself): later files and `--set` win, key by key.
`${NAME}` in a value is taken from the environment or `.env`. An unknown key, a wrong type or a missing key stops
at once with the file, the key, what was expected and the nearest right name.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from dotenv import dotenv_values, find_dotenv
from pydantic import BaseModel, ConfigDict, ValidationError

from score.errors import SettingsError


class Strict(BaseModel):
    """Base of every settings model: unknown keys are errors, values do not change after loading.

    `operational` names the keys that may change between two runs into the same file, because the results do not depend
    on them (addresses, limits); paths never count (see `score.fingerprint`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    operational: ClassVar[frozenset[str]] = frozenset()


ROOT = Path(__file__).resolve().parents[1]
SettingsModel = TypeVar("SettingsModel", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_COMMENT = re.compile(r"(^|\s)#")


def environment() -> dict[str, str]:
    """The environment, with the nearest `.env` below it: from the working directory upwards, else the repository's,
    since Ray's workers start where `ray start` was typed."""
    file = find_dotenv(usecwd=True) or ROOT / ".env"
    from_file = {key: value for key, value in dotenv_values(file).items() if value is not None}
    return from_file | dict(os.environ)


def adopt(variables: Mapping[str, str]) -> None:
    """Set the variables that are not set here: a process on another machine gets those of the one that started it."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def secret(name: str, needed_by: str) -> str:
    """The value of a key variable. Raises `SettingsError` naming the variable and who needs it."""
    value = environment().get(name, "").strip()
    if not value or value == ".":
        raise SettingsError(
            f"the variable {name} is not set, and {needed_by} needs it: put {name}=... into .env (see .env.example)"
        )
    return value


def value_of(text: str) -> Any:
    """What the text of a `--set` or a variable says as YAML (a number, a list, `null`). What is no YAML stands for
    itself (`@cf/meta/llama`, `a: b: c`), and so does a text that YAML would cut at a `#` as if the rest were a comment.
    """
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # ValueError: 2026-13-01
        return text
    if value is None or isinstance(value, str):
        text = text.strip()
        if _COMMENT.search(text) and not text.startswith(("'", '"')):
            return text
    return value


def _expand(value: Any, variables: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, variables, f"{where}.{key}" if where else str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, variables, f"{where}[{index}]") for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name, default = found.groups()
        text = variables.get(name, default)
        if text is None or text == ".":
            if where.startswith("endpoints."):
                return found.group(0)  # a script does not need every endpoint: the one that it uses complains
            raise SettingsError(f"{where}: the variable {name} is not set; put {name}=... into .env (see .env.example)")
        return text

    expanded = _VARIABLE.sub(replace, value)
    # `${PORT}` alone stands for a number where the text is one, as in YAML itself.
    return value_of(expanded) if expanded != value and _VARIABLE.fullmatch(value) else expanded


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: mappings are merged key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _flatten(value, f"{prefix}{key}.")
    return keys


def _read(path: Path, origins: dict[str, str], chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve()
    if path in chain:
        raise SettingsError(f"{path}: includes itself")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        said_by = f" (included by {chain[-1]})" if chain else f" (looked from {Path.cwd()})"
        raise SettingsError(f"config file {path} does not exist{said_by}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected `key: value` lines")
    includes = values.pop("include", [])
    merged: dict[str, Any] = {}
    for included in [includes] if isinstance(includes, str) else includes:
        merged = merge(merged, _read(path.parent / included, origins, (*chain, path)))
    origins.update(dict.fromkeys(_flatten(values), str(path)))
    return merge(merged, values)


def _override(values: dict[str, Any], setting: str, origins: dict[str, str]) -> dict[str, Any]:
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise SettingsError(f"--set {setting!r}: expected key=value, for example --set endpoints.student.model=student")
    parts = key.strip().split(".")
    over: Any = value_of(text) if text else None
    for part in reversed(parts):
        over = {part: over}
    origins.update(dict.fromkeys(_flatten(over), f"--set {setting}"))
    return merge(values, over)


def _known_keys(model: Any, location: Sequence[str | int]) -> list[str]:
    """The field names of the model at `location` (walking through nested models, mappings and unions)."""
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[str(part)].annotation
        elif getattr(model, "__origin__", None) is dict:
            model = model.__args__[1]
        options = [
            inner
            for inner in getattr(model, "__args__", ())
            if isinstance(inner, type) and issubclass(inner, BaseModel)
        ]
        if options and getattr(model, "__origin__", None) is not dict:
            model = options[0]
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _explain(error: ValidationError, model: type[BaseModel], path: Path, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        location = problem["loc"]
        key = ".".join(str(part) for part in location)
        source = origins.get(key, str(path))
        if problem["type"] == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
            lines.append(f"{source}: unknown key {key!r}: {hint}")
        elif problem["type"] == "missing":
            lines.append(f"{source}: key {key!r} is missing")
        else:
            lines.append(f"{source}: key {key!r}: {problem['msg']} (found {problem['input']!r})")
    return "\n".join(lines)


def load_settings(model: type[SettingsModel], path: str | Path, overrides: Sequence[str] = ()) -> SettingsModel:
    """Read, merge and check the settings of one script. `overrides` are the `key=value` texts of `--set`.

    A variable that is not set stops at once, except in `endpoints`: there the endpoint that is really used complains.
    Raises `SettingsError`.
    """
    path = Path(path)
    origins: dict[str, str] = {}
    values = _read(path, origins)
    for setting in overrides:
        values = _override(values, setting, origins)
    try:
        values = _expand(values, environment(), "")
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, model, path, origins)) from None
