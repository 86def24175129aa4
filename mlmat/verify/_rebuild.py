"""A runner, built again from what the store says of its method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.errors import MlmatError, RunnerError
from mlmat.methods.method import ResolvedMethod
from mlmat.methods.replay import candidates
from mlmat.potentials.models import listing

if TYPE_CHECKING:
    from mlmat.store import Store

_RUNS = """
    SELECT DISTINCT ON (arguments, directory) arguments, directory, started_at FROM run WHERE method_id = $method
    ORDER BY started_at DESC LIMIT 5
"""


def rebuild(store: Store, method: dict[str, Any]) -> ResolvedMethod:
    """The plan that is this very method. Raises RunnerError, saying what differs or is missing."""
    method = method | {"model_name": _weights(method)}
    runs = store.arrow(_RUNS, {"method": method["method_id"]}).to_pylist() or [None]
    reasons = []
    for reference, settings in (call for run in runs for call in candidates(method, run)):
        try:
            plan = ResolvedMethod(reference, settings, store.table_name)
        except MlmatError as error:
            reasons.append(str(error))
            continue
        if plan.method["method_id"] == method["method_id"]:
            return plan
        reasons.append(_difference(reference, plan.method, method))
    raise RunnerError(reasons[0])


def _weights(method: dict[str, Any]) -> str | None:
    """The name by which the weights are known here. Raises RunnerError for a model that would have to be fetched."""
    known = listing()
    same = [model.name for model in known if model.path is not None and model.sha256 == method["model_sha256"]]
    if same and method["model_name"] not in same:
        return same[0]
    name: str | None = method["model_name"]
    if any(model.name == name and model.kind == "foundation" and model.path is None for model in known):
        raise RunnerError(f"its weights {name} are not here: mlmat models add {name}")
    return name


def _difference(reference: str, now: dict[str, Any], then: dict[str, Any]) -> str:
    if now["runner_version"] != then["runner_version"]:
        versions = f"version {then['runner_version']} then, {now['runner_version']} now"
        return f"the runner {reference} has changed ({versions})"
    if now["model_sha256"] != then["model_sha256"]:
        hashes = f"SHA-256 {str(then['model_sha256'])[:12]} then, {str(now['model_sha256'])[:12]} now"
        return f"the weights of {then['model_name']} have changed ({hashes})"
    return f"the settings of {reference} cannot be made again: {now['settings']} instead of {dict(then['settings'])}"
