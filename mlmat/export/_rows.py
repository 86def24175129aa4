"""What the writers get: one `Row` for each structure, read a thousand at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.export._keys import typed
from mlmat.export_marks import MARK, mark
from mlmat.materials import electrons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa
    from ase import Atoms

    from mlmat.export._select import Method
    from mlmat.store import Store

#: Structures that one read takes.
CHUNK = 1_000
#: Columns of table `structure` that describe it by one value, in the order of tables.
ABOUT = (
    "formula", "chemical_formula_reduced", "chemical_formula_anonymous", "chemical_system", "nelements", "nsites",
    "space_group_it_number", "space_group_symbol", "volume", "density", "charge", "spin_multiplicity",
)  # fmt: skip
#: Those that make the atoms.
GEOMETRY = (
    "lattice_vectors", "cartesian_site_positions", "atomic_numbers", "dimension_types", "initial_magnetic_moments",
    "initial_charges",
)  # fmt: skip
#: Results under ASE's names with the shapes that ASE expects; n is the number of atoms.
_SHAPES: dict[str, tuple[tuple[str | int, ...], ...]] = {
    "energy": ((),), "free_energy": ((),), "magmom": ((),), "forces": (("n", 3),), "stress": ((6,), (3, 3)),
    "stresses": (("n", 6),), "energies": (("n",),), "magmoms": (("n",), ("n", 3)), "charges": (("n",),),
    "dipole": ((3,),),
}  # fmt: skip
#: Columns of a runner that name a structure or repeat what the row says.
_LEFT_OUT = frozenset({"result_id", "relaxed", "converged", "structure_id", "method", "method_id", "nsites", "volume"})
#: Names that formats add: of the space group, and those that OPTIMADE requires.
_ADDED = (
    "space_group", "space_group_symbol", "space_group_it_number", "chemical_formula_descriptive", "last_modified",
)  # fmt: skip
#: What an earlier export said of its own method: it must not be taken for results of this one.
_OF_A_METHOD = frozenset(_SHAPES) | {
    "initial_id", "method", "method_id", "energy_per_atom", "converged", "rank", "energy_above_best",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One structure with what is known of it.

    structure_id: of the atoms that go out; initial_id: of those handed in, where a method relaxed them. about and
    geometry: columns of table `structure`. results: by ASE's names (energy eV, forces eV/Å, stress eV/Å³ in Voigt
    order, …). values: everything else that is one number or text. key_values: what the file said of it. arrays: what
    else the runner returned. computed: names of single values that the runner returned.
    """

    structure_id: str
    initial_id: str | None
    atoms: Atoms
    about: Mapping[str, Any]
    geometry: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    key_values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    calculator: str | None = None
    last_modified: Any = None

    def facts(self) -> dict[str, Any]:
        """All single values by name, with `mlmat_own`, which lists those that the file did not say."""
        theirs = {name.removeprefix("_mlmat_"): typed(value) for name, value in self.key_values.items()}
        if "method" in self.values:
            theirs = {name: value for name, value in theirs.items() if name not in _OF_A_METHOD}
        theirs |= electrons.pairs_of(electrons.State(self.about["charge"], self.about["spin_multiplicity"]))
        own = {"structure_id": self.structure_id, "initial_id": self.initial_id, **self.values}
        facts = {name: value for name, value in {**theirs, **own}.items() if _known(value)}
        return facts | {MARK: self.mark(name for name in own if name in facts)}

    def mark(self, names: Iterable[str]) -> str:
        """Which names are none of the file's own, for a reader: those that describe, then after / those computed."""
        return mark([*(name for name in names if name not in self.computed), *_ADDED], self.computed)

    def calculated(self) -> Atoms:
        """The atoms with their results on an ASE single-point calculator."""
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms = self.atoms.copy()
        if self.results:
            atoms.calc = SinglePointCalculator(atoms, **self.results)
            atoms.calc.name = self.calculator or "unknown"
        return atoms


class Rows:
    """The rows of a selection: an iterable with the Arrow types of what its rows hold."""

    def __init__(
        self,
        store: Store,
        chosen: pa.Table,
        method: Method | None,
        known: Mapping[str, Mapping[str, str]],
        tell: Callable[[int], Any] | None = None,
    ) -> None:
        self.store, self.chosen, self.method = store, chosen, method
        self.left_out: dict[str, int] = {}
        self.unfit: Callable[[Row], str | None] = lambda _row: None
        self._tell = tell or (lambda _count: None)
        values = "result_" + store.table_name(method.runner) if method else ""
        self._table = values if values in known else None
        self._has_key_values = "key_values" in known["source"]
        self.extra = chosen.column_names[4:]
        self._first = self._read(chosen.slice(0, CHUNK))
        self.schema: pa.Schema = self._first.schema

    def __len__(self) -> int:
        return int(self.chosen.num_rows)

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, len(self), CHUNK):
            part = self.chosen.slice(start, CHUNK)
            extra = part.select(self.extra).to_pylist()
            for read in (self._read(part) if start else self._first).to_pylist():
                row = self._row(read, extra[read["mlmat_place"]])
                reason = self.unfit(row)
                if reason is None:
                    yield row
                else:
                    self.left_out[reason] = self.left_out.get(reason, 0) + 1
            self._tell(part.num_rows)

    def runner_types(self) -> dict[str, pa.DataType]:
        """Arrow types of the runner's own columns."""
        if self._table is None:
            return {}
        kind = self.schema.field("mlmat_values").type
        return {f.name: f.type for f in kind if f.name not in _LEFT_OUT}

    def _read(self, part: pa.Table) -> pa.Table:
        parameters = {
            "initial": part["structure_id"].to_pylist(),
            "final": part["final_id"].to_pylist(),
            "result": part["result_id"].to_pylist(),
            "source": part["source_id"].to_pylist(),
            "place": list(range(part.num_rows)),
        }
        return self.store.arrow(self._statement(), parameters)

    def _statement(self) -> str:
        values = f'LEFT JOIN "{self._table}" AS v ON v.result_id = wanted.result_id' if self._table else ""
        pairs = "s.key_values" if self._has_key_values else "NULL::MAP(VARCHAR, VARCHAR)"
        return f"""
            WITH wanted AS (
                SELECT unnest($initial::VARCHAR[]) AS initial_id, unnest($final::VARCHAR[]) AS final_id,
                    unnest($result::UUID[]) AS result_id, unnest($source::UUID[]) AS source_id,
                    unnest($place::BIGINT[]) AS mlmat_place
            ),
            said AS (
                SELECT w.mlmat_place, coalesce(came.source_id, w.source_id) AS fitting,
                    s.source_id, s.path, s.member, s.block, s.ingested_at,
                    s.current, {pairs} AS key_values
                FROM wanted AS w JOIN source AS s ON s.structure_id = w.initial_id
                LEFT JOIN result AS came ON came.result_id = w.result_id
            ),
            origin AS (
                SELECT mlmat_place, path, member, block, ingested_at, key_values,
                    list(key_values) FILTER (current AND cardinality(key_values) > 0)
                        OVER (PARTITION BY mlmat_place) AS all_said
                FROM said QUALIFY row_number() OVER (
                    PARTITION BY mlmat_place ORDER BY (source_id = fitting) IS TRUE DESC, current DESC, source_id) = 1
            )
            SELECT wanted.mlmat_place, wanted.initial_id, s.structure_id,
                {", ".join(f"s.{n}" for n in (*ABOUT, *GEOMETRY))},
                r.energy, r.converged, r.finished_at, origin.* EXCLUDE (mlmat_place),
                EXISTS (FROM produced AS p WHERE p.result_id = wanted.result_id AND p.role = 'relaxed'
                    AND p.structure_id <> wanted.final_id) AS mlmat_elsewhere
                {", v AS mlmat_values" if self._table else ""}
            FROM wanted JOIN structure AS s ON s.structure_id = wanted.final_id
            LEFT JOIN result AS r ON r.result_id = wanted.result_id
            LEFT JOIN origin ON origin.mlmat_place = wanted.mlmat_place
            {values}
            ORDER BY wanted.mlmat_place
        """

    def _row(self, read: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
        from mlmat.materials.structure import from_row

        atoms = from_row(read)
        own = {k: v for k, v in (read.get("mlmat_values") or {}).items() if k not in _LEFT_OUT}
        results, rest = _results({**own, "energy": read["energy"]}, len(atoms))
        if read["mlmat_elsewhere"]:  # they belong to the relaxed structure, not to the one that goes out
            results, rest = {}, rest | {"relaxed_energy": read["energy"]}
        flat = {k: v for k, v in rest.items() if isinstance(v, bool | int | float | str)}
        initial = read["initial_id"]
        return Row(
            structure_id=read["structure_id"],
            initial_id=initial if initial != read["structure_id"] else None,
            atoms=atoms,
            about={name: read[name] for name in ABOUT},
            geometry={name: read[name] for name in GEOMETRY},
            results=results,
            values=self._values(read, results.get("energy"), len(atoms)) | dict(extra) | flat | _origin(read),
            key_values=dict(read.get("key_values") or ()),
            arrays={k: v for k, v in rest.items() if k not in flat},
            computed=frozenset([*flat, *results]),
            calculator=self.method.runner if self.method else None,
            last_modified=read["finished_at"] or read["ingested_at"],
        )

    def _values(self, read: Mapping[str, Any], energy: float | None, atoms: int) -> dict[str, Any]:
        if self.method is None:
            return {}
        return {
            "method": self.method.name,
            "method_id": self.method.method_id,
            "energy_per_atom": energy / atoms if energy is not None else None,
            "converged": read["converged"],
        }


def _origin(read: Mapping[str, Any]) -> dict[str, Any]:
    """Where it came from, and what other files say of it."""
    return {name: read[name] for name in ("path", "member", "block") if read[name]} | _conflicts(read)


def _conflicts(read: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the same keys that other current files say, in one text."""
    chosen = dict(read.get("key_values") or ())
    others = dict.fromkeys(
        f"{key}={value}"
        for said in read.get("all_said") or ()
        for key, value in said
        if key in chosen and typed(value) != typed(chosen[key])
    )
    return {"key_conflicts": " ".join(others)} if others else {}


def _results(values: Mapping[str, Any], n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ASE has a name for, in the shape that it expects, as arrays; and the rest as it is."""
    results, rest = {}, {}
    for name, value in values.items():
        if value is None:
            continue
        fits = _fitting(name, value, n)
        if fits is None:
            rest[name] = value
        else:
            results[name] = fits
    return results, rest


def _fitting(name: str, value: Any, n: int) -> Any:
    """A result as a float or an array, or None where it is not what the name means to ASE."""
    if name not in _SHAPES or not isinstance(value, list | float | int):
        return None
    try:
        array = np.asarray(value, float)
    except (ValueError, TypeError):
        return None
    shapes = [tuple(n if size == "n" else size for size in shape) for shape in _SHAPES[name]]
    if array.shape not in shapes or not np.isfinite(array).all():
        return None
    return array if array.shape else float(array)


def _known(value: Any) -> bool:
    return value is not None and value != "" and value == value
