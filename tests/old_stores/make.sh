#!/usr/bin/env bash
# Write stores of this folder under /data with the mlmat in PATH: bash make.sh HERE ENTRIES NAME… (see README.md).
set -eux
here=$1 entries=$2
shift 2
export OMP_NUM_THREADS=1

demo() {
    mlmat ingest crystals
    mlmat ingest --references elements
    mlmat screen --runner mace
    mlmat screen --runner chgnet --where "nsites <= 2" --limit 12
    mlmat screen --runner ./pair.py --where "nsites <= 4" --limit 20
    mlmat screen --runner ./pair.py --where "list_contains(elements, 'Ga') AND nsites <= 4"
}

relaxations() {
    local relaxed="mace/mace-64x0e-chgnet float64 fmax=0.05 max_steps=500 optimizer=FIRE relax=cell"
    mlmat ingest relaxations
    mlmat screen --runner mace
    mlmat screen --runner mace --set relax=cell
    mlmat screen --runner mace --set relax=positions
    mlmat screen --runner mace --set relax=cell --set max_steps=2 --set fmax=0.001 --where "nsites = 2"
    mlmat screen --runner mace --of "$relaxed"
}

slabs() {
    mlmat ingest slabs
    mlmat screen --runner mace --time-limit 10
    mlmat screen --runner mace --set relax=positions --time-limit 10 \
        --where "path LIKE '%slab.extxyz' OR path LIKE '%wire_y%' OR path LIKE '%au.vasp'"
    mlmat screen --runner chgnet --time-limit 10 \
        --where "path LIKE '%slab.extxyz' OR path LIKE '%wire_along_y%' OR path LIKE '%au.vasp'"
    molecules
}

# Files with molecules are refused; they come in through ase.db.
molecules() {
    python -c "
import ase.io, mlmat
rows = mlmat.open('slabs.duckdb').asedb()
for name in 'water', 'ethanol':
    rows.write(ase.io.read(f'slabs/{name}.extxyz'), name=name)"
    mlmat screen --runner mace --time-limit 10
}

imports() {
    mlmat import-results imports/entries_Li-Co-Ni-O.json.gz --method MP
    mlmat import-results imports/energies.csv --method table
    mlmat ingest --references elements
    mlmat ingest crystals/{Li2O,LiCoO2,CoO,Co3O4}.cif
    mlmat screen --runner mace --where "list_has_all(['Co', 'Li', 'Ni', 'O'], elements)"
    mlmat screen --runner mace --of MP
    mlmat mix both MP mace
}

moments() {
    mlmat ingest moments
    mlmat screen --runner mace
    mlmat screen --runner mace --set relax=positions --where "nsites = 2"
}

cd /data
python "$here/inputs.py" /data "$entries"
cp -r "$here/pair.py" "$here/../../examples/crystals" .
for name in "$@"; do
    export MLMAT_DB=$name.duckdb
    "$name"
    mlmat reduce hull -o "$name.csv"
    mlmat reduce candidates -o "$name.csv"
    python "$here/contents.py" "$name.duckdb" > "$name.json"
    gzip -9n "$name.duckdb"
done
