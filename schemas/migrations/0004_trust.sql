-- What a number is worth: energy schemes, expected errors, what is suspect, excluded, superseded or corrected.

ALTER TABLE structure ADD COLUMN formula VARCHAR;
ALTER TABLE structure ADD COLUMN charge DOUBLE;
ALTER TABLE structure ADD COLUMN spin_multiplicity INTEGER;
ALTER TABLE structure ADD COLUMN implausible VARCHAR;
COMMENT ON COLUMN structure.formula IS 'Reduced formula, elements in order of electronegativity, as pymatgen prints it';
COMMENT ON COLUMN structure.charge IS 'Total charge in e, where the file says one; NULL: none was said';
COMMENT ON COLUMN structure.spin_multiplicity IS 'Spin multiplicity 2S+1, where the file says one; NULL: none was said';
COMMENT ON COLUMN structure.implausible IS 'Why no real crystal looks like this (distances, volume per atom); NULL where nothing speaks against it';

ALTER TABLE method ADD COLUMN scheme VARCHAR;
ALTER TABLE method ADD COLUMN functional VARCHAR;
ALTER TABLE method ADD COLUMN hubbard_u VARCHAR;
ALTER TABLE method ADD COLUMN corrections VARCHAR;
ALTER TABLE method ADD COLUMN dispersion VARCHAR;
ALTER TABLE method ADD COLUMN trained_on VARCHAR;
ALTER TABLE method ADD COLUMN derived_from VARCHAR;
COMMENT ON COLUMN method.scheme IS 'Energy scheme: what makes energies comparable (functional, +U, corrections); NULL: not known';
COMMENT ON COLUMN method.functional IS 'Functional of the scheme; of a model, of the data it learned';
COMMENT ON COLUMN method.hubbard_u IS 'U values and pseudopotentials of the scheme, or the data set that settles them';
COMMENT ON COLUMN method.corrections IS 'Corrections that the energies hold; none: raw energies; NULL: not known';
COMMENT ON COLUMN method.dispersion IS 'Dispersion correction that the energies hold; none: without one; NULL: not known';
COMMENT ON COLUMN method.trained_on IS 'Data or teacher that a model learned from: methods that share it are no independent witnesses';
COMMENT ON COLUMN method.derived_from IS 'Method whose results this one corrects (mlmat correct); NULL where it has results of its own';

ALTER TABLE result ADD COLUMN superseded VARCHAR;
ALTER TABLE result ADD COLUMN suspect VARCHAR;
COMMENT ON COLUMN result.superseded IS 'Why this result counts no more, whatever came after it; NULL where it may count';
COMMENT ON COLUMN result.suspect IS 'Why its numbers are not believed: it competes in no hull and no ranking; NULL where nothing speaks against it';

ALTER TABLE produced ADD COLUMN steps INTEGER;
ALTER TABLE produced ADD COLUMN rmsd DOUBLE;
COMMENT ON COLUMN produced.steps IS 'Steps of the relaxation, where the runner says them';
COMMENT ON COLUMN produced.rmsd IS 'Root mean square displacement of its atoms in Å, from fractional coordinates, the mean removed; NULL where it is not known';

ALTER TABLE entry ADD COLUMN formula VARCHAR;
COMMENT ON COLUMN entry.formula IS 'Reduced formula, elements in order of electronegativity, as pymatgen prints it';

ALTER TABLE import_row ADD COLUMN scheme VARCHAR;
COMMENT ON COLUMN import_row.scheme IS 'Energy scheme that the row says; NULL where it says none';

ALTER TABLE hull_row ADD COLUMN e_decomposition DOUBLE;
ALTER TABLE hull_row ADD COLUMN competitors INTEGER;
-- Computed again when they are read next: their formulas are written in another order now.
DELETE FROM hull_row;
DELETE FROM hull_system;
COMMENT ON COLUMN hull_row.e_decomposition IS 'Energy in eV/atom above the hull of all phases of other compositions: below 0 for what is stable; NULL for elements';
COMMENT ON COLUMN hull_row.competitors IS 'Compounds of other compositions that the hull is made of; 0: only the elements';

ALTER TABLE mixture ADD COLUMN different_schemes BOOLEAN DEFAULT false;
COMMENT ON COLUMN mixture.different_schemes IS 'Whether somebody insisted on mixing different energy schemes (mlmat mix --different-schemes)';

CREATE TABLE expected_error (
    method_id VARCHAR NOT NULL,
    quantity VARCHAR NOT NULL,
    class VARCHAR NOT NULL,
    error DOUBLE NOT NULL,
    structures INTEGER,
    source VARCHAR
);
COMMENT ON TABLE expected_error IS 'Mean absolute errors of a method against DFT of its energy scheme, as they were measured or given';
COMMENT ON COLUMN expected_error.method_id IS 'The method';
COMMENT ON COLUMN expected_error.quantity IS 'Column that the error is of: formation_energy_per_atom or e_above_hull';
COMMENT ON COLUMN expected_error.class IS 'Compounds that it was measured on: all, or a class of them, such as oxide, intermetallic, f-element';
COMMENT ON COLUMN expected_error.error IS 'Mean absolute error in eV/atom';
COMMENT ON COLUMN expected_error.structures IS 'Structures that it was measured on; NULL where the user gave it';
COMMENT ON COLUMN expected_error.source IS 'Against what, and who says so';

CREATE TABLE unfit_element (
    method_id VARCHAR NOT NULL,
    element VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);
COMMENT ON TABLE unfit_element IS 'Elements that a method cannot do: its results with them are suspect';
COMMENT ON COLUMN unfit_element.method_id IS 'The method';
COMMENT ON COLUMN unfit_element.element IS 'Symbol of the element';
COMMENT ON COLUMN unfit_element.reason IS 'What is wrong with it';

CREATE TABLE reference_polymorph (
    structure_id VARCHAR NOT NULL,
    element VARCHAR NOT NULL
);
COMMENT ON TABLE reference_polymorph IS 'Crystals of the elements that ship with mlmat: what a reference is checked against';
COMMENT ON COLUMN reference_polymorph.structure_id IS 'The structure';
COMMENT ON COLUMN reference_polymorph.element IS 'Symbol of the element';

CREATE TABLE corrected (
    method_id VARCHAR NOT NULL,
    result_id UUID NOT NULL,
    correction DOUBLE,
    reason VARCHAR
);
COMMENT ON TABLE corrected IS 'Results of derived methods: what is added to a raw result (mlmat correct)';
COMMENT ON COLUMN corrected.method_id IS 'The derived method';
COMMENT ON COLUMN corrected.result_id IS 'The raw result';
COMMENT ON COLUMN corrected.correction IS 'Energy that is added, in eV per cell; NULL where it cannot be corrected';
COMMENT ON COLUMN corrected.reason IS 'Why it cannot be corrected';

CREATE TABLE exclusion (
    exclusion_id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    item VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    user_name VARCHAR,
    host VARCHAR,
    excluded_at TIMESTAMPTZ NOT NULL,
    included_at TIMESTAMPTZ,
    included_by VARCHAR
);
COMMENT ON TABLE exclusion IS 'Structures, results and sources that somebody took out of hulls, rankings, reports and exports (mlmat exclude)';
COMMENT ON COLUMN exclusion.exclusion_id IS 'Identity, UUIDv7: sorts by time';
COMMENT ON COLUMN exclusion.kind IS 'structure, result or source';
COMMENT ON COLUMN exclusion.item IS 'Id of the structure or result; of sources the file, folder, member (ARCHIVE!MEMBER) or pattern, or the id of a block';
COMMENT ON COLUMN exclusion.why IS 'Why, as it was given';
COMMENT ON COLUMN exclusion.user_name IS 'Login name of who excluded it';
COMMENT ON COLUMN exclusion.host IS 'Host that it was done on';
COMMENT ON COLUMN exclusion.excluded_at IS 'When';
COMMENT ON COLUMN exclusion.included_at IS 'When it was included again; NULL while it is excluded';
COMMENT ON COLUMN exclusion.included_by IS 'Login name of who included it again';

CREATE TABLE exclusion_reach (
    structure_id VARCHAR,
    result_id UUID,
    exclusion_id UUID NOT NULL
);
COMMENT ON TABLE exclusion_reach IS 'Structures and results that count nowhere because of exclusions, as the view exclusions finds them: every writer keeps it so';
COMMENT ON COLUMN exclusion_reach.structure_id IS 'The structure, of which no result counts; NULL where it is one result';
COMMENT ON COLUMN exclusion_reach.result_id IS 'The result; NULL where it is a structure with all its results';
COMMENT ON COLUMN exclusion_reach.exclusion_id IS 'The latest exclusion that reaches it';

COMMENT ON TABLE run IS 'One call of a command that wrote: ingest, screen, import-results, correct, exclude, include, forget, sql --write; or one ase.db connection that did';
COMMENT ON COLUMN run.command IS 'ingest, screen, import-results, correct, exclude, include, forget, sql (--write) or asedb';

-- Runs that this version did not begin keep NULL: what a driver of an older version leaves may come later.
ALTER TABLE run ADD COLUMN schema_version INTEGER DEFAULT 4;
UPDATE run SET schema_version = NULL;
COMMENT ON COLUMN run.schema_version IS 'Schema of the version that began it; NULL before 4';

-- The box around directions without periodicity was laid along Cartesian axes: energies of wires, sheets and slabs could
-- be wrong, and could not be computed in some orientations. They are computed again; everything else stays. A runner that
-- somebody derived from mlmat's own is known by the columns that it inherits. As mlmat/store/_superseded.py.
UPDATE result SET superseded = 'partly periodic: computed with neighbours that depended on the orientation of the cell'
WHERE method_id IN (
        SELECT method_id FROM method
        WHERE runner IN ('mace', 'chgnet') OR 'result_' || runner IN (
            SELECT table_name FROM duckdb_columns()
            WHERE column_name = 'stress' AND comment LIKE 'eV/Å³, Voigt order xx yy zz yz xz xy, negative under compression;%'
        )
    )
    AND structure_id IN (
        SELECT structure_id FROM structure WHERE list_sum(dimension_types::INTEGER[]) IN (1, 2)
    );
