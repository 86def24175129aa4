"""The smallest useful runner: energy and forces by ASE's effective medium theory (EMT).

Run it on files of your own with `mlmat screen --runner mlmat.example_runner`, or from Python:

>>> from mlmat.example_runner import ExampleRunner
>>> from mlmat.reduction import Frame
>>> from mlmat.runner import execute_runner
>>> execute_runner(ExampleRunner(["Al.cif", "Cu.cif"]), Frame()).result()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mlmat.runner import WrappedAtomsRunner

if TYPE_CHECKING:
    from ase import Atoms


class ExampleRunner(WrappedAtomsRunner):
    """Energy (eV) and largest force (eV/Å) by EMT, which knows Al, Cu, Ag, Au, Ni, Pd, Pt, and C, N, O, H roughly."""

    name = "emt"
    version = "1"
    columns: ClassVar[dict[str, str]] = {
        "energy": "DOUBLE -- eV, total energy of the cell",
        "forces": "DOUBLE[3][] -- eV/Å, force on each atom, shape (nsites, 3)",
        "fmax": "DOUBLE -- eV/Å, largest force on an atom",
    }

    def run(self, atoms: Atoms) -> dict[str, Any]:
        """One single-point calculation. Raises NotImplementedError for elements that EMT does not know."""
        from ase.calculators.emt import EMT

        atoms.calc = EMT()
        forces = atoms.get_forces()
        return {
            "energy": atoms.get_potential_energy(),
            "forces": forces,
            "fmax": float((forces**2).sum(axis=1).max() ** 0.5),
        }
