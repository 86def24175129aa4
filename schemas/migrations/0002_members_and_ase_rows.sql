-- Members of containers, and what stands beside a structure in its file.

ALTER TABLE source ADD COLUMN key_values MAP(VARCHAR, VARCHAR);
COMMENT ON COLUMN source.key_values IS 'Key-value pairs of the file for this structure, as text; NULL where there are none. As a number: TRY_CAST(key_values[''gap''] AS DOUBLE)';
COMMENT ON COLUMN source.parser IS 'Reader with its version; for a row of a table, the column that was read, too';
COMMENT ON COLUMN source.path IS 'Absolute path of the file; - for standard input';
COMMENT ON COLUMN source.member IS 'Member, when the file is an archive, a database or a table (the row); NULL for the archive as a whole';
COMMENT ON COLUMN source.file_sha256 IS 'SHA-256 of the file, or of the member of an archive; empty when it could not be read';
COMMENT ON COLUMN source.file_size IS 'Size of the file in bytes, also for its members';
COMMENT ON COLUMN source.file_mtime_ns IS 'Modification time of the file in ns since 1970; below 0 while an archive has not been read to its end';

ALTER TABLE result ADD COLUMN source_id UUID;
COMMENT ON COLUMN result.source_id IS 'Block of the file that an imported result came with; NULL for those of runners';

-- The ase.db face: a number for every structure, and what was written through it.

CREATE SEQUENCE ase_id;
ALTER TABLE structure ADD COLUMN id BIGINT DEFAULT nextval('ase_id');
COMMENT ON COLUMN structure.id IS 'Number of its row in the ase.db face';

COMMENT ON TABLE run IS 'One call of a command that wrote: ingest, screen, sql --write; or one ase.db connection that did';
COMMENT ON COLUMN run.command IS 'ingest, screen, sql (--write) or asedb';

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
