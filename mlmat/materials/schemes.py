"""Energy schemes: what two energies must share so that they may stand in one hull.

Functional, U values with their pseudopotentials (or the data set whose settings a model learned), corrections and
dispersion. A scheme is known by its name alone: names that are not listed here are compared as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from mlmat.errors import UsageError

#: Longest name of a scheme, in characters.
LONGEST = 200
#: A scheme whose energies hold a dispersion correction: MP raw GGA/GGA+U + D3, PBE-D3(BJ).
_DISPERSION = re.compile(r"(.+?)[\s+-]+(D[234](?:\(?BJ\)?)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme and what is known of its parts. None: not known; `none`: without."""

    name: str
    functional: str | None = None
    hubbard_u: str | None = None
    corrections: str | None = None
    dispersion: str | None = None

    def columns(self) -> dict[str, str | None]:
        """The columns of table `method`."""
        return {
            "scheme": self.name,
            "functional": self.functional,
            "hubbard_u": self.hubbard_u,
            "corrections": self.corrections,
            "dispersion": self.dispersion,
        }


_MP_U = "of the Materials Project (MPRelaxSet): U for oxides and fluorides of Co Cr Fe Mn Mo Ni V W, its PBE POTCARs"
MP_RAW = Scheme("MP raw GGA/GGA+U", "PBE", _MP_U, "none", "none")
MP2020 = Scheme("MP2020", "PBE", _MP_U, "MaterialsProject2020Compatibility", "none")
R2SCAN = Scheme("r2SCAN", "r2SCAN", "none", "none", "none")
PBE = Scheme("PBE", "PBE", "none", "none", "none")
#: Alphabetically by name; what is not here is compared by its text.
KNOWN = {
    scheme.name.lower(): scheme
    for scheme in (
        MP_RAW,
        MP2020,
        R2SCAN,
        PBE,
        Scheme("PBE+U", "PBE", "values not said", "none", "none"),
        Scheme("MatPES-PBE", "PBE", "none; settings of MatPES", "none", "none"),
        Scheme("MatPES-r2SCAN", "r2SCAN", "none; settings of MatPES", "none", "none"),
        Scheme(
            "OMat24", "PBE", "U of the Materials Project, PBE_54 pseudopotentials: settings of OMat24", "none", "none"
        ),
        Scheme("OC20", "RPBE", "none; settings of OC20", "none", "none"),
        Scheme("PBEsol", "PBEsol", "none", "none", "none"),
        Scheme("SCAN", "SCAN", "none", "none", "none"),
        Scheme("LDA", "LDA", "none", "none", "none"),
        Scheme("HSE06", "HSE06", "none", "none", "none"),
    )
}


def named(text: str) -> Scheme:
    """The scheme of a name, in any case of letters; with ` + D3` behind it, with dispersion. Raises UsageError."""
    name = " ".join(text.split())
    if not name or len(name) > LONGEST or not name.isprintable() or name.lower() in {"unknown", "none", "null"}:
        raise UsageError(f"a scheme takes 1 to {LONGEST} printable characters, such as {MP2020.name} or 'PBE+U 4 eV'")
    if found := _DISPERSION.fullmatch(name):
        bare, dispersion = named(found[1]), found[2].upper()
        return replace(bare, name=f"{bare.name} + {dispersion}", dispersion=dispersion)
    return KNOWN.get(name.lower(), Scheme(name))


@dataclass(frozen=True, slots=True)
class Learned:
    """What a model learned: the scheme of its energies (None: not known), and the data or the teacher."""

    scheme: Scheme | None = None
    trained_on: str | None = None

    def columns(self) -> dict[str, Any]:
        """The columns of table `method`."""
        return {**(self.scheme.columns() if self.scheme else {}), "trained_on": self.trained_on}


#: Models by name; the foundation models of mace-torch as their page lists them
#: (https://github.com/ACEsuit/mace-foundations, 2026). MPtrj's energies without corrections are the Materials Project's
#: raw ones, and sAlex is computed with the same settings. Data sets and teachers are names, separated by commas:
#: methods that share one are no independent witnesses.
MODELS = {
    **dict.fromkeys(("mace-64x0e-chgnet", "chgnet-0.3.0"), Learned(MP2020, "CHGNet, MPtrj")),
    "chgnet-r2scan": Learned(R2SCAN, "CHGNet, MPtrj, MP r2SCAN"),
    **dict.fromkeys(
        ("small", "medium", "large", "small-0b", "medium-0b", "small-0b2", "medium-0b2", "large-0b2", "medium-0b3"),
        Learned(MP_RAW, "MPtrj"),
    ),
    "medium-mpa-0": Learned(MP_RAW, "MPtrj, sAlex"),
    **dict.fromkeys(("small-omat-0", "medium-omat-0"), Learned(KNOWN["omat24"], "OMat24")),
    "mace-matpes-pbe-0": Learned(KNOWN["matpes-pbe"], "MatPES-PBE"),
    "mace-matpes-r2scan-0": Learned(KNOWN["matpes-r2scan"], "MatPES-r2SCAN"),
}
#: Models by the SHA-256 of their file: a name may be anybody's.
BY_SHA256 = {"432d5186abee67be3889d7d05001ce4e978d5bb7416bd7beee918e22c130f62c": MODELS["mace-64x0e-chgnet"]}


def shared(one: str | None, other: str | None) -> bool:
    """Whether two methods learned from the same data or teacher: a name that both lists hold."""
    return bool(_names(one) & _names(other))


def _names(trained_on: str | None) -> set[str]:
    return {name.strip().lower() for name in (trained_on or "").split(",") if name.strip()}
