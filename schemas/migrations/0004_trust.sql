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
-- The crystals of the elements that ship with mlmat (mlmat/references/elements.cif).
INSERT INTO reference_polymorph (structure_id, element) VALUES
    ('3906fc39461a1d645578', 'Ac'), ('f13577bf5fa3857a03c1', 'Ac'), ('2562265eeb556add06d4', 'Ag'),
    ('cc21de6f4de838083261', 'Ag'), ('1e76ee99c4f7c3021fd6', 'Al'), ('4023241c07baa6f99ff4', 'Al'),
    ('3661df268b5d40f823b4', 'Ar'), ('3e9f1ddb331f2cf72d52', 'Ar'), ('36026a7d90d21eb741f0', 'As'),
    ('3fe3bee83ad46427929e', 'Au'), ('76fcfc23187c9819f332', 'Au'), ('80453c41a19070b938bc', 'Au'),
    ('1876813b15c7e4b97aa7', 'B'), ('79bb07f4f80d0198282a', 'Ba'), ('bf3b85b9401cc72659c4', 'Ba'),
    ('f7689f19b13a5ba77640', 'Ba'), ('3f4615e2280d91c4cc60', 'Be'), ('77d7c9284f1ffc23b012', 'Bi'),
    ('0459e6e2a0534620bd60', 'Br'), ('d26cc672d4d5e8cba899', 'C'), ('df02621f4dc8b4dc3773', 'C'),
    ('fcac4113a814cfa25f0f', 'C'), ('178b3306c82c17283e75', 'Ca'), ('540912f782261895444c', 'Ca'),
    ('e8c81fe4e89e9fcc05ff', 'Ca'), ('4963daf095d42a2c3c44', 'Cd'), ('eaffc20f8fbadf1ce1e7', 'Cd'),
    ('05624f113f889957a06d', 'Ce'), ('7a5572bd8a90004f4dc2', 'Ce'), ('f6a63eb2b76a452116ac', 'Cl'),
    ('523141ad232265b591f7', 'Co'), ('f60562b57b1b388866c7', 'Co'), ('55a299cbf57789b3746c', 'Cr'),
    ('cb2d4f5715a221c2b1bc', 'Cs'), ('e4e58b05016a0f356626', 'Cs'), ('1c6b61ab2a329a1cf635', 'Cu'),
    ('2ce41bd8a45498bad0c0', 'Cu'), ('b36e297dee7b9054492f', 'Cu'), ('1c286892e8baf3154330', 'Dy'),
    ('22313e8b040771bc45a3', 'Dy'), ('1fdcc82ec119b265a6e7', 'Er'), ('4c4e4f5530026b8ef720', 'Er'),
    ('9e21d0dca58e1e57b108', 'Er'), ('243d4cd0cd1f926e181c', 'Eu'), ('36b9ed06b6f70052a220', 'Eu'),
    ('bc6fe619ad668d725ee5', 'Eu'), ('4ee4a5655dd391314d7d', 'F'), ('f2d1d5594e5669263537', 'F'),
    ('91e925669d3bd8e75766', 'Fe'), ('fc52f6a5bfdaede7eecf', 'Fe'), ('00bd2e7fc6af2efed7e6', 'Ga'),
    ('39fe6c4019e5c52c0dfd', 'Ga'), ('3b2d01d93daa6efd6e6e', 'Ga'), ('937f952531081fc5098a', 'Gd'),
    ('a8ea7e3558c3aae619c2', 'Gd'), ('1e8db2de9dd737dba631', 'Ge'), ('7e2fd7ad1e37085c32e3', 'Ge'),
    ('90191259c5f5afdca621', 'Ge'), ('4bbab921e337203c9460', 'H'), ('624958aab719dced37b6', 'H'),
    ('dd53d4960c27401cbe33', 'H'), ('90c70d33815effb4ac34', 'He'), ('b525c34ecc82b984cd5c', 'He'),
    ('c4cbf081de4460c3a87c', 'He'), ('8916d6dad0c617eca2a4', 'Hf'), ('61d4ba7e3cfd0b8ffeca', 'Hg'),
    ('8e879f857ad52d72f1c2', 'Hg'), ('d97961d2d6887ef6be9e', 'Hg'), ('0918c647cdc8e775c13b', 'Ho'),
    ('40959b339badeba43d5f', 'Ho'), ('75f313ffce71620e0be3', 'Ho'), ('59c1c16d3aa7d9697135', 'I'),
    ('5f74a1bff2f2e0d52e62', 'In'), ('d1dce0e6a00964178613', 'In'), ('45a7c5dae00bf81c244e', 'Ir'),
    ('2ef49b3be7919fb39a8f', 'K'), ('f9a9015b34f98f146586', 'K'), ('fb8910efc6ead191ee4a', 'K'),
    ('054c812f8d774f444978', 'Kr'), ('38cc70a2f140451d68b1', 'Kr'), ('5a4bc8cf0f27c16f9af6', 'Kr'),
    ('a8f1cb0ebbb2dcd3171f', 'La'), ('f32209962c7e40ba09be', 'La'), ('1068f1a872f61d21e572', 'Li'),
    ('26a0ea0dfd21a2d596d6', 'Li'), ('b7c738b2409821a74f96', 'Li'), ('977b3f4a282d12e1250a', 'Lu'),
    ('ffa24d8e452f29549841', 'Lu'), ('137ba1b57c0e1d0c2f27', 'Mg'), ('7523eef1c0c381b7284e', 'Mg'),
    ('cf4082ba7af9fc8db461', 'Mg'), ('a95a4f6935930189b30a', 'Mn'), ('b0ee6d2cc66fdff252a1', 'Mo'),
    ('40118dbb8ac057da9f31', 'N'), ('a8aa7cdea538e44b4143', 'N'), ('f8b1a1381950eee95b32', 'N'),
    ('063043575ae689833a99', 'Na'), ('66d139adf82089e5b66c', 'Na'), ('7b43d8bf51bbec24447b', 'Na'),
    ('75f7e608c858a8b83e9a', 'Nb'), ('c9d98a18accffb6e1e4f', 'Nb'), ('2b39ccb293896859350b', 'Nd'),
    ('bfc8ba3dd0c148469af3', 'Nd'), ('7cb3ab80f9f1cfe5aaa1', 'Ne'), ('956146d634318f74a90d', 'Ni'),
    ('fc9add82fec388d7c931', 'Ni'), ('f031f91ca241389e96b4', 'Np'), ('2ac285e83f0299c49453', 'O'),
    ('38ac8a27ec1a79c5518b', 'O'), ('84cd90e05f690e761d35', 'O'), ('93f5b4a861d143c15f57', 'Os'),
    ('ff16ee64071ad7911f15', 'P'), ('39a5e6f615fa62f22851', 'Pa'), ('687fc45594bad26156e8', 'Pa'),
    ('e0723f271a9d463b822e', 'Pa'), ('328106d4a06df17e47b5', 'Pb'), ('3b031a74547491b4fa06', 'Pb'),
    ('3c941f34fd4ff7dc62bd', 'Pb'), ('1d04ad5b7f310d278a13', 'Pd'), ('d6e74ead04ccdd86c8c9', 'Pd'),
    ('83ab0bcfc311cdb80027', 'Pm'), ('85e21dfd2e7a347249a1', 'Pm'), ('94bca5b024a9d4639c11', 'Pm'),
    ('85898a7be064563a5b3c', 'Pr'), ('8c8edfa3fc0dd97262d1', 'Pr'), ('e9b7ae66903cdfdcc614', 'Pr'),
    ('071cb960bd6c5ee0c4ec', 'Pt'), ('eee95299ac5f57d05521', 'Pu'), ('033fd44a515aa47f00b4', 'Rb'),
    ('639d8a9a8a4cd2ef531f', 'Rb'), ('6ed2d438fd7c4992dc13', 'Rb'), ('994e2b494b5057ce285d', 'Re'),
    ('c71b9110a0de796c5689', 'Re'), ('45d090af7f1d0577d221', 'Rh'), ('ceca1e59d496c70dfff6', 'Ru'),
    ('0543aa599eea461c4e47', 'S'), ('c762a66c2fcebf4acf29', 'Sb'), ('a418dd72b5cccc77620d', 'Sc'),
    ('5abbf5f0c938cdb105f8', 'Se'), ('d362f20662e7cd7919f5', 'Se'), ('e8e907776a2cccd8235a', 'Se'),
    ('438e514b8d4177cd5d40', 'Si'), ('87922e6b580f856bd094', 'Si'), ('376d2aab7129f8425f50', 'Sm'),
    ('4fa6060d23cb9ed995e3', 'Sm'), ('5ab8ca32916a1a3ebd7f', 'Sn'), ('072f1d858829884f67a6', 'Sr'),
    ('3c1bbd8234098e639bcd', 'Sr'), ('e7eb0e4eff68da00d76b', 'Sr'), ('3ae19f08eef8dde175cd', 'Ta'),
    ('9bf50c1f994ce0d27259', 'Ta'), ('75ec92627a88e89e9297', 'Tb'), ('c08c68a3841f7ee8d28d', 'Tb'),
    ('a32cdcc2d08d6b638007', 'Tc'), ('d13e5288feefdec2450e', 'Tc'), ('2c1f0fde398a68671ea9', 'Te'),
    ('84fc8b3002d7fdce7658', 'Te'), ('4eea66ddc16462ab8ff9', 'Th'), ('63b90f8b6ef9ed765c9e', 'Ti'),
    ('f6f4d4095ac70790c1b0', 'Ti'), ('483cbaab3e9f48c5c5ae', 'Tl'), ('c3dac778882005334315', 'Tl'),
    ('debb19e98c2ce2519991', 'Tl'), ('791e3e06afcbdd445076', 'Tm'), ('ebacefaca51a94868761', 'Tm'),
    ('fee4cce2e07b4a548d11', 'Tm'), ('425aecae46f1ba5f262f', 'U'), ('3d60855c297c03b5443a', 'V'),
    ('32ffcde73e22a4e7ac48', 'W'), ('4e971a993ee4bd630712', 'Xe'), ('8b226e798d89e19db0b2', 'Xe'),
    ('a21b200352e8d61feb2b', 'Xe'), ('49f41d6e28d723a364c5', 'Y'), ('9228b8f1240265be08d5', 'Y'),
    ('a4f448fabb6e51230b42', 'Y'), ('c72e4dbd871c776f7f3f', 'Zn'), ('d03e26ba6cdece577d2c', 'Zn'),
    ('f44e71f602300744ca6a', 'Zn'), ('0e21a9bedb2c896c8eff', 'Zr');

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
-- somebody derived from mlmat's own is known by the columns that it inherits. As mlmat/store/schema/superseded.py.
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
