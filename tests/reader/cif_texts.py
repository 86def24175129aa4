"""CIF texts for the tests, written here."""

from __future__ import annotations

from ase import Atoms

SITE_TAGS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
ROCK_SALT = ("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")
FACE_CENTRED = ("0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0")
ALL_ROCK_SALT = tuple(
    f"{el}{i} {el} {x} 1"
    for el, shift in (("Na", 0), ("Cl", 1))
    for i, x in enumerate((*FACE_CENTRED, *(".5 .5 .5", ".5 0 0", "0 .5 0", "0 0 .5"))[4 * shift : 4 * shift + 4])
)


def cif(*sites: str, cell=CUBIC, name="x", tags=SITE_TAGS, ops=(), **items) -> str:
    """A data block; items are given by the names below or as `tag=value` without the leading underscore."""
    names = {
        "symbol": "symmetry_space_group_name_H-M",
        "number": "symmetry_Int_Tables_number",
        "hall": "symmetry_space_group_name_Hall",
        "formula": "chemical_formula_sum",
        "z": "cell_formula_units_Z",
    }
    lines = [f"data_{name}"]
    parts = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{part} {value}" for part, value in zip(parts, cell, strict=True) if value is not None]
    lines += [f"_{names.get(key, key)} '{value}'" for key, value in items.items()]
    if ops:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op}'" for op in ops)]
    lines += ["loop_", *(f"_atom_site_{tag}" for tag in tags), *sites]
    return "\n".join(lines) + "\n"


def p1(atoms: Atoms, name: str = "x") -> str:
    """The atoms as a CIF in P 1, every number to the last digit."""
    fract = atoms.get_scaled_positions(wrap=False)
    sites = [
        f"{s}{i} {s} {x!r} {y!r} {z!r} 1"
        for i, (s, (x, y, z)) in enumerate(zip(atoms.get_chemical_symbols(), fract.tolist(), strict=True))
    ]
    return cif(*sites, cell=[repr(float(v)) for v in atoms.cell.cellpar()], name=name, ops=["x,y,z"])
