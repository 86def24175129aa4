"""From a file of results to rows that the store can take: what the reading process does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.container import Refused
from mlmat.imports import _formula
from mlmat.imports._formats import format_for, name_of
from mlmat.imports._given import Given, UnreadableRow, Unused, Wrong
from mlmat.imports._scheme import Said, fitting
from mlmat.materials.formula import written
from mlmat.provenance import clean
from mlmat.reader import Limits, read
from mlmat.reader.common.verdict import Refused as NotRead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlmat.reader import Block

#: Longest id that a result may come with, in characters.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Begun:
    """SHA-256 of the file that is read now."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The file, or the rest of it, cannot be read."""

    reason: str


def stream(path: str, limits: Limits) -> Iterator[dict[str, Any] | Begun | Unused | Broken]:
    """Every row of a file as a dict, as `_row` gives it; at last a `Broken` where it breaks off."""
    kind = format_for(path)
    assert kind is not None
    parser = f"mlmat.imports.{name_of(kind)} {kind.VERSION}"
    try:
        yield Begun(provenance.sha256(path))
        for given in kind.rows(path, limits):
            yield given if isinstance(given, Unused) else {"parser": parser, **_row(given, limits)}
    except (Wrong, Refused, NotRead) as error:
        yield Broken(" ".join(str(error).split())[:300])
    except OSError as error:
        yield Broken(error.strerror or str(error))


def _row(given: Given | UnreadableRow, limits: Limits) -> dict[str, Any]:
    """What became of a row: outcome, reason, warnings, composition, energy (with correction), structure."""
    row: dict[str, Any] = {"place": given.place, "outcome": "refused", "warnings": [], "external_id": None,
                           "chemical_formula": None, "structure_id": None, "structure": None}  # fmt: skip
    if isinstance(given, UnreadableRow):
        return row | {"reason": clean(given.reason)}
    try:
        row["external_id"] = _id(given.external_id)
        row |= _taken(given, limits, row)
    except Wrong as error:
        row["reason"] = clean(" ".join(str(error).split()))
    except Exception as error:  # one odd row must not cost those behind it
        row["reason"] = clean(f"cannot be read: {type(error).__name__}: {' '.join(str(error).split()):.200}")
    row["warnings"] = [clean(text) for text in given.warnings]
    return row


def _taken(given: Given, limits: Limits, row: dict[str, Any]) -> dict[str, Any]:
    if not _empty(given.charge) and given.charge != 0:
        raise Wrong(f"its cell has a charge of {given.charge!s:.20} e")
    structure, problem = _structure(given, limits)
    amounts = _composition(given, structure, problem)
    if amounts:
        row["chemical_formula"] = written(amounts)
        _formula.note_isotope(row["external_id"], amounts, given.warnings)
    energy = _formula.number(given.energy, "energy")
    correction = None if _empty(given.correction) else _formula.number(given.correction, "correction")
    if problem:
        given.warnings.append(f"its structure is left out: {problem}")
    if structure and amounts and not fits(amounts, structure, given.warnings):
        structure = None
    said = Said(**given.said)
    return {
        "outcome": "imported",
        # Where only a structure of the store tells what it is of, what it says is judged there.
        "fits": fitting(said, amounts, correction, structure) if amounts else [],
        "said": None if amounts else said,
        "reason": None,
        "amounts": amounts,
        "energy": _formula.number(energy + (correction or 0.0), "energy with its correction"),
        "correction": correction,
        "structure": structure,
        "structure_id": structure["structure_id"] if structure else None,
        "named_structure": _named(given.structure_id),
    }


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _id(value: Any) -> str | None:
    if _empty(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with gaps, as pandas writes it
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Wrong(f"its id is neither a text nor a whole number: {value!s:.40}")
    text = clean(str(value).strip())
    if len(text) > _LONGEST:
        raise Wrong(f"its id is longer than {_LONGEST} characters")
    return text or None


def _named(value: Any) -> str | None:
    return None if _empty(value) else clean(str(value).strip().lower())


def _composition(given: Given, structure: Mapping[str, Any] | None, problem: str | None) -> _formula.Amounts | None:
    """Atoms of each element in the cell; None where only a structure of the store can tell."""
    if not _empty(given.composition):
        return _formula.amounts_of(given.composition, given.warnings)
    if structure:
        return cell_of(structure)
    if problem:
        raise Wrong(f"no formula, and no structure that would tell it: {problem}")
    if _empty(given.structure_id):
        return _formula.amounts_of(given.composition, given.warnings)  # says what is missing
    return None


def cell_of(structure: Mapping[str, Any]) -> _formula.Amounts:
    """Atoms of each element in the cell of a structure's row."""
    ratios = zip(structure["elements"], structure["elements_ratios"], strict=True)
    return {element: float(round(ratio * structure["nsites"])) for element, ratio in ratios}


def fits(amounts: _formula.Amounts, structure: Mapping[str, Any], warnings: list[str]) -> bool:
    """Whether an energy of these amounts is one of a structure's cell; a warning where it is of another cell.

    Raises Wrong where it is of another composition.
    """
    cell = cell_of(structure)
    factor = sum(cell.values()) / sum(amounts.values())
    if cell.keys() != amounts.keys() or any(abs(cell[e] - factor * n) > 1e-3 * cell[e] for e, n in amounts.items()):
        raise Wrong(f"its formula {written(amounts)} is not that of its structure {written(cell)}")
    if abs(factor - 1) < 1e-6:
        return True
    warnings.append(
        "its structure is left out, the energy being of another cell; was it of this one, give no formula "
        f"({structure['nsites']} atoms, not {sum(amounts.values()):g})"
    )
    return False


def _structure(given: Given, limits: Limits) -> tuple[dict[str, Any] | None, str | None]:
    """The row of table `structure` that comes with a result, or why there is none although one was given."""
    from mlmat.materials.structure import to_row

    said = given.structure
    if _empty(said):
        return None, None
    if isinstance(said, dict):
        if charge := said.get("charge"):
            raise Wrong(f"its cell has a charge of {charge} e")
        blocks = list(read("entry.json", json.dumps(said).encode(), limits))
    else:
        blocks = list(read("row.cif", str(said).encode("utf-8", "surrogateescape"), limits))
    block = blocks[0]
    given.warnings.extend(f"its structure: {text}" for text in block.warnings)
    if len(blocks) > 1:
        return None, f"{len(blocks)} structures where one is expected"
    if block.atoms is None or block.outcome != "stored":
        return None, _why(block)
    return to_row(block.atoms), None


def _why(block: Block) -> str:
    return f"{block.outcome}: {block.reason}" if block.reason else block.outcome
