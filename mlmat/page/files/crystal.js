// Atoms of a cell with their images on its faces, bonds, and the edges of the cell. Lengths in Å.
const SYMBOLS = ('X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb ' +
  'Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi ' +
  'Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og').split(' ');
// Covalent radii (Cordero 2008), by atomic number.
const RADII = [0.2, 0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06,
  2.03, 1.76, 1.7, 1.6, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.2, 1.19, 1.2, 1.2, 1.16, 2.2, 1.95, 1.9, 1.75,
  1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.4, 2.44, 2.15, 2.07, 2.04, 2.03, 2.01, 1.99,
  1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.9, 1.87, 1.87, 1.75, 1.7, 1.62, 1.51, 1.44, 1.41, 1.36, 1.36, 1.32, 1.45, 1.46,
  1.48, 1.4, 1.5, 1.5, 2.6, 2.21, 2.15, 2.06, 2.0, 1.96, 1.9, 1.87, 1.8, 1.69];
const MOST_ATOMS = 4000;
const MOST_BONDS = 6000;

const combine = (cell, a, b, c) => [0, 1, 2].map((k) => a * cell[0][k] + b * cell[1][k] + c * cell[2][k]);
const vectors = (flat) => [0, 1, 2].map((row) => flat.slice(3 * row, 3 * row + 3).map((value) => value / 1000));
const atom_color = (symbol) => {
  const code = window['3Dmol'].elementColors.Jmol[symbol] ?? 0x888888;
  return `#${code.toString(16).padStart(6, '0')}`;
};

function inverse(m) {
  const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const [bc, ca, ab] = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
  const volume = m[0][0] * bc[0] + m[0][1] * bc[1] + m[0][2] * bc[2];
  return Math.abs(volume) < 1e-6 ? null : [bc, ca, ab].map((side) => side.map((value) => value / volume));
}

// Every atom inside the cells that are shown, those on a face on the opposite one, too.
function images({cell: flat, positions, numbers: species, periodic}, cells) {
  const cell = vectors(flat);
  const back = periodic.every((one) => one === 1) ? inverse(cell) : null;
  const found = [];
  const edge = 0.02;
  species.forEach((z, i) => {
    const at_i = positions.slice(3 * i, 3 * i + 3).map((value) => value / 1000);
    const atom = ([x, y, height]) => ({symbol: SYMBOLS[z], radius: RADII[z] ?? 1.6, x, y, z: height});
    if (!back) return found.push(atom(at_i));
    const inside = back.map((side) => side.reduce((sum, value, k) => sum + value * at_i[k], 0)).map((f) => f - Math.floor(f + edge));
    const steps = inside.map((f) => Array.from({length: cells + (f < edge ? 1 : 0)}, (_, n) => f + n));
    for (const a of steps[0]) for (const b of steps[1]) for (const c of steps[2]) if (found.length < MOST_ATOMS) found.push(atom(combine(cell, a, b, c)));
    return null;
  });
  return found;
}

// For each atom the places of those it is bonded to: nearer than 1.13 times the sum of the radii.
function bonded(atoms) {
  const found = atoms.map(() => []);
  if (atoms.length > 800) return found;
  for (let i = 0, made = 0; i < atoms.length; i += 1) {
    for (let j = i + 1; j < atoms.length && made < MOST_BONDS; j += 1) {
      const [p, q] = [atoms[i], atoms[j]];
      const length = Math.hypot(p.x - q.x, p.y - q.y, p.z - q.z);
      if (length < 0.4 || length > 1.13 * (p.radius + q.radius)) continue;
      found[i].push(j);
      found[j].push(i);
      made += 1;
    }
  }
  return found;
}

function frame(stage_of, {cell: flat, periodic}) {
  if (!periodic.some((one) => one === 1)) return;
  const cell = vectors(flat);
  const corner = (...steps) => { const [x, y, z] = combine(cell, ...steps); return {x, y, z}; };
  const edges = stage_of.addShape({color: color('faint'), linewidth: 1.5});
  for (let axis_of = 0; axis_of < 3; axis_of += 1) {
    for (const [m, n] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      const [from, to] = [0, 1].map((end) => { const steps = [m, n]; steps.splice(axis_of, 0, end); return corner(...steps); });
      edges.addLine({start: from, end: to});
    }
  }
}
