"""What a reader hands to ingest: one `Block` for each structure-like part of a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms

#: What a reader may say of a block. `duplicate` is ingest's word: only the store knows what is there already.
Outcome = Literal["stored", "disordered", "flagged", "rejected", "unreadable"]
#: Warnings of readers that a structure had atoms, or directions of atoms, that were not to move.
SELECTIVE, CONSTRAINTS, MOVE_MASK = (
    "selective dynamics is not kept", "constraints are not kept", "constraints (move_mask) are not kept",
)  # fmt: skip
NOT_KEPT = frozenset({SELECTIVE, CONSTRAINTS, MOVE_MASK})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one hostile file from taking the machine.

    max_sites: atoms in the cell after symmetry; max_bytes: size of a file after decompression; max_blocks: parts of it.
    """

    max_sites: int = 10_000
    max_bytes: int = 256 * 1024 * 1024
    max_blocks: int = 250_000


@dataclass(frozen=True, slots=True)
class Block:
    """One structure-like part of a file and what became of it.

    atoms is set for `stored` and `flagged` blocks: ordered, periodic, positions in Å, the whole cell. A
    `disordered` block has its formula (with fractional amounts) but no atoms, so that nothing rounds it.

    key_values: what the file says of the structure beside its geometry (an id, a band gap), by name. results: what
    somebody has computed for exactly this structure, under the names of ASE's calculators: energy (eV, total), forces
    (nsites, 3; eV/Å), stress (6, Voigt; eV/Å³), magmoms (nsites; µB), …; and `calculator`, its name, where it is known.
    """

    name: str
    index: int
    text: str
    outcome: Outcome
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    atoms: Atoms | None = None
    formula: str | None = None
    declared_formula: str | None = None
    parser: str = ""
    key_values: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
