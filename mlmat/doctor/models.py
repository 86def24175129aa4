"""The cache of models: what is registered, and whether its bytes are still those that were registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlmat.potentials.models import Model


def check(place: Place) -> Iterator[Line]:
    """Every model that is here, its file read and compared; descriptions without a file."""
    from mlmat.potentials.models import listing
    from mlmat.potentials.weights import cache_folder

    folder = cache_folder()
    broken = list(_broken(folder))
    yield from (line for _, line in broken)
    if any(path.exists() and not _is_json(path) for path, _ in broken):
        return  # nothing can be listed while they lie there
    here = [model for model in listing() if model.path]
    wrong = {model.name for model in here if provenance.sha256(str(model.path)) != model.sha256}
    for model in here:
        if model.name in wrong:
            yield Line(
                "fail", "models", f"{model.path} is not the file that was registered as {model.name}", _again(model)
            )
    good = [model.name for model in here if model.name not in wrong]
    more = (
        ""
        if any(model.kind != "shipped" for model in here)
        else "; more: mlmat models add NAME, where there is internet"
    )
    yield Line("ok", "models", f"{', '.join(good) or 'none'}: as registered (cache: {folder}){more}")


def _again(model: Model) -> str:
    if model.kind == "shipped":
        return "install mlmat again"
    return f"remove it and its .json, then: mlmat models add {model.name if model.kind == 'foundation' else 'FILE'}"


def _broken(folder: Path) -> Iterator[tuple[Path, Line]]:
    """Descriptions that cannot be read, or whose file is gone."""
    for about in sorted(folder.glob("*.json")):
        remedy = f"remove {about}, then register the model again: mlmat models add"
        if not _is_json(about):
            yield about, Line("fail", "models", f"{about} cannot be read; no model can be found meanwhile", remedy)
        elif not about.with_suffix(json.loads(about.read_text()).get("suffix", ".model")).is_file():
            yield about, Line("warn", "models", f"the file of the model {about.stem} is gone", remedy)


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False
