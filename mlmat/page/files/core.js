// Data, small helpers, what is chosen. Every text of the data goes into the page through textContent.
const data = JSON.parse(document.getElementById('data').textContent);
const size = data.size;
// Columns with many equal values come as the different ones and their numbers.
function unpacked(column) {
  if (Array.isArray(column)) return column;
  return column.rows === null ? new Array(size).fill(column.values[0]) : column.rows.map((k) => column.values[k]);
}
const rows = Object.fromEntries(Object.entries(data.rows).map(([name, column]) => [name, unpacked(column)]));
const methods = data.methods.method_id.map((id, i) => ({
  id, name: data.methods.method[i], ok: data.methods.ok[i], failed: data.methods.failed[i],
  unconverged: data.methods.unconverged[i], seconds: data.methods.seconds[i], runner: data.methods.runner[i],
  version: data.methods.runner_version[i], model: data.methods.model_name[i], sha: data.methods.model_sha256[i],
  dtype: data.methods.dtype[i], settings: data.methods.settings[i],
}));
// Of each method: energy scheme, expected error of energies above hull (eV/atom, all compounds), results set aside.
const worth_of = new Map(data.worth.method_id.map((id, k) => [id, {
  scheme: data.worth.scheme[k], error: data.worth.error[k], suspect: data.worth.suspect[k], excluded: data.worth.excluded[k],
}]));
const method_of = new Map(methods.map((method) => [method.id, method]));
// What counts as stable, in eV/atom: below it there is rounding only.
const ON_HULL = 1e-6;
const state = {method: null, row: null, listeners: []};

const at = (id) => document.getElementById(id);

function element(tag, text, name, children) {
  const made = document.createElement(tag);
  if (text !== null && text !== undefined) made.textContent = text;
  if (name) made.className = name;
  if (children) made.append(...children);
  return made;
}

function option(value, text) {
  const made = element('option', text);
  made.value = value;
  return made;
}

function fill(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => option(value, text)));
  if (chosen !== undefined && pairs.some(([value]) => value === chosen)) select.value = chosen;
}

const DIGITS = '₀₁₂₃₄₅₆₇₈₉';
const subscripts = (formula) => (formula ?? '').replace(/[0-9]/g, (digit) => DIGITS[digit]);
const formula = (i) => subscripts(rows.formula[i]);
// P6_3/mmc as P6₃/mmc, R-3m as R3̅m.
const group = (i) => (rows.space_group[i] ?? '').replace(/_([0-9])/g, (_, digit) => DIGITS[digit]).replace(/-([0-9])/g, '$1\u0305');

function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? (0).toFixed(digits) : text).replace('-', '−');
}

const count = (value) => (value ?? 0).toLocaleString('en-US');
const many = (value, what) => `${count(value)} ${what}${value === 1 ? '' : 's'}`;

function duration(seconds) {
  if (!seconds) return '–';
  if (seconds < 0.1) return `${(1000 * seconds).toPrecision(2)} ms`;
  if (seconds < 100) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// Rows by a text of theirs.
function grouped(indices, text) {
  const found = new Map();
  for (const i of indices) {
    const key = text(i);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(i);
  }
  return found;
}

const by_method = grouped(Array.from({length: size}, (_, i) => i), (i) => rows.method_id[i]);
const of_method = (id) => by_method.get(id) ?? [];
const stable = (i) => rows.e_above_hull[i] !== null && rows.e_above_hull[i] <= ON_HULL;
const compound = (i) => rows.elements[i].length > 1;
const per_atom = (error) => (error === null || error === undefined ? 'unknown' : `${number(1000 * error, 0)} meV/atom`);
const has = (name, indices) => indices.some((i) => rows[name][i] !== null);

function fraction(i, symbol) {
  const position = rows.elements[i].indexOf(symbol);
  return position < 0 ? 0 : rows.fractions[i][position];
}

function label(i) {
  const above = rows.e_above_hull[i];
  const name = rows.external_id[i] ?? rows.structure_id[i]?.slice(0, 8) ?? '';
  return {formula: formula(i), group: group(i) && ` · ${group(i)}`, name, above};
}

function choose(i) {
  state.row = i;
  for (const listener of state.listeners) listener(i);
}

function facts(target, pairs) {
  const lines = [];
  for (const [term, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    const dd = element('dd');
    dd.append(value);
    lines.push(element('dt', term), dd);
  }
  target.replaceChildren(...lines);
  return target;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function mix(a, b, share) {
  const parts = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  const [x, y] = [parts(a), parts(b)];
  return `rgb(${x.map((value, k) => Math.round(value + (y[k] - value) * share)).join(',')})`;
}

// Colour of an energy above the hull: blue on it, then amber to red up to 0.2 eV/atom.
const TOP = 0.2;
function shade(above) {
  if (above === null) return color('faint');
  if (above <= ON_HULL) return color('stable');
  const share = Math.min(1, above / TOP);
  return share < 0.5 ? mix(color('low'), color('mid'), 2 * share) : mix(color('mid'), color('high'), 2 * share - 1);
}
