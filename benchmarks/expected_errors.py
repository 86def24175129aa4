"""What an energy of a model is worth, by class of compounds: figures of docs/stability.md, and those that ship.

    python benchmarks/expected_errors.py STORE MANIFEST [--write docs/stability.md] [--ship FIGURES.csv]

STORE: one into which the WBM crystals, polymorphs of elements (folders `wbm` and `mp_elements` of the manifest) and the
crystals of the elements have been read, and the entries of complete systems imported as method DFT; screened with the
runners to be measured, and with `--of DFT`. MANIFEST: rows with `file` and the published energies.

Crystals of WBM are new to the models; those of the complete systems (and elements) they were trained on. What is
shipped (mlmat/weights/expected_errors.csv) as the error of e_above_hull is therefore the larger of two: as it was
measured in those systems, and that of energies of formation of new crystals.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import pandas as pd

import mlmat

ERRORS, SPREAD = (
    "<!-- made by benchmarks/expected_errors.py -->",
    "<!-- made by benchmarks/expected_errors.py: committee -->",
)
END = "<!-- end -->"
FORMATION, HULL = "formation_energy_per_atom", "e_above_hull"
#: Structures below which a class counts as not measured.
FEW = 25
CLASSES = ("all", "oxide", "halide", "chalcogenide", "pnictide", "intermetallic", "f-element", "other", "element")
MODELS = """
    SELECT method_id, method, model_name, model_sha256 FROM method
    WHERE model_sha256 IS NOT NULL AND settings['relax'] = 'none' ORDER BY runner DESC
"""
NEW = """
    SELECT h.structure_id, s.path, h.class, h.formation_energy_per_atom, h.e_above_hull
    FROM hull AS h JOIN source AS s USING (structure_id)
    WHERE h.method_id = ? AND h.suspect IS NULL AND s.current AND h.formation_energy_per_atom IS NOT NULL
"""
KNOWN = """
    SELECT h.class, h.e_above_hull - d.e_above_hull AS error,
        h.formation_energy_per_atom - d.formation_energy_per_atom AS formation
    FROM hull AS d JOIN hull AS h USING (structure_id)
    WHERE d.method = 'DFT' AND h.method_id = ? AND d.nelements > 1 AND error IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY d.e_above_hull) = 1
"""


def published(manifest: Path) -> pd.DataFrame:
    """Energies of the manifest by set and name of the file."""
    rows = pd.read_csv(manifest, keep_default_na=False, na_values=[""], low_memory=False)
    rows["formation"] = rows["ref_corrected_formation_energy_per_atom"].where(
        rows["subset"] == "wbm", rows["ref_e_above_hull"].where(rows["subset"] == "mp_elements")
    )
    return rows[["file", "subset", "formation"]].dropna()


def against(found: pd.DataFrame, target: pd.DataFrame) -> pd.DataFrame:
    """Results of a model with the published energies; each structure once."""
    keyed = found.assign(file=["/".join(Path(path).parts[-2:]) for path in found["path"]])
    return keyed.merge(target, on="file").drop_duplicates("structure_id")


def by_class(errors: pd.Series, classes: pd.Series) -> dict[str, tuple[float, int]]:
    """Mean absolute error and number of structures of all compounds, and of each class with enough of them."""
    size = errors.abs().astype(float)
    compounds = size[classes != "element"]
    found = {"all": (float(compounds.mean()), len(compounds))}
    found |= {str(name): (float(some.mean()), len(some)) for name, some in size.groupby(classes)}
    return {name: pair for name, pair in found.items() if pair[1] >= FEW}


def measured(store: mlmat.Store, target: pd.DataFrame, method_id: str) -> dict[str, dict[str, tuple[float, int]]]:
    """Errors of energies of formation of new crystals and of elements, and above the hull in known systems."""
    new, known = against(store.sql(NEW, [method_id]), target), store.sql(KNOWN, [method_id])
    formation = by_class(new[FORMATION] - new["formation"], new["class"])
    hull = by_class(known["error"], known["class"])
    hull |= {"element": formation["element"]} if "element" in formation else {}
    return {FORMATION: formation, HULL: hull, "known": by_class(known["formation"], known["class"])}


def shipped(found: dict[str, dict[str, tuple[float, int]]]) -> list[tuple[str, str, float, int, str]]:
    """Rows that ship: quantity, class, error in eV/atom, structures, source."""
    wbm = "WBM crystals, new to it, against PBE with MP2020 corrections; single points on DFT geometries"
    pure = "polymorphs of the elements against PBE (Materials Project), which it was trained on; single points"
    systems = "Li-Co-Ni-O and Cl-Mn-Na-O-Y (Materials Project, MP2020), which it was trained on; single points"
    rows = [(FORMATION, name, *pair, pure if name == "element" else wbm) for name, pair in found[FORMATION].items()]
    for name, new in found[FORMATION].items():
        here = found[HULL].get(name)
        if name == "element" or (here and here[0] >= new[0]):
            rows.append((HULL, name, *(here or new), pure if name == "element" else systems))
            continue
        less = f"; only {1e3 * here[0]:.0f} meV/atom for {here[1]} of {systems}" if here else ""
        rows.append((HULL, name, *new, f"as energies of formation: {wbm}{less}"))
    return rows


def page(models: list[dict[str, str]], errors: list[dict[str, dict[str, tuple[float, int]]]]) -> str:
    """The table in Markdown, in meV/atom with the number of structures."""

    def cell(found: dict[str, tuple[float, int]], name: str) -> str:
        return f"{1e3 * found[name][0]:.0f} ({found[name][1]})" if name in found else "–"

    kinds = ((FORMATION, "formation, new"), ("known", "formation, known systems"), (HULL, "above hull, known systems"))
    head = ["class", *(f"{model['model_name']}: {text}" for model in models for _, text in kinds)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += [
        f"| {name} | " + " | ".join(cell(found[kind], name) for found in errors for kind, _ in kinds) + " |"
        for name in CLASSES
    ]
    return "\n".join(lines)


def committee(store: mlmat.Store, target: pd.DataFrame, models: list[dict[str, str]]) -> str:
    """Whether the spread of the models tells their error: Spearman's rank correlation, on the WBM crystals."""
    found = [against(store.sql(NEW, [m["method_id"]]), target[target["subset"] == "wbm"]) for m in models]
    columns = [one.set_index("structure_id")[FORMATION] for one in found]
    both = pd.concat(columns, axis=1, join="inner")
    about = found[0].set_index("structure_id").loc[both.index]
    spread = both.max(axis=1) - both.min(axis=1)
    errors = {m["model_name"]: both.iloc[:, k] - about["formation"] for k, m in enumerate(models)}
    errors["mean of both"] = both.mean(axis=1) - about["formation"]
    head = ["class", "structures", "mean spread (meV/atom)"]
    head += [f"{name}: {text}" for name in errors for text in ("MAE", "Spearman")]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name in CLASSES:
        chosen = about["class"] == name if name != "all" else about["class"] == about["class"]
        if chosen.sum() >= FEW:
            cells = [name, chosen.sum(), f"{1e3 * spread[chosen].mean():.0f}"]
            for error in errors.values():
                size = error[chosen].abs()
                cells += [f"{1e3 * size.mean():.0f}", f"{spread[chosen].corr(size, method='spearman'):.2f}"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables, or put them where they belong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--write", type=Path, help="the page to put the tables into")
    parser.add_argument("--ship", type=Path, help="the file of the figures that ship")
    given = parser.parse_args()
    store, target = mlmat.open(given.store), published(given.manifest)
    models = store.sql(MODELS).to_dict("records")
    errors = [measured(store, target, model["method_id"]) for model in models]
    if given.ship:
        with given.ship.open("w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["model_sha256", "model", "quantity", "class", "error", "structures", "source"])
            for model, found in zip(models, errors, strict=True):
                for quantity, name, error, count, source in shipped(found):
                    about = [model["model_sha256"], model["model_name"]]
                    out.writerow([*about, quantity, name, f"{error:.3f}", count, source])
    made = {ERRORS: page(models, errors), SPREAD: committee(store, target, models)}
    text = given.write.read_text() if given.write else ""
    for start, table in made.items():
        if not given.write:
            print(table, end="\n\n")
            continue
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{table}\n{END}{rest.partition(END)[2]}"
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
