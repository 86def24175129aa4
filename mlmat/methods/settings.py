"""Settings of a runner from the text of `--set key=value`, with the types that its `__init__` wants."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from mlmat.errors import UsageError
from mlmat.methods.load import parameters

if TYPE_CHECKING:
    from mlmat.runner import WrappedAtomsRunner

_BOOLEANS = dict.fromkeys(("true", "yes", "1", "on"), True) | dict.fromkeys(("false", "no", "0", "off"), False)


def settings_of(cls: type[WrappedAtomsRunner], given: dict[str, str]) -> dict[str, Any]:
    """Settings with the types that `__init__` wants, from text. Raises UsageError, naming what there is."""
    known = parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    names = [name for name, p in known.items() if p.kind is not p.VAR_KEYWORD]
    for name in given:
        if name not in names and not open_ended:
            raise UsageError(f"no setting {name!r}; this runner has: {', '.join(names) or 'none'}")
    missing = [name for name in names if known[name].default is inspect.Parameter.empty]
    if wanted := [name for name in missing if name not in given]:
        raise UsageError(f"this runner needs --set {wanted[0]}=…")
    # Defaults stand in the method too: given or not, they make the same numbers.
    defaults = {name: known[name].default for name in names if _can_be_written(known[name].default)}
    return defaults | {name: _typed(name, text, known.get(name)) for name, text in given.items()}


def _can_be_written(default: Any) -> bool:
    """Whether a default says the same in every process: `<object at 0x7f…>` would be another method each time."""
    try:
        json.dumps(default)
    except (TypeError, ValueError):
        return False
    return True


def _typed(name: str, text: str, parameter: inspect.Parameter | None) -> Any:
    """A setting's value: as its default or annotation says, else as it looks."""
    kind = _kind(parameter)
    if text.lower() in {"none", "null"} and (kind is not str or _may_be_none(parameter)):
        return None
    try:
        return _CONVERTERS[kind](text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: this setting wants {_WANTED[kind]}") from None


def _may_be_none(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and (parameter.default is None or "None" in str(parameter.annotation))


def _kind(parameter: inspect.Parameter | None) -> type:
    if parameter is None:
        return object
    if parameter.default is not parameter.empty and type(parameter.default) in _CONVERTERS:
        return type(parameter.default)
    wanted = parameter.annotation
    text = wanted if isinstance(wanted, str) else getattr(wanted, "__name__", str(wanted))
    named = {"int": int, "float": float, "bool": bool, "str": str}
    return named.get(text.split("|")[0].strip(), object)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.lower()]


def _as_it_looks(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return text


_CONVERTERS: dict[type, Any] = {bool: _boolean, int: int, float: float, str: str, object: _as_it_looks}
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", object: "a value"}
