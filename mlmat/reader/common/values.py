"""What a file says beside the geometry: key-value pairs, and results under the names of ASE's calculators."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from mlmat.reader.common.verdict import one_line, some

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Most key-value pairs of one structure, and the longest text among them, in characters.
MAX_PAIRS, MAX_TEXT = 1_000, 10_000
#: Shapes of results; 0 stands for the number of atoms. Energies in eV, forces in eV/Å, stresses in eV/Å³, moments in
#: µB, charges in e, dipoles in e·Å.
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "energy": ((),),
    "free_energy": ((),),
    "energies": ((0,),),
    "forces": ((0, 3),),
    "stress": ((6,), (3, 3), (9,)),
    "stresses": ((0, 6),),
    "magmom": ((), (3,)),
    "magmoms": ((0,), (0, 3)),
    "charges": ((0,),),
    "dipole": ((3,),),
    "dielectric_tensor": ((3, 3),),
    "born_effective_charges": ((0, 3, 3),),
    "polarization": ((3,),),
}
#: Where the components xx, yy, zz, yz, xz, xy stand in a flattened tensor, and their mirror images.
_VOIGT, _MIRRORED = [0, 4, 8, 5, 2, 1], [0, 4, 8, 7, 6, 3]


def scalars(pairs: Mapping[Any, Any], warnings: list[str]) -> dict[str, str | int | float | bool]:
    """The pairs whose value is a text, a number or a truth; what cannot be kept is named in a warning."""
    import numpy as np

    kept: dict[str, str | int | float | bool] = {}
    dropped: list[str] = []
    for key, given in pairs.items():
        value = given.item() if isinstance(given, np.generic | np.ndarray) and np.size(given) == 1 else given
        name = one_line(str(key))
        if value is None or not isinstance(value, str | int | float):
            continue
        if not _fits(value) or len(kept) >= MAX_PAIRS:
            dropped.append(name)
        else:
            kept[name] = value
    if dropped:
        warnings.append(f"values left out, not finite, too long or too many: {some(dropped)}")
    return kept


def _fits(value: str | float) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    return isinstance(value, int) or isfinite(value)


def results(given: Mapping[str, Any], n: int, warnings: list[str]) -> dict[str, Any]:
    """Results of n atoms as floats and arrays of the shapes above, the stress in Voigt's order; `calculator` a name."""
    kept: dict[str, Any] = {}
    dropped: list[str] = []
    for name, shapes in SHAPES.items():
        if given.get(name) is None:
            continue
        array = _array(given[name])
        expected = [tuple(size or n for size in shape) for shape in shapes]
        if array is None or array.shape not in expected:
            dropped.append(name)
        else:
            kept[name] = float(array) if array.shape == () else voigt(array) if name == "stress" else array
    if dropped:
        warnings.append(f"results left out, not finite or of another shape: {some(dropped)}")
    calculator = given.get("calculator")
    named = bool(kept) and isinstance(calculator, str) and calculator.strip()
    return {**kept, "calculator": one_line(str(calculator))} if named else kept


def _array(value: Any) -> Any:
    import numpy as np

    try:
        array = np.array(value, float)
    except (TypeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None


def voigt(stress: Any) -> Any:
    """A stress tensor, (3, 3) or flattened, in the order xx, yy, zz, yz, xz, xy; shape (6,) stays as it is."""
    if stress.shape == (6,):
        return stress
    flat = stress.reshape(9)
    return (flat[_VOIGT] + flat[_MIRRORED]) / 2
