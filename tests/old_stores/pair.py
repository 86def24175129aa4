"""A runner of a few lines, whose source is its version: an edit makes another method."""

from ase.calculators.lj import LennardJones

from mlmat.runner import WrappedAtomsRunner


class Runner(WrappedAtomsRunner):
    columns = {"energy": "DOUBLE -- eV, total energy", "fmax": "DOUBLE -- eV/Å, largest force"}

    def __init__(self, files=(), sigma=2.5):
        super().__init__(files)
        self.sigma = sigma

    def run(self, atoms):
        if "Ga" in atoms.get_chemical_symbols():
            raise ValueError("no gallium")
        atoms.calc = LennardJones(sigma=self.sigma, rc=3 * self.sigma)
        return {"energy": atoms.get_potential_energy(), "fmax": abs(atoms.get_forces()).max()}
