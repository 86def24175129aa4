"""The identity of a method: a runner with its version, its settings and the hash of its weights."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import MlmatError, RunnerError
from mlmat.materials import schemes
from mlmat.methods.columns import arrow_types
from mlmat.methods.load import SOURCE, find, make, source_of, spec_of
from mlmat.methods.settings import settings_of
from mlmat.runner import WrappedAtomsRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.methods.load import RunnerSpec
    from mlmat.runner import Prepared


class ResolvedMethod:
    """A runner chosen and settled: what workers get, and the row of table `method`."""

    def __init__(self, reference: str, given: Mapping[str, str], table_name: Any = str) -> None:
        """Find the runner and settle its settings. Raises UsageError, RunnerError, ModelError."""
        source = source_of(reference)
        cls = find(reference, source)
        arrow_types(cls.columns)
        self.prepared: Prepared = _prepared(cls, settings_of(cls, dict(given)))
        make(cls, dict(self.prepared.settings))
        self.runner = table_name(name_of(cls, reference))
        self.batch_atoms = cls.batch_atoms
        # Of a runner that takes its structures one by one, one at first: a relaxation may take hours, nobody knows yet.
        self.first_atoms = 1.0 if cls.run_batch is WrappedAtomsRunner.run_batch else cls.batch_atoms / 10
        self.spec: RunnerSpec = spec_of(reference, dict(self.prepared.settings), source)
        self.method = method_row(self.runner, version_of(cls), self.prepared) | _energies(cls, self.prepared)


def _prepared(cls: type[WrappedAtomsRunner], settings: dict[str, Any]) -> Prepared:
    try:
        return cls.prepare(settings)
    except MlmatError:
        raise
    except Exception as error:
        raise RunnerError(f"{cls.__name__}.prepare failed: {type(error).__name__}: {error}") from error


def name_of(cls: type[WrappedAtomsRunner], reference: str) -> str:
    """The name that a class sets, else its own, or that of its file or module where it is just called `Runner`.

    An inherited name is the parent's: what a subclass computes is not the parent's method.
    """
    if cls.__dict__.get("name") is not None:
        return str(cls.__dict__["name"])
    if cls.__name__ != "Runner":
        return cls.__name__
    place = reference.split(":", maxsplit=1)[0]
    return Path(place).stem if ".py" in place else place.rpartition(".")[2]


def version_of(cls: type[WrappedAtomsRunner]) -> str:
    """The version that a class sets, else a hash of the files it was written in: edited code is another method."""
    if cls.__dict__.get("version") is not None:
        return str(cls.__dict__["version"])
    own = [c for c in cls.__mro__ if issubclass(c, WrappedAtomsRunner) and c is not WrappedAtomsRunner]
    text = "".join(dict.fromkeys(_text_of(c) for c in own))
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _text_of(cls: type[WrappedAtomsRunner]) -> str:
    """All of the class's module: its helpers make the numbers, too."""
    module = sys.modules.get(cls.__module__)
    if hasattr(module, SOURCE):
        return str(getattr(module, SOURCE))
    try:
        return inspect.getsource(module or cls)
    except (OSError, TypeError):
        return repr(sorted(vars(cls)))


def method_row(runner: str, version: str, prepared: Prepared) -> dict[str, Any]:
    """The row of table `method`."""
    settings = {name: _text(value) for name, value in sorted(prepared.identity.items())}
    identity = [runner, version, settings, prepared.model_sha256, prepared.dtype]
    return {
        "method_id": hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:10],
        "method": _label(runner, version, prepared, settings),
        "runner": runner,
        "runner_version": version,
        "settings": settings,
        "model_name": prepared.model_name,
        "model_sha256": prepared.model_sha256,
        "dtype": prepared.dtype,
    }


def _energies(cls: type[WrappedAtomsRunner], prepared: Prepared) -> dict[str, Any]:
    """What is known of a method's energies: columns of table `method`, and the errors that are expected."""
    scheme = prepared.scheme or cls.scheme
    known = schemes.named(scheme).columns() if scheme else {}
    return {**known, "trained_on": prepared.trained_on, "expected_errors": dict(prepared.expected_errors)}


def _label(runner: str, version: str, prepared: Prepared, settings: Mapping[str, str]) -> str:
    model = f"/{prepared.model_name}" if prepared.model_name else ""
    parts = [
        f"{name}={value}" for name, value in settings.items() if name not in {"dtype", "model"} and value != "null"
    ]
    return " ".join([runner + _version_mark(version) + model, *([prepared.dtype] if prepared.dtype else []), *parts])


def _version_mark(version: str) -> str:
    """Nothing for a first version; people should see which of several they look at."""
    return "" if version == "1" else f"@{version.removeprefix('sha256:')}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
