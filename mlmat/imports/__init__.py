"""Results that were computed elsewhere: a file of energies in, results of a method of the user's name out.

The directory is the registry: a module without a leading underscore is a format. It has `FORMAT`, what people call it;
`PATTERNS`, file-name patterns in lower case; `VERSION`; and `rows(path, limits)`, which yields a `Given` for each row.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import MlmatError, ReadError, UsageError
from mlmat.imports._formats import format_for, formats
from mlmat.imports._given import Unused, Wrong
from mlmat.imports._place import Places
from mlmat.imports._read import Begun, Broken, cell_of, fits
from mlmat.imports._scheme import fitting
from mlmat.materials import schemes
from mlmat.materials.formula import pretty, reduced_formula, written
from mlmat.processes.isolation import Crashed, isolated_stream
from mlmat.provenance import clean
from mlmat.reader import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlmat.store import Store

__all__ = ["Report", "check_file", "import_results"]

#: Rows that one transaction writes; refusals that a report names.
FLUSH, REASONS = 2_000, 5
RUNNER = "imported"


@dataclass(slots=True)
class Report:
    """What an import did: rows by outcome (imported, unchanged, replaced, duplicate, refused), wall time in s.

    scheme: of the method; moved: rows of other schemes, by the method that has them; silent: rows that say nothing of
    their scheme; gone: results of an earlier import of the file, which has them no more; structures: those that came
    along; refused: place and reason of the first refused rows; unused: columns that were not used; problem: why the
    file, or the rest of it, could not be read; warnings: what was accepted, and how often.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    scheme: str | None = None
    moved: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    gone: int = 0
    structures: int = 0
    refused: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    problem: str | None = None
    seconds: float = 0.0

    @property
    def taken(self) -> int:
        """Rows of the file that count."""
        return sum(self.outcomes[name] for name in ("imported", "replaced", "unchanged"))


def check_file(path: str | os.PathLike[str]) -> str:
    """The absolute path of a file that can be imported. Raises ReadError."""
    given = os.fspath(path)
    full = Path(given).expanduser().absolute()
    if not full.is_file():
        raise ReadError(f"{given}: there is no such file")
    if format_for(str(full)) is None:
        known = ", ".join(one.FORMAT for one in formats())
        raise ReadError(f"{given}: results are read from {known}, each also compressed; rename the file, or convert it")
    return str(full)


def method_row(name: str) -> dict[str, Any]:
    """The row of table `method` for results of a name. Raises UsageError."""
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable() or name == RUNNER:
        raise UsageError("--method takes a name for the results: 1 to 100 printable characters, such as PBE-MP2020")
    identity = json.dumps([RUNNER, "1", {"name": name}]).encode()
    return {
        "method_id": hashlib.sha256(identity).hexdigest()[:10],
        "method": name,
        "runner": RUNNER,
        "runner_version": "1",
        "settings": {"name": name},
    }


def _method_of_others(store: Store, label: str) -> dict[str, Any]:
    """The method of rows of another scheme; its name is longer where `mlmat correct` has made one so called."""
    row = method_row(label)
    return method_row(f"{label} (imported)") if store.is_taken(label, row["method_id"]) else row


def import_results(
    store: Store,
    path: str | os.PathLike[str],
    method: str,
    *,
    scheme: str | None = None,
    limits: Limits | None = None,
    time_limit: float = 120.0,
    told: Callable[[int], None] | None = None,
) -> Report:
    """Read a file of energies (eV per cell) into a store, as results of a method of this name.

    A row that says what the store has already adds nothing; one that says something else replaces it. time_limit:
    seconds for one row, or for a JSON file as a whole; told: is told how many rows were read. Raises ReadError for a
    file that is not there or of no known format, UsageError for a name that is another method's, StoreLocked while
    another process imports results of this method.

    scheme: energy scheme of the whole file; else that of each row, where it says one. Rows of another scheme than that
    of the method (or, where it has none yet, of the first row) go to a method of their own, called NAME SCHEME.
    """
    start = time.monotonic()
    full, row = check_file(path), method_row(method)
    run = provenance.new_run("import-results", method_id=row["method_id"])
    report = Report()
    given = schemes.named(scheme).name if scheme else None
    # One at a time: what a file has no more is told by the rows that this reading of it did not meet.
    with store.driver(row["method_id"], provenance.who(run)):
        places = Places(row, store.start_import(run, row), partial(_method_of_others, store))
        work = _Work(store, places, full, run["run_id"], report, given)
        try:
            found = isolated_stream("mlmat.imports._read:stream", full, limits or Limits(), time_limit=time_limit)
            work.read(found, told or (lambda _: None))
        except BaseException as error:
            with suppress(MlmatError):
                store.end_run(run["run_id"], "stopped" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        store.end_run(run["run_id"], "failed" if report.problem else "finished")
    report.scheme, report.moved, report.silent = places.scheme, places.moved, places.silent
    report.seconds = time.monotonic() - start
    return report


@dataclass(slots=True)
class _Work:
    """One file on its way into the store."""

    store: Store
    places: Places
    path: str
    run_id: str
    report: Report
    scheme: str | None = None
    sha256: str = ""
    seen: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def read(self, found: Iterable[Any], told: Callable[[int], None]) -> None:
        """Write what comes, and at the end of the whole file forget what it has no more."""
        about = {"path": clean(self.path), "run_id": self.run_id}
        batch: list[dict[str, Any]] = []
        for row in self._rows(found):
            batch.append(row | about | {"file_sha256": self.sha256})
            told(1)
            if len(batch) >= FLUSH:
                self._flush(batch)
                batch = []
        self._flush(batch)
        if not self.report.problem:
            self.report.gone = self.store.forget_imports(self.places.main, clean(self.path), self.run_id)

    def _rows(self, found: Iterable[Any]) -> Iterator[dict[str, Any]]:
        for one in found:
            if isinstance(one, Begun):
                self.sha256 = one.sha256
            elif isinstance(one, Unused):
                self.report.unused = one.names
            elif isinstance(one, Broken | Crashed):
                self.report.problem = one.reason
            else:
                yield one

    def _flush(self, batch: list[dict[str, Any]]) -> None:
        if not batch:
            return
        self._name_structures(batch)
        self.places.place(batch, self.scheme)
        for row in batch:
            self._settle(row)
        counts = self.store.add_imports(batch, self.places.methods.values())
        self.report.structures += counts.pop("structures", 0)
        self.report.outcomes.update(counts)
        for row in batch:
            if row["outcome"] == "refused" and len(self.report.refused) < REASONS:
                self.report.refused.append(f"{row['place']}: {row['reason']}")
            # What stands in brackets is of this row.
            self.report.warnings.update(text.partition(" (")[0] for text in row["warnings"])

    def _name_structures(self, batch: list[dict[str, Any]]) -> None:
        """Look up the structures of the store that rows name."""
        wanted = {row["named_structure"] for row in batch if row.get("named_structure")}
        known = self.store.cells(wanted) if wanted else {}
        for row in batch:
            if name := row.pop("named_structure", None):
                try:
                    _with_structure(row, name, known.get(name))
                except Wrong as error:
                    _refuse(row, str(error))
            row.pop("said", None)

    def _settle(self, row: dict[str, Any]) -> None:
        """Give a row its key and hash; one that comes twice in a file is told by its reason."""
        if row["outcome"] == "imported":
            row |= {"elements": list(row["amounts"]), "nsites": sum(row["amounts"].values()),
                    "formula": pretty(row["amounts"]),
                    "chemical_formula_reduced": reduced_formula(row["amounts"]),
                    "chemical_system": "-".join(row["amounts"])}  # fmt: skip
            row["external_id"] = row["external_id"] or self._made_id(row["place"])
            self._compare(row)
        row["row_sha256"] = _hash(row)

    def _compare(self, row: dict[str, Any]) -> None:
        """Take an id of this file once."""
        said = _hash(row)
        key = (row["method_id"], row["external_id"])
        before = self.seen.get(key)
        if before is None:
            self.seen[key] = (row["place"], said)
        elif before[1] == said:
            _refuse(row, f"says the same as {before[0]}", "duplicate")
        else:
            _refuse(row, f"its id is that of {before[0]}, which says something else")

    def _made_id(self, place: str) -> str:
        """An id for a row without: the file, with a few digits for its folder, and the number of the row."""
        folder = hashlib.sha256(str(Path(self.path).parent).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        number = "-".join(word for word in place.split() if word.isdigit())
        return f"{Path(clean(self.path)).name}@{folder}:{number}"


def _with_structure(row: dict[str, Any], name: str, known: dict[str, Any] | None) -> None:
    """Tie a row to the structure of the store that it names. Raises Wrong."""
    if known is None:
        raise Wrong(f"no structure {name:.40} in this store; ingest it first, or leave structure_id out")
    if row["structure_id"] not in (None, name):
        raise Wrong(f"its structure is not the one that it names: {row['structure_id']}, not {name:.40}")
    if row.get("amounts") is None:
        row["amounts"] = cell_of(known)
        if said := row.get("said"):
            row["fits"] = fitting(said, row["amounts"], row["correction"], None)
    row["chemical_formula"] = written(row["amounts"])
    row["external_id"] = row["external_id"] or name
    row["structure_id"] = name if fits(row["amounts"], known, row["warnings"]) else None


def _refuse(row: dict[str, Any], reason: str, outcome: str = "refused") -> None:
    row |= {"outcome": outcome, "reason": reason, "structure": None, "structure_id": None}


def _hash(row: dict[str, Any]) -> str:
    """SHA-256 of what a row says."""
    said = [row.get(name) for name in ("amounts", "energy", "correction", "structure_id")]
    said += [row["outcome"], row["reason"], row["external_id"]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
