"""Computed entries of pymatgen as JSON: a list of them, an object that holds one, or one in each line.

An entry is told by its keys: `composition` and `energy`. What `@module` and `@class` name is never imported.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.container import bare_name, opened, unpacked
from mlmat.imports._formula import number
from mlmat.imports._given import Given, UnreadableRow, Unused, Wrong, from_cells
from mlmat.reader.common.json import LINES, documents
from mlmat.reader.common.verdict import NotACrystal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader import Limits

FORMAT = "JSON of pymatgen's entries, or of the rows of a table (.json, .jsonl)"
PATTERNS = ("*.json", "*.jsonl", "*.ndjson")
VERSION = 1
#: Keys that name an entry, the first one that is there.
_NAMES = ("entry_id", "material_id", "task_id")
#: How deep entries may lie in lists and objects.
_DEPTH = 3
#: Largest difference in eV between a correction and the adjustments that it is made of.
_SAME = 1e-4


def rows(path: str, limits: Limits) -> Iterator[Given | UnreadableRow | Unused]:
    """The entries of a file, numbered from 1, or by their lines. Raises Wrong."""
    lines = bare_name(path).lower().endswith(LINES)
    any_entry = False
    for one in _of_lines(path, limits) if lines else _of_document(path, limits):
        any_entry = any_entry or isinstance(one, Given)
        yield one
    if not any_entry:
        raise Wrong("no entries in it: objects with composition and energy are looked for")


def _of_document(path: str, limits: Limits) -> Iterator[Given | UnreadableRow]:
    with Path(path).open("rb") as file:
        data = file.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise Wrong(f"too large: more than {limits.max_bytes / 2**20:.6g} MiB; give entries one in each line (.jsonl)")
    values = _values(bare_name(path), unpacked(data, limits.max_bytes))
    for count, (value, name) in enumerate(values, 1):
        yield _taken(f"entry {count}", name, value)


def _of_lines(path: str, limits: Limits) -> Iterator[Given | UnreadableRow]:
    with closing(opened(path)) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(limits.max_bytes + 1), b""), 1):
            if len(line) > limits.max_bytes:
                raise Wrong(f"line {number} is too large: more than {limits.max_bytes / 2**20:.6g} MiB")
            if line.strip():
                yield from _of_line(f"line {number}", line)


def _of_line(place: str, line: bytes) -> Iterator[Given | UnreadableRow]:
    try:
        found = list(_values("line.json", line))
    except NotACrystal as error:
        yield UnreadableRow(place, str(error))
        return
    for count, (value, name) in enumerate(found, 1):
        yield _taken(place if len(found) == 1 else f"{place} entry {count}", name, value)


def _values(name: str, data: bytes) -> Iterator[tuple[Any, str]]:
    """What stands where entries are looked for, with its name. Raises NotACrystal."""
    for document in documents(name, data):
        if isinstance(document, NotACrystal):
            raise document
        yield from _entries(document.value, "", _DEPTH)


def _taken(place: str, name: str, value: Any) -> Given | UnreadableRow:
    if not isinstance(value, dict):
        return UnreadableRow(place, "not an entry, but a value")
    if "sites" in value:
        return UnreadableRow(place, "a structure without an energy (mlmat ingest takes structures)")
    return from_cells(place, value) if "formula" in value and "composition" not in value else _given(place, name, value)


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and ("composition" in value or "energy" in value) and "sites" not in value


def _entries(value: Any, name: str, depth: int) -> Iterator[tuple[Any, str]]:
    """The entries below a value, with the key that each stands under; what stands in a list beside them, too."""
    if _is_entry(value) or (isinstance(value, dict) and "sites" in value and "lattice" in value):
        yield value, name
    elif isinstance(value, dict) and depth:
        for key, child in value.items():
            if isinstance(child, dict | list):
                yield from _entries(child, "" if isinstance(child, list) else key, depth - 1)
    elif isinstance(value, list) and depth:
        for child in value:
            found = list(_entries(child, "", depth - 1))
            yield from found or [(child, "")]


def _given(place: str, name: str, entry: dict[str, Any]) -> Given:
    warnings: list[str] = []
    data = entry.get("data") if isinstance(entry.get("data"), dict) else {}
    names = [source[key] for source in (entry, data or {}) for key in _NAMES if source.get(key)]
    return Given(
        place=place,
        external_id=(names or [name])[0] or None,
        composition=entry.get("composition"),
        energy=entry.get("energy"),
        correction=_correction(entry, warnings),
        structure=entry.get("structure"),
        said=_said(entry, data or {}),
        charge=next((source["charge"] for source in _places(entry) if source.get("charge")), None),
        warnings=warnings,
    )


def _places(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where an entry may say something."""
    yield entry
    yield from (entry[name] for name in ("data", "parameters") if isinstance(entry.get(name), dict))


def _said(entry: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """What an entry says of its energy scheme, as `_scheme.Said` takes it."""
    given = entry.get("parameters")
    parameters: dict[str, Any] = given if isinstance(given, dict) else {}
    run_types = [source["run_type"] for source in (parameters, data, entry) if source.get("run_type")]
    adjustments = entry.get("energy_adjustments")
    return {
        "scheme": entry.get("scheme"),
        "run_type": next(iter(run_types), None),
        "other_run_type": next((one for one in run_types if one != run_types[0]), None),
        "hubbards": parameters.get("hubbards") or data.get("hubbards"),
        "is_hubbard": parameters.get("is_hubbard"),
        "potcars": _potcars(parameters),
        "kinds": frozenset(_kinds(adjustments if isinstance(adjustments, list) else [])),
    }


def _potcars(parameters: dict[str, Any]) -> tuple[str, ...]:
    """Pseudopotentials as `PBE Na_pv`, in whichever of pymatgen's ways they are told; none where in no way."""
    for key in ("potcar_symbols", "potcar_spec", "pseudo_potential"):
        found = parameters.get(key)
        if key == "potcar_symbols" and isinstance(found, list) and found:
            return tuple(str(text) for text in found)
        if key == "potcar_spec" and isinstance(found, list) and found:
            titles = [one.get("titel") for one in found if isinstance(one, dict)]
            return tuple(" ".join(str(title).split()[:2]) for title in titles if title)
        if key == "pseudo_potential" and isinstance(found, dict) and isinstance(found.get("labels"), list):
            return tuple(f"{found.get('functional') or 'PBE'} {label}" for label in found["labels"])
    return ()


def _kinds(adjustments: list[Any]) -> Iterator[str]:
    """The classes of pymatgen that adjustments are of, of those that change something."""
    for one in adjustments:
        kind = one.get("cls") if isinstance(one, dict) else None
        if isinstance(kind, dict) and kind.get("@class"):
            yield str(kind["@class"])
        elif isinstance(one, dict) and "MP2020" in str(one.get("name")):
            yield "MaterialsProject2020Compatibility"
        elif isinstance(one, dict) and "mixing adjustment" in str(one.get("name")):
            yield "MaterialsProjectDFTMixingScheme"
        elif isinstance(one, dict) and not _is_nothing(one):
            yield f"{one.get('name') or 'an adjustment without a name'!s:.60}"


def _is_nothing(adjustment: dict[str, Any]) -> bool:
    try:
        return not _adjustment(adjustment)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
        return False


def _correction(entry: dict[str, Any], warnings: list[str]) -> Any:
    """What is to be added to the energy: the sum of the adjustments, as pymatgen takes it, else the correction."""
    said, listed = entry.get("correction"), entry.get("energy_adjustments")
    if said != said:
        said = "nan"  # JSON has a word for what is missing: this is a number gone wrong
    if not isinstance(listed, list) or not listed:
        return said
    try:
        total = sum(_adjustment(one) for one in listed)
        differ = isinstance(said, int | float) and abs(said - total) > _SAME
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
        return "unknown energy_adjustments"
    if differ:
        warnings.append(f"correction says {said:g} eV, its energy_adjustments sum up to {total:g} eV: these are taken")
    return total


def _adjustment(one: dict[str, Any]) -> float:
    """One energy adjustment in eV; the kinds of pymatgen are told by their keys."""
    if one.get("value") is not None:
        return number(one["value"], "an energy adjustment")
    atoms = number(one["n_atoms"], "n_atoms")
    if "adj_per_atom" in one:
        return atoms * number(one["adj_per_atom"], "adj_per_atom")
    return atoms * number(one["adj_per_deg"], "adj_per_deg") * number(one["temp"], "temp")
