"""Containers with small crystals in them, one maker for each kind."""

from __future__ import annotations

import csv
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from small_cifs import cif

from mlmat.container import Member, Options, Refused, container_for
from mlmat.reader import Limits, read

#: Lattice constants in Å of the three crystals that every container here holds.
SIZES = (4.0, 4.1, 4.2)


def make_zip(path: Path, files: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: Mapping[str, bytes | str], extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    kind = path.suffix.lstrip(".").replace("tgz", "gz").replace("tar", "")
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def make_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows(rows)
    return path


def make_parquet(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def make_json_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_ase_db(path: Path) -> Path:
    from ase.db import connect

    db = connect(path)
    for size in SIZES:
        atoms = bulk("Cu", "sc", a=size)
        atoms.calc = SinglePointCalculator(atoms, energy=-size, forces=[[0.0, 0.0, 0.5]], stress=[1, 2, 3, 4, 5, 6])
        atoms.calc.name = "gpaw"
        db.write(atoms, gap=size / 2, label=f"a{size}", relaxed=True)
    return path


def optimade(size: float, name: str) -> dict[str, object]:
    attributes = {
        "elements": ["Cu"], "nelements": 1, "elements_ratios": [1.0], "chemical_formula_reduced": "Cu", "nsites": 1,
        "lattice_vectors": [[size, 0, 0], [0, size, 0], [0, 0, size]], "cartesian_site_positions": [[0, 0, 0]],
        "species": [{"name": "Cu", "chemical_symbols": ["Cu"], "concentration": [1.0]}],
        "species_at_sites": ["Cu"], "dimension_types": [1, 1, 1], "structure_features": [], "_x_gap": size,
    }  # fmt: skip
    return {"id": name, "type": "structures", "attributes": attributes}


def make(name: str, folder: Path) -> tuple[Path, str | None]:
    """A container of this file name with the crystals of SIZES; and the column that it has to be read with."""
    path = folder / name
    files = {f"deep/{size}.cif": cif(size) for size in SIZES} | {"README": "nothing"}
    rows = [{"id": f"mp-{size}", "cif": cif(size), "gap": size / 2} for size in SIZES]
    if name.endswith(".zip"):
        return make_zip(path, files), None
    if name.endswith((".csv", ".tsv")):
        return make_csv(path, rows), "cif"
    if name.endswith(".csv.xz"):
        path.write_bytes(lzma.compress(make_csv(folder / "plain.csv", rows).read_bytes()))
        return path, "cif"
    if name.endswith(".parquet"):
        return make_parquet(path, rows), "cif"
    if name == "table.jsonl":
        return make_json_lines(path, rows), "cif"
    if name.endswith(".jsonl"):
        return make_json_lines(path, [{"x-optimade": {}}, *(optimade(s, f"mp-{s}") for s in SIZES)]), None
    if name.endswith(".db"):
        return make_ase_db(path), None
    return make_tar(path, files), None


#: A file name for each way to hold several structures.
NAMES = (
    "a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.csv", "a.tsv", "a.csv.xz", "a.parquet",
    "table.jsonl", "a.jsonl", "a.db",
)  # fmt: skip


def members(path: Path, column: str | None = None, max_bytes: int = 1_000_000) -> list[Member]:
    """The members of a container; a refusal of the rest of it as one more, called by its outcome."""
    container = container_for(str(path), column=column is not None)
    assert container is not None
    options = Options(max_bytes, column, lambda name: name.endswith(".cif"))
    found = []
    try:
        for one in container.members(str(path), options):
            found.append(one)
    except Refused as refused:
        found.append(Member(f"<{refused.outcome}>", error=str(refused)))
    return found


def volumes(found: Sequence[Member]) -> list[float]:
    """Volume in Å³ of each structure, by the readers."""
    blocks = [block for one in found if not one.other for block in read(one.file, one.data, Limits())]
    return [round(block.atoms.cell.volume, 6) for block in blocks if block.atoms is not None]
