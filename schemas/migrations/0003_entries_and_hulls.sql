-- Energies that come without a structure, corrections, crystals that are the same, and hulls as they were computed last.

ALTER TABLE result ADD COLUMN correction DOUBLE;
COMMENT ON COLUMN result.correction IS 'Part of energy that is a correction, in eV per cell; NULL where there is none';
COMMENT ON COLUMN result.energy IS 'Total energy of the cell in eV, with its correction, where the runner returns one';
COMMENT ON TABLE run IS 'One call of a command that wrote: ingest, screen, import-results, sql --write; or one ase.db connection that did';
COMMENT ON COLUMN run.command IS 'ingest, screen, import-results, sql (--write) or asedb';
COMMENT ON COLUMN run.method_id IS 'Method of a screen or an import';

CREATE TABLE entry (
    result_id UUID NOT NULL,
    elements VARCHAR[] NOT NULL,
    amounts DOUBLE[] NOT NULL,
    nsites DOUBLE NOT NULL,
    chemical_formula_reduced VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL
);
COMMENT ON TABLE entry IS 'Compositions of imported results: the cell that their energy is of';
COMMENT ON COLUMN entry.result_id IS 'The result it belongs to';
COMMENT ON COLUMN entry.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN entry.amounts IS 'Atoms of each element in the cell, in the same order';
COMMENT ON COLUMN entry.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN entry.chemical_formula_reduced IS 'Reduced formula, elements in alphabetical order (OPTIMADE); as it is where amounts are no simple fractions';
COMMENT ON COLUMN entry.chemical_system IS 'Elements in alphabetical order, joined by -';

CREATE TABLE import_row (
    method_id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    place VARCHAR NOT NULL,
    external_id VARCHAR,
    outcome VARCHAR NOT NULL,
    reason VARCHAR,
    warnings VARCHAR[] NOT NULL,
    chemical_formula VARCHAR,
    structure_id VARCHAR,
    result_id UUID,
    parser VARCHAR NOT NULL,
    file_sha256 VARCHAR NOT NULL,
    row_sha256 VARCHAR NOT NULL,
    current BOOLEAN NOT NULL,
    run_id UUID NOT NULL
);
COMMENT ON TABLE import_row IS 'The ledger of import-results: one row of one file, what became of it, and why';
COMMENT ON COLUMN import_row.method_id IS 'The method that its results belong to';
COMMENT ON COLUMN import_row.path IS 'Absolute path of the file';
COMMENT ON COLUMN import_row.place IS 'Place in the file: line 7, row 7 or entry 7, from 1; lines with the header counted';
COMMENT ON COLUMN import_row.external_id IS 'Id that it came with; where there is none, file and place';
COMMENT ON COLUMN import_row.outcome IS 'imported; duplicate (the file says it twice) or refused';
COMMENT ON COLUMN import_row.reason IS 'Why, when it is not imported';
COMMENT ON COLUMN import_row.warnings IS 'What was noticed and accepted';
COMMENT ON COLUMN import_row.chemical_formula IS 'Formula of the cell, elements in alphabetical order; NULL where it could not be read';
COMMENT ON COLUMN import_row.structure_id IS 'The structure that it is about, where it came with one';
COMMENT ON COLUMN import_row.result_id IS 'The result that it became';
COMMENT ON COLUMN import_row.parser IS 'What read it, with its version';
COMMENT ON COLUMN import_row.file_sha256 IS 'SHA-256 of the file';
COMMENT ON COLUMN import_row.row_sha256 IS 'SHA-256 of what the row says: another one replaces the result';
COMMENT ON COLUMN import_row.current IS 'False once another row has replaced it, or the file was imported again and has it no more';
COMMENT ON COLUMN import_row.run_id IS 'The latest import that met this row';

CREATE TABLE hull_row (
    result_id UUID NOT NULL,
    method_id VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL,
    e_above_hull DOUBLE,
    decomposition VARCHAR,
    products STRUCT(id VARCHAR, formula VARCHAR, amount DOUBLE)[],
    reason VARCHAR
);
COMMENT ON TABLE hull_row IS 'Energies above the hull as they were computed last; the view hull shows those that still hold';
COMMENT ON COLUMN hull_row.result_id IS 'The result whose phase it is';
COMMENT ON COLUMN hull_row.method_id IS 'The method of every energy of this hull';
COMMENT ON COLUMN hull_row.chemical_system IS 'Elements of the phase in alphabetical order, joined by -';
COMMENT ON COLUMN hull_row.e_above_hull IS 'Energy above the hull in eV/atom; 0 for what is stable';
COMMENT ON COLUMN hull_row.decomposition IS 'Stable phases that it decomposes into, with their fractions of the atoms';
COMMENT ON COLUMN hull_row.products IS 'The same, one each: id (external id, else structure), reduced formula, fraction of the atoms';
COMMENT ON COLUMN hull_row.reason IS 'Why there is no number';

CREATE TABLE hull_system (
    method_id VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL
);
COMMENT ON TABLE hull_system IS 'Chemical systems whose hulls were computed, and from what';
COMMENT ON COLUMN hull_system.method_id IS 'The method';
COMMENT ON COLUMN hull_system.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN hull_system.fingerprint IS 'Hash of the phases that competed: another one means that the rows hold no more';

CREATE TABLE mixture (
    method_id VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    place INTEGER NOT NULL,
    member_id VARCHAR NOT NULL
);
COMMENT ON TABLE mixture IS 'Methods that somebody asked to see in one hull (mlmat mix): a row for each';
COMMENT ON COLUMN mixture.method_id IS 'Id of the mixture, which formation_energy, hull and candidates show as a method';
COMMENT ON COLUMN mixture.method IS 'Its name';
COMMENT ON COLUMN mixture.place IS 'From 1: of a structure that several of its methods have computed, the first one counts';
COMMENT ON COLUMN mixture.member_id IS 'A method of it';

CREATE TABLE same_crystal (
    structure_id VARCHAR NOT NULL,
    crystal_id VARCHAR NOT NULL,
    tolerance VARCHAR NOT NULL
);
COMMENT ON TABLE same_crystal IS 'Structures that were compared with those of their formula, and the crystal that each is';
COMMENT ON COLUMN same_crystal.structure_id IS 'The structure';
COMMENT ON COLUMN same_crystal.crystal_id IS 'The structure that stands for the crystal: the same for all its settings, origins, supercells and orders of atoms';
COMMENT ON COLUMN same_crystal.tolerance IS 'How near they had to be: ltol (relative), stol (relative to the cube root of the volume per atom), angle_tol (degrees)';

CREATE TABLE repeated (
    method_id VARCHAR NOT NULL,
    item VARCHAR NOT NULL
);
COMMENT ON TABLE repeated IS 'What a method has several results of: only there does current_result have to compare them';
COMMENT ON COLUMN repeated.method_id IS 'The method';
COMMENT ON COLUMN repeated.item IS 'The structure, or the external id where there is none';
INSERT INTO repeated
SELECT method_id, coalesce(structure_id, external_id) AS item
FROM result
WHERE item IS NOT NULL
GROUP BY ALL
HAVING count(*) > 1;
