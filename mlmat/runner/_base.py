"""The runner that users subclass: one structure in, one row out."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ase import Atoms


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` settles in the driver, before any task.

    settings: what the worker builds the runner with; identity: the settings that make the method (a path of
    weights is not among them, their SHA-256 is); packages: distributions whose versions stand in the run;
    notes: lines that the user is told once; batch_seconds: of work that travels together, and is lost together when a
    screen is stopped; scheme: the energy scheme (`mlmat.materials.schemes`), trained_on: data sets and teachers of the
    model, separated by commas, expected_errors: mean absolute errors in eV/atom by quantity. These describe the method
    and are no part of its identity.
    """

    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    model_name: str | None = None
    model_sha256: str | None = None
    dtype: str | None = None
    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    batch_seconds: float = 4.0
    scheme: str | None = None
    trained_on: str | None = None
    expected_errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file of the list that gave no structure, and why."""

    label: str
    reason: str
    error_class: str = field(default="ReadError")


class WrappedAtomsRunner:
    """Subclass this and implement `run(atoms)`; any ASE calculator can be set up inside it.

    files: one file name, a list of them (folders and `ase.Atoms` may be among them), or anything with `structures()`
    (a store, for instance). The other parameters of a subclass's `__init__` are its settings (`mlmat screen --set
    fmax=0.02`). On a worker the object has no files and lives on from one structure to the next.

    Class attributes: `name` (of the method; the module's or class's name where the class sets none), `version` (bump
    it when the numbers change; where the class sets none, its source is its version), `columns` (typed columns with
    unit: `{"energy": "DOUBLE -- eV, total energy"}`; what is not declared is inferred from the first rows),
    `batch_atoms` (atoms that one `run_batch` call likes best), `scheme` (energy scheme, such as "MP2020", "r2SCAN" or
    any other text: hulls hold one scheme).
    """

    name: ClassVar[str | None] = None
    version: ClassVar[str | None] = None
    columns: ClassVar[Mapping[str, str]] = {}
    batch_atoms: ClassVar[int] = 400
    scheme: ClassVar[str | None] = None
    _scratch_parent: Path | None = None
    _scratch: Path | None = None

    def __init__(self, files: Any = ()) -> None:
        self.files = files

    @classmethod
    def prepare(cls, settings: Mapping[str, Any]) -> Prepared:
        """Settle settings in the driver: resolve names to files, check what can be checked without computing.

        By default all settings make the method, those left at their default, too.
        """
        return Prepared(settings=dict(settings), identity=dict(settings))

    def open_file(self) -> Iterator[Atoms]:
        """Yield the `ase.Atoms` of every structure in `files`; a file that cannot be read is a warning."""
        import warnings

        from ase import Atoms

        for label, found in self.sources():
            if isinstance(found, Atoms):
                yield found
            else:
                warnings.warn(f"{label}: {found.reason}", stacklevel=2)

    def sources(self) -> Iterator[tuple[str, Atoms | Unreadable]]:
        """Every structure of `files` with its label, the unreadable ones with their reason."""
        from mlmat.runner._files import read_sources

        yield from read_sources(self.files)

    def setup(self) -> None:
        """Prepare once per worker: load a model, start a server. Does nothing by default.

        A worker is a process with HTEX, and a thread, with a runner of its own, with `threads`.
        """

    def run(self, atoms: Atoms) -> Any:
        """Compute one structure and return its row, a mapping of column to value (eV, Å, eV/Å, eV/Å³)."""
        raise NotImplementedError(f"{type(self).__name__} must implement run(atoms)")

    def run_batch(self, batch: Sequence[Atoms]) -> Iterable[Any]:
        """Compute many structures: for each, in order, a row or the exception that stopped it.

        Override it when one call on many is faster than many calls; the default calls `run` on each.
        """
        return (attempt(self, atoms) for atoms in batch)

    @property
    def workdir(self) -> Path:
        """A directory of this run's own, made when first asked for, removed after success, kept after failure.

        A runner with a `run_batch` of its own has one for each call of it.
        """
        if self._scratch is None:
            self._scratch = _new_directory(self._scratch_parent or Path(tempfile.gettempdir()))
        return self._scratch

    def begin_scratch(self, parent: Path) -> None:
        """The next `workdir` is a new directory under parent."""
        self._scratch_parent, self._scratch = parent, None

    def end_scratch(self, *, keep: bool) -> Path | None:
        """Remove the directory of this run, if it has one; the directory when it is kept."""
        used, self._scratch = self._scratch, None
        if used is None or keep:
            return used
        shutil.rmtree(used, ignore_errors=True)
        with suppress(OSError):  # others are at work in it, or have left something there
            used.parent.rmdir()
        return None


def _new_directory(parent: Path) -> Path:
    """A new directory; tried again when another worker removes the parent, empty a moment ago, in between."""
    for _ in range(100):
        # mkdir finds it there and then does not: that is FileExistsError.
        with suppress(FileNotFoundError, FileExistsError):
            parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    raise FileNotFoundError(f"{parent}: no scratch directory can be made in it")


def attempt(runner: WrappedAtomsRunner, atoms: Atoms) -> Any:
    """What `run` returned or raised."""
    try:
        return runner.run(atoms)
    except KeyboardInterrupt:  # the user's, or the worker is being ended: not the structure's failure
        raise
    except BaseException as error:
        return error
