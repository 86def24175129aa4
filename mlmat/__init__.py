"""mlmat: a folder of crystal structures in, a ranked, reproducible table out.

>>> import mlmat
>>> store = mlmat.open("screening.duckdb")  # doctest: +SKIP
>>> store.reduce("ranking")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmat.project import Project

    open = Project.open

    __version__: str

__all__ = ["__version__", "open"]


def __getattr__(name: str) -> Any:
    if name == "open":
        from mlmat.project import Project

        return Project.open
    if name == "__version__":
        from mlmat.provenance import version_of

        return version_of("mlmat")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
