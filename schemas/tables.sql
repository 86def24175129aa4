-- The whole schema as it is now. A test holds that this file equals all migrations applied in order.

CREATE TABLE mlmat_schema (
    version INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT current_timestamp
);

COMMENT ON COLUMN mlmat_schema.version IS 'Number of the migration file';
COMMENT ON COLUMN mlmat_schema.name IS 'Name of the migration file';
COMMENT ON COLUMN mlmat_schema.applied_at IS 'When it was applied';

CREATE TABLE run (
    run_id UUID NOT NULL,
    command VARCHAR NOT NULL,
    arguments VARCHAR NOT NULL,
    method_id VARCHAR,
    parsl_config VARCHAR,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    outcome VARCHAR,
    user_name VARCHAR,
    host VARCHAR,
    pid INTEGER,
    directory VARCHAR,
    mlmat_version VARCHAR,
    python_version VARCHAR,
    platform VARCHAR,
    versions MAP(VARCHAR, VARCHAR),
    schema_version INTEGER DEFAULT 4
);
COMMENT ON TABLE run IS 'One call of a command that wrote: ingest, screen, import-results, correct, exclude, include, forget, sql --write; or one ase.db connection that did';
COMMENT ON COLUMN run.run_id IS 'Identity, UUIDv7: sorts by time';
COMMENT ON COLUMN run.command IS 'ingest, screen, import-results, correct, exclude, include, forget, sql (--write) or asedb';
COMMENT ON COLUMN run.arguments IS 'The command line as given, or the statement of sql --write';
COMMENT ON COLUMN run.method_id IS 'Method of a screen or an import';
COMMENT ON COLUMN run.parsl_config IS 'Name of the parsl configuration, and its text when it is a file';
COMMENT ON COLUMN run.started_at IS 'Start';
COMMENT ON COLUMN run.ended_at IS 'End; NULL while it runs or when it was killed';
COMMENT ON COLUMN run.outcome IS 'finished, stopped (by the user) or failed; NULL while it runs or when it was killed';
COMMENT ON COLUMN run.user_name IS 'Login name';
COMMENT ON COLUMN run.host IS 'Host of the driver';
COMMENT ON COLUMN run.pid IS 'Process of the driver';
COMMENT ON COLUMN run.directory IS 'Working directory';
COMMENT ON COLUMN run.mlmat_version IS 'Version of mlmat';
COMMENT ON COLUMN run.python_version IS 'Version of Python';
COMMENT ON COLUMN run.platform IS 'Operating system and machine';
COMMENT ON COLUMN run.versions IS 'Versions of the packages that make the numbers';
COMMENT ON COLUMN run.schema_version IS 'Schema of the version that began it; NULL before 4';

CREATE TABLE method (
    method_id VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    runner VARCHAR NOT NULL,
    runner_version VARCHAR NOT NULL,
    settings MAP(VARCHAR, VARCHAR) NOT NULL,
    model_name VARCHAR,
    model_sha256 VARCHAR,
    dtype VARCHAR,
    created_at TIMESTAMPTZ NOT NULL DEFAULT current_timestamp,
    scheme VARCHAR,
    functional VARCHAR,
    hubbard_u VARCHAR,
    corrections VARCHAR,
    dispersion VARCHAR,
    trained_on VARCHAR,
    derived_from VARCHAR
);
COMMENT ON TABLE method IS 'A runner with its version, settings and weights: what makes two results comparable';
COMMENT ON COLUMN method.method_id IS 'Hash of runner, version, settings, model_sha256 and dtype';
COMMENT ON COLUMN method.method IS 'The same for people, for instance mace/untrained relax=cell';
COMMENT ON COLUMN method.runner IS 'Name of the runner; its typed columns are in result_RUNNER, joined in the view RUNNER';
COMMENT ON COLUMN method.runner_version IS 'Version that the runner declares, else the SHA-256 of its source';
COMMENT ON COLUMN method.settings IS 'Settings that define the numbers';
COMMENT ON COLUMN method.model_name IS 'Name of the model; two files of one name are two methods';
COMMENT ON COLUMN method.model_sha256 IS 'SHA-256 of the weights';
COMMENT ON COLUMN method.dtype IS 'Floating-point type of the computation';
COMMENT ON COLUMN method.created_at IS 'First use in this store';
COMMENT ON COLUMN method.scheme IS 'Energy scheme: what makes energies comparable (functional, +U, corrections); NULL: not known';
COMMENT ON COLUMN method.functional IS 'Functional of the scheme; of a model, of the data it learned';
COMMENT ON COLUMN method.hubbard_u IS 'U values and pseudopotentials of the scheme, or the data set that settles them';
COMMENT ON COLUMN method.corrections IS 'Corrections that the energies hold; none: raw energies; NULL: not known';
COMMENT ON COLUMN method.dispersion IS 'Dispersion correction that the energies hold; none: without one; NULL: not known';
COMMENT ON COLUMN method.trained_on IS 'Data or teacher that a model learned from: methods that share it are no independent witnesses';
COMMENT ON COLUMN method.derived_from IS 'Method whose results this one corrects (mlmat correct); NULL where it has results of its own';

CREATE TABLE source (
    source_id UUID NOT NULL,
    path VARCHAR NOT NULL,
    member VARCHAR,
    block VARCHAR,
    block_index INTEGER NOT NULL,
    outcome VARCHAR NOT NULL,
    reason VARCHAR,
    warnings VARCHAR[] NOT NULL,
    structure_id VARCHAR,
    chemical_formula VARCHAR,
    declared_formula VARCHAR,
    parser VARCHAR NOT NULL,
    file_sha256 VARCHAR NOT NULL,
    file_size BIGINT NOT NULL,
    file_mtime_ns BIGINT NOT NULL,
    block_sha256 VARCHAR,
    content VARCHAR USING COMPRESSION zstd,
    current BOOLEAN NOT NULL,
    run_id UUID NOT NULL,
    ingested_at TIMESTAMPTZ NOT NULL,
    key_values MAP(VARCHAR, VARCHAR)
);
COMMENT ON TABLE source IS 'The ledger: one block of one file, what became of it, and why';
COMMENT ON COLUMN source.source_id IS 'Identity, UUIDv7: sorts by time';
COMMENT ON COLUMN source.path IS 'Absolute path of the file; - for standard input';
COMMENT ON COLUMN source.member IS 'Member, when the file is an archive, a database or a table (the row); NULL for the archive as a whole';
COMMENT ON COLUMN source.block IS 'Name of the data block';
COMMENT ON COLUMN source.block_index IS 'Position of the block in the file, from 0';
COMMENT ON COLUMN source.outcome IS 'stored, duplicate, disordered, flagged, rejected or unreadable';
COMMENT ON COLUMN source.reason IS 'Why, when it is not stored';
COMMENT ON COLUMN source.warnings IS 'What the reader noticed and accepted';
COMMENT ON COLUMN source.structure_id IS 'The structure it became, or duplicates';
COMMENT ON COLUMN source.chemical_formula IS 'Formula of the sites in the cell; fractional amounts when disordered';
COMMENT ON COLUMN source.declared_formula IS 'Formula that the file declares';
COMMENT ON COLUMN source.parser IS 'Reader with its version; for a row of a table, the column that was read, too';
COMMENT ON COLUMN source.file_sha256 IS 'SHA-256 of the file, or of the member of an archive; empty when it could not be read';
COMMENT ON COLUMN source.file_size IS 'Size of the file in bytes, also for its members';
COMMENT ON COLUMN source.file_mtime_ns IS 'Modification time of the file in ns since 1970; below 0 while an archive has not been read to its end';
COMMENT ON COLUMN source.block_sha256 IS 'SHA-256 of the text of the block';
COMMENT ON COLUMN source.content IS 'Text of the block, so that a later version can read it again';
COMMENT ON COLUMN source.current IS 'False once the file has changed and was ingested again';
COMMENT ON COLUMN source.run_id IS 'The ingest that wrote this row';
COMMENT ON COLUMN source.ingested_at IS 'When';
COMMENT ON COLUMN source.key_values IS 'Key-value pairs of the file for this structure, as text; NULL where there are none. As a number: TRY_CAST(key_values[''gap''] AS DOUBLE)';

-- Numbers of the rows of the ase.db face.
CREATE SEQUENCE ase_id;

CREATE TABLE structure (
    structure_id VARCHAR NOT NULL,
    chemical_formula_reduced VARCHAR NOT NULL,
    chemical_formula_anonymous VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL,
    elements VARCHAR[] NOT NULL,
    elements_ratios DOUBLE[] NOT NULL,
    nelements INTEGER NOT NULL,
    nsites INTEGER NOT NULL,
    space_group_it_number INTEGER,
    space_group_symbol VARCHAR,
    space_group_symprec DOUBLE,
    volume DOUBLE,
    density DOUBLE,
    lattice_vectors DOUBLE[3][3] NOT NULL,
    cartesian_site_positions DOUBLE[3][] NOT NULL,
    atomic_numbers UTINYINT[] NOT NULL,
    dimension_types UTINYINT[3] NOT NULL,
    initial_magnetic_moments DOUBLE[],
    initial_charges DOUBLE[],
    id BIGINT DEFAULT nextval('ase_id'),
    formula VARCHAR,
    charge DOUBLE,
    spin_multiplicity INTEGER,
    implausible VARCHAR
);
COMMENT ON TABLE structure IS 'One distinct ordered crystal, from a file or from a runner';
COMMENT ON COLUMN structure.structure_id IS 'Content id: equal for equal crystals in one setting, whatever atom order and orientation';
COMMENT ON COLUMN structure.chemical_formula_reduced IS 'Reduced formula, elements in alphabetical order (OPTIMADE)';
COMMENT ON COLUMN structure.chemical_formula_anonymous IS 'Reduced amounts on A, B, C, … (OPTIMADE)';
COMMENT ON COLUMN structure.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN structure.elements IS 'Elements in alphabetical order (OPTIMADE)';
COMMENT ON COLUMN structure.elements_ratios IS 'Atomic fraction of each element (OPTIMADE)';
COMMENT ON COLUMN structure.nelements IS 'Number of elements (OPTIMADE)';
COMMENT ON COLUMN structure.nsites IS 'Number of atoms in the cell (OPTIMADE)';
COMMENT ON COLUMN structure.space_group_it_number IS 'Space group by spglib at space_group_symprec; NULL above 1,000 atoms or where none is found';
COMMENT ON COLUMN structure.space_group_symbol IS 'Hermann-Mauguin symbol of that space group';
COMMENT ON COLUMN structure.space_group_symprec IS 'Tolerance of the space group in Å';
COMMENT ON COLUMN structure.volume IS 'Volume of the cell in Å³; NULL unless periodic in three directions';
COMMENT ON COLUMN structure.density IS 'Mass density in g/cm³';
COMMENT ON COLUMN structure.lattice_vectors IS 'Cell vectors in Å, one row each, shape (3, 3)';
COMMENT ON COLUMN structure.cartesian_site_positions IS 'Positions in Å, shape (nsites, 3)';
COMMENT ON COLUMN structure.atomic_numbers IS 'Atomic numbers, shape (nsites,)';
COMMENT ON COLUMN structure.dimension_types IS '1 where periodic, 0 where not, shape (3,) (OPTIMADE)';
COMMENT ON COLUMN structure.initial_magnetic_moments IS 'Initial magnetic moments in µB, shape (nsites,) or flattened (nsites, 3); NULL when all are zero';
COMMENT ON COLUMN structure.initial_charges IS 'Initial charges in e, shape (nsites,); NULL when all are zero';
COMMENT ON COLUMN structure.id IS 'Number of its row in the ase.db face';
COMMENT ON COLUMN structure.formula IS 'Reduced formula, elements in order of electronegativity, as pymatgen prints it';
COMMENT ON COLUMN structure.charge IS 'Total charge in e, where the file says one; NULL: none was said';
COMMENT ON COLUMN structure.spin_multiplicity IS 'Spin multiplicity 2S+1, where the file says one; NULL: none was said';
COMMENT ON COLUMN structure.implausible IS 'Why no real crystal looks like this (distances, volume per atom); NULL where nothing speaks against it';

CREATE TABLE result (
    result_id UUID NOT NULL,
    structure_id VARCHAR,
    external_id VARCHAR,
    method_id VARCHAR NOT NULL,
    run_id UUID,
    status VARCHAR NOT NULL,
    energy DOUBLE,
    converged BOOLEAN,
    attempt INTEGER NOT NULL,
    error_class VARCHAR,
    error_message VARCHAR,
    traceback VARCHAR,
    workdir VARCHAR,
    host VARCHAR,
    pid INTEGER,
    finished_at TIMESTAMPTZ NOT NULL,
    seconds DOUBLE,
    source_id UUID,
    correction DOUBLE,
    superseded VARCHAR,
    suspect VARCHAR
);
COMMENT ON TABLE result IS 'One attempt on one structure by one method; append-only, the view current_result tells which one counts';
COMMENT ON COLUMN result.result_id IS 'Identity, UUIDv7: sorts by time';
COMMENT ON COLUMN result.structure_id IS 'The structure; NULL for imported results without one';
COMMENT ON COLUMN result.external_id IS 'Id that an imported result came with';
COMMENT ON COLUMN result.method_id IS 'The method';
COMMENT ON COLUMN result.run_id IS 'The run';
COMMENT ON COLUMN result.status IS 'ok or failed';
COMMENT ON COLUMN result.energy IS 'Total energy of the cell in eV, with its correction, where the runner returns one';
COMMENT ON COLUMN result.converged IS 'Whether a relaxation or self-consistency converged; NULL where the question makes no sense';
COMMENT ON COLUMN result.attempt IS 'How often this structure had been handed to a worker in this run, from 1';
COMMENT ON COLUMN result.error_class IS 'Class of the error';
COMMENT ON COLUMN result.error_message IS 'Message of the error';
COMMENT ON COLUMN result.traceback IS 'Where it happened';
COMMENT ON COLUMN result.workdir IS 'Scratch directory, kept when the structure failed';
COMMENT ON COLUMN result.host IS 'Host of the worker';
COMMENT ON COLUMN result.pid IS 'Process of the worker';
COMMENT ON COLUMN result.finished_at IS 'When it was finished';
COMMENT ON COLUMN result.seconds IS 'Wall time in s; in a batch, its share of the batch';
COMMENT ON COLUMN result.source_id IS 'Block of the file that an imported result came with; NULL for those of runners';
COMMENT ON COLUMN result.correction IS 'Part of energy that is a correction, in eV per cell; NULL where there is none';
COMMENT ON COLUMN result.superseded IS 'Why this result counts no more, whatever came after it; NULL where it may count';
COMMENT ON COLUMN result.suspect IS 'Why its numbers are not believed: it competes in no hull and no ranking; NULL where nothing speaks against it';

CREATE TABLE produced (
    structure_id VARCHAR NOT NULL,
    parent_id VARCHAR NOT NULL,
    result_id UUID NOT NULL,
    method_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    steps INTEGER,
    rmsd DOUBLE
);
COMMENT ON TABLE produced IS 'Structures that a runner returned; not pending unless asked for (screen --of METHOD)';
COMMENT ON COLUMN produced.structure_id IS 'The structure that came back';
COMMENT ON COLUMN produced.parent_id IS 'The structure that was handed in';
COMMENT ON COLUMN produced.result_id IS 'The result it belongs to';
COMMENT ON COLUMN produced.method_id IS 'The method that returned it';
COMMENT ON COLUMN produced.role IS 'Column of the runner, for instance relaxed';
COMMENT ON COLUMN produced.steps IS 'Steps of the relaxation, where the runner says them';
COMMENT ON COLUMN produced.rmsd IS 'Root mean square displacement of its atoms in Å, from fractional coordinates, the mean removed; NULL where it is not known';

CREATE TABLE ase_row (
    id BIGINT NOT NULL,
    structure_id VARCHAR,
    unique_id VARCHAR,
    ctime DOUBLE,
    mtime DOUBLE,
    user_name VARCHAR,
    numbers INTEGER[],
    positions DOUBLE[3][],
    cell DOUBLE[3][3],
    pbc INTEGER,
    initial_magmoms DOUBLE[],
    initial_charges DOUBLE[],
    masses DOUBLE[],
    tags INTEGER[],
    momenta DOUBLE[3][],
    constraints VARCHAR,
    calculator VARCHAR,
    calculator_parameters VARCHAR,
    energy DOUBLE,
    free_energy DOUBLE,
    forces DOUBLE[3][],
    stress DOUBLE[],
    dipole DOUBLE[],
    magmom DOUBLE,
    magmoms DOUBLE[],
    charges DOUBLE[],
    other_results BLOB,
    natoms INTEGER,
    fmax DOUBLE,
    smax DOUBLE,
    volume DOUBLE,
    mass DOUBLE,
    charge DOUBLE,
    key_values MAP(VARCHAR, VARCHAR),
    data BLOB,
    external_tables VARCHAR
);
COMMENT ON TABLE ase_row IS 'What was written through the ase.db face: rows of its own, and notes on structures (numbers is NULL)';
COMMENT ON COLUMN ase_row.id IS 'Number of the row; structures have numbers of the same sequence';
COMMENT ON COLUMN ase_row.structure_id IS 'The structure it became, or the one it is a note on; NULL where it is no crystal or molecule';
COMMENT ON COLUMN ase_row.unique_id IS 'Random id that ASE gives';
COMMENT ON COLUMN ase_row.ctime IS 'First written, in years of 365.25 days since 2000-01-01';
COMMENT ON COLUMN ase_row.mtime IS 'Last changed, in the same years';
COMMENT ON COLUMN ase_row.user_name IS 'Who wrote it';
COMMENT ON COLUMN ase_row.numbers IS 'Atomic numbers, shape (natoms,), in the order given; NULL for a note on a structure';
COMMENT ON COLUMN ase_row.positions IS 'Positions in Å, shape (natoms, 3)';
COMMENT ON COLUMN ase_row.cell IS 'Cell vectors in Å, one row each, shape (3, 3)';
COMMENT ON COLUMN ase_row.pbc IS 'Sum of 1, 2 and 4 for the periodic directions';
COMMENT ON COLUMN ase_row.initial_magmoms IS 'Initial magnetic moments in µB, shape (natoms,) or flattened (natoms, 3)';
COMMENT ON COLUMN ase_row.initial_charges IS 'Initial charges in e, shape (natoms,)';
COMMENT ON COLUMN ase_row.masses IS 'Masses in u, shape (natoms,); NULL for those of the elements';
COMMENT ON COLUMN ase_row.tags IS 'Tags, shape (natoms,)';
COMMENT ON COLUMN ase_row.momenta IS 'Momenta in sqrt(eV u), shape (natoms, 3)';
COMMENT ON COLUMN ase_row.constraints IS 'Constraints as JSON of ASE';
COMMENT ON COLUMN ase_row.calculator IS 'Calculator that came with the atoms';
COMMENT ON COLUMN ase_row.calculator_parameters IS 'Its parameters as JSON of ASE';
COMMENT ON COLUMN ase_row.energy IS 'Total energy of the cell in eV, as it came with the atoms';
COMMENT ON COLUMN ase_row.free_energy IS 'Free energy in eV';
COMMENT ON COLUMN ase_row.forces IS 'Forces in eV/Å, shape (natoms, 3)';
COMMENT ON COLUMN ase_row.stress IS 'Stress in eV/Å³, Voigt order xx yy zz yz xz xy, or flattened (3, 3)';
COMMENT ON COLUMN ase_row.dipole IS 'Dipole moment in e Å, shape (3,)';
COMMENT ON COLUMN ase_row.magmom IS 'Total magnetic moment in µB';
COMMENT ON COLUMN ase_row.magmoms IS 'Magnetic moments in µB, shape (natoms,) or flattened (natoms, 3)';
COMMENT ON COLUMN ase_row.charges IS 'Charges in e, shape (natoms,)';
COMMENT ON COLUMN ase_row.other_results IS 'Other results that came with the atoms, as ASE packs objects';
COMMENT ON COLUMN ase_row.natoms IS 'Number of atoms';
COMMENT ON COLUMN ase_row.fmax IS 'Largest force on an atom in eV/Å, constraints applied';
COMMENT ON COLUMN ase_row.smax IS 'Largest component of the stress in eV/Å³';
COMMENT ON COLUMN ase_row.volume IS 'Volume of the cell in Å³; NULL without a cell';
COMMENT ON COLUMN ase_row.mass IS 'Mass of the atoms in u';
COMMENT ON COLUMN ase_row.charge IS 'Sum of the initial charges in e';
COMMENT ON COLUMN ase_row.key_values IS 'Key-value pairs as text; what Python reads as a number or as True or False is one';
COMMENT ON COLUMN ase_row.data IS 'Data of the row, as ASE packs objects';
COMMENT ON COLUMN ase_row.external_tables IS 'External tables of the row as JSON of ASE';

CREATE TABLE ase_metadata (
    value VARCHAR NOT NULL
);
COMMENT ON TABLE ase_metadata IS 'Metadata of the ase.db face: one row, or none';
COMMENT ON COLUMN ase_metadata.value IS 'JSON';

CREATE TABLE entry (
    result_id UUID NOT NULL,
    elements VARCHAR[] NOT NULL,
    amounts DOUBLE[] NOT NULL,
    nsites DOUBLE NOT NULL,
    chemical_formula_reduced VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL,
    formula VARCHAR
);
COMMENT ON TABLE entry IS 'Compositions of imported results: the cell that their energy is of';
COMMENT ON COLUMN entry.result_id IS 'The result it belongs to';
COMMENT ON COLUMN entry.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN entry.amounts IS 'Atoms of each element in the cell, in the same order';
COMMENT ON COLUMN entry.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN entry.chemical_formula_reduced IS 'Reduced formula, elements in alphabetical order (OPTIMADE); as it is where amounts are no simple fractions';
COMMENT ON COLUMN entry.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN entry.formula IS 'Reduced formula, elements in order of electronegativity, as pymatgen prints it';

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
    run_id UUID NOT NULL,
    scheme VARCHAR
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
COMMENT ON COLUMN import_row.scheme IS 'Energy scheme that the row says; NULL where it says none';

CREATE TABLE hull_row (
    result_id UUID NOT NULL,
    method_id VARCHAR NOT NULL,
    chemical_system VARCHAR NOT NULL,
    e_above_hull DOUBLE,
    decomposition VARCHAR,
    products STRUCT(id VARCHAR, formula VARCHAR, amount DOUBLE)[],
    reason VARCHAR,
    e_decomposition DOUBLE,
    competitors INTEGER
);
COMMENT ON TABLE hull_row IS 'Energies above the hull as they were computed last; the view hull shows those that still hold';
COMMENT ON COLUMN hull_row.result_id IS 'The result whose phase it is';
COMMENT ON COLUMN hull_row.method_id IS 'The method of every energy of this hull';
COMMENT ON COLUMN hull_row.chemical_system IS 'Elements of the phase in alphabetical order, joined by -';
COMMENT ON COLUMN hull_row.e_above_hull IS 'Energy above the hull in eV/atom; 0 for what is stable';
COMMENT ON COLUMN hull_row.decomposition IS 'Stable phases that it decomposes into, with their fractions of the atoms';
COMMENT ON COLUMN hull_row.products IS 'The same, one each: id (external id, else structure), reduced formula, fraction of the atoms';
COMMENT ON COLUMN hull_row.reason IS 'Why there is no number';
COMMENT ON COLUMN hull_row.e_decomposition IS 'Energy in eV/atom above the hull of all phases of other compositions: below 0 for what is stable; NULL for elements';
COMMENT ON COLUMN hull_row.competitors IS 'Compounds of other compositions that the hull is made of; 0: only the elements';

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
    member_id VARCHAR NOT NULL,
    different_schemes BOOLEAN DEFAULT false
);
COMMENT ON TABLE mixture IS 'Methods that somebody asked to see in one hull (mlmat mix): a row for each';
COMMENT ON COLUMN mixture.method_id IS 'Id of the mixture, which formation_energy, hull and candidates show as a method';
COMMENT ON COLUMN mixture.method IS 'Its name';
COMMENT ON COLUMN mixture.place IS 'From 1: of a structure that several of its methods have computed, the first one counts';
COMMENT ON COLUMN mixture.member_id IS 'A method of it';
COMMENT ON COLUMN mixture.different_schemes IS 'Whether somebody insisted on mixing different energy schemes (mlmat mix --different-schemes)';

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
