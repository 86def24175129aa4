"""The identity of a method: a runner with its version, its settings and the hash of its weights."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.runner._load import find, make, recipe_of, settings_of
from mlmat.runner._rows import arrow_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.runner._base import Prepared, WrappedAtomsRunner
    from mlmat.runner._load import Recipe


class Plan:
    """A runner chosen and settled: what workers get, and the row of table `method`."""

    def __init__(self, reference: str, given: Mapping[str, str], table_name: Any = str) -> None:
        """Find the runner and settle its settings. Raises UsageError, RunnerError, ModelError."""
        cls = find(reference)
        arrow_types(cls.columns)
        self.prepared: Prepared = cls.prepare(settings_of(cls, dict(given)))
        make(cls, dict(self.prepared.settings))
        self.runner = table_name(cls.name or default_name(cls, reference))
        self.batch_atoms = cls.batch_atoms
        self.recipe: Recipe = recipe_of(reference, dict(self.prepared.settings))
        self.method = method_row(self.runner, version_of(cls, self.recipe.source), self.prepared)


def default_name(cls: type[WrappedAtomsRunner], reference: str) -> str:
    """The class's name, or that of its file or module where the class is just called `Runner`."""
    if cls.__name__ != "Runner":
        return cls.__name__
    place = reference.split(":", maxsplit=1)[0]
    return Path(place).stem if ".py" in place else place.rpartition(".")[2]


def version_of(cls: type[WrappedAtomsRunner], source: str | None = None) -> str:
    """The version that a runner declares, else a hash of its source: edited code is another method."""
    if cls.version is not None:
        return cls.version
    try:
        text = source if source is not None else inspect.getsource(cls)
    except (OSError, TypeError):
        text = repr(sorted(vars(cls)))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:12]


def method_row(runner: str, version: str, prepared: Prepared) -> dict[str, Any]:
    """The row of table `method`."""
    settings = {name: _text(value) for name, value in sorted(prepared.identity.items())}
    identity = [runner, version, settings, prepared.model_sha256, prepared.dtype]
    return {
        "method_id": hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:10],
        "method": _label(runner, prepared, settings),
        "runner": runner,
        "runner_version": version,
        "settings": settings,
        "model_name": prepared.model_name,
        "model_sha256": prepared.model_sha256,
        "dtype": prepared.dtype,
    }


def _label(runner: str, prepared: Prepared, settings: Mapping[str, str]) -> str:
    model = f"/{prepared.model_name}" if prepared.model_name else ""
    parts = [
        f"{name}={value}" for name, value in settings.items() if name not in {"dtype", "model"} and value != "null"
    ]
    return " ".join([runner + model, *([prepared.dtype] if prepared.dtype else []), *parts])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
