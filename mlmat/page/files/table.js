// The ranked table: sorted by a click on a column, filtered as one types.
const LINES = 10;
const collator = new Intl.Collator('en', {numeric: true});
const sorting = {name: null, down: false, page: 0};

const COLUMNS = [
  {name: 'formula', head: 'Formula', cell: (i) => element('td', formula(i), 'formula')},
  {name: 'space_group', head: 'Space group', cell: (i) => element_or_dash(i, 'space_group', group(i))},
  {name: 'e_above_hull', head: 'Above hull', unit: 'eV/atom', numeric: true, meter: true, cell: above_cell},
  {name: 'verdict', head: 'Verdict', cell: (i) => titled(rows.verdict[i] ?? '–', 'verdict', expected_text(i))},
  {name: 'competing_phases', head: 'Competing', numeric: true, cell: competing_cell},
  {name: 'formation_energy_per_atom', head: 'Formation energy', unit: 'eV/atom', numeric: true, cell: numeric('formation_energy_per_atom')},
  {name: 'energy_above_best', head: 'Above best of formula', unit: 'eV/atom', numeric: true, cell: numeric('energy_above_best')},
  {name: 'energy_per_atom', head: 'Energy', unit: 'eV/atom', numeric: true, cell: numeric('energy_per_atom')},
  {name: 'volume_per_atom', head: 'Volume', unit: 'Å³/atom', numeric: true, cell: numeric('volume_per_atom', 2)},
  {name: 'nsites', head: 'Atoms', numeric: true, cell: numeric('nsites', 0)},
  {name: 'decomposition', head: 'Decomposes into', cell: (i) => titled(decomposition(i), stable(i) || rows.reason[i] ? 'long reason' : 'long')},
  {name: 'external_id', head: 'Id', cell: (i) => titled(rows.external_id[i] ?? rows.structure_id[i]?.slice(0, 10) ?? '')},
];

function numeric(name, digits = 3) {
  return (i) => element_or_dash(i, name, rows[name][i] === null ? '' : number(rows[name][i], digits), 'number');
}

// A value, or a dash that says on hovering why there is none.
function element_or_dash(i, name, text, style) {
  const made = element('td', text || '–', text ? style : `${style ?? ''} none`);
  if (!text) made.title = absent(i, name);
  return made;
}

const ABSENT = {
  space_group: 'no structure came with this entry', volume_per_atom: 'no structure came with this entry', density: 'no structure came with this entry',
  energy_above_best: 'ranked are structures that are read, not entries', fmax: 'this result has no forces', steps: 'not a relaxation',
};
const absent = (i, name) => rows.reason[i] ?? (rows.shown_id[i] !== null && name === 'space_group' ? 'not determined' : ABSENT[name]) ?? 'not known';

function titled(text, style = 'long', title_of = text) {
  const made = element('td', text, style);
  made.title = title_of;
  return made;
}

const expected_text = (i) => `expected error of the energy above hull: ${per_atom(rows.expected_error[i])}`;

// How many phases make the hull; on hovering, what they are.
function competing_cell(i) {
  const made = element_or_dash(i, 'competing_phases', rows.e_above_hull[i] === null ? '' : count(rows.competing_phases[i]), 'number');
  if (rows.e_above_hull[i] !== null) made.title = rows.competition[i] ?? 'an element';
  if (rows.competition[i] === 'only the elements') made.append(element('small', ' only elements'));
  return made;
}

function decomposition(i) {
  return rows.reason[i] ?? (stable(i) ? '–' : subscripts_of_list(rows.decomposition[i] ?? ''));
}

// "0.500 Li2O + 0.500 Li2O2": the fractions stay as they are.
const subscripts_of_list = (text) => text.replace(/[A-Z][A-Za-z0-9.]*/g, subscripts);

function above_cell(i) {
  const above = rows.e_above_hull[i];
  if (above === null) return element_or_dash(i, 'e_above_hull', '', 'number');
  const meter = element('span', null, stable(i) ? 'meter dot' : 'meter', [element('i')]);
  meter.firstChild.style.width = stable(i) ? '' : `${Math.max(4, Math.min(1, above / TOP) * 100)}%`;
  meter.firstChild.style.background = shade(above);
  return element('td', stable(i) ? '0' : number(above), `number${stable(i) ? ' on-hull' : ''}`, [meter]);
}

// Shares of the atoms in a formula in any order, with brackets of one level; null for other words.
function composition_of(word) {
  if (!/^([A-Z][a-z]?\d*|\(([A-Z][a-z]?\d*)+\)\d*)+$/.test(word)) return null;
  const amounts = new Map();
  for (const [, inside, times, symbol, amount] of word.matchAll(/\(([^()]*)\)(\d*)|([A-Z][a-z]?)(\d*)/g)) {
    const parts = symbol ? [[null, symbol, amount]] : [...inside.matchAll(/([A-Z][a-z]?)(\d*)/g)];
    for (const [, part, n] of parts) amounts.set(part, (amounts.get(part) ?? 0) + Number(n || 1) * (symbol ? 1 : Number(times || 1)));
  }
  const total = [...amounts.values()].reduce((sum, n) => sum + n, 0);
  return new Map([...amounts].map(([part, n]) => [part, n / total]));
}

const is_composition = (i, shares) => shares !== null && shares.size === rows.elements[i].length &&
  rows.elements[i].every((symbol, k) => Math.abs((shares.get(symbol) ?? -1) - rows.fractions[i][k]) < 1e-6);

// A system (Li-O) holds its subsystems, an element what contains it, a formula its multiples in any order; other words
// what they are a part of.
function fits(i, word) {
  const elements = rows.elements[i];
  if (/^[A-Z][a-z]?(-[A-Z][a-z]?)+$/.test(word)) {
    const allowed = word.split('-');
    return elements.every((symbol) => allowed.includes(symbol));
  }
  if (/^[A-Z][a-z]?$/.test(word) && known_elements.has(word)) return elements.includes(word);
  if (is_composition(i, composition_of(word))) return true;
  const texts = [rows.formula[i], rows.space_group[i], rows.external_id[i], rows.structure_id[i], rows.path[i]];
  return texts.some((text) => text?.toLowerCase().includes(word.toLowerCase()));
}

const known_elements = new Set(rows.elements.flat());

function chosen_rows() {
  const words = at('search').value.trim().split(/\s+/).filter(Boolean);
  const limit = at('limit').value === '' ? Infinity : Number(at('limit').value);
  const once = at('distinct').checked && !at('unique').hidden;
  return of_method(state.method).filter((i) => words.every((word) => fits(i, word)) &&
    (limit === Infinity || (rows.e_above_hull[i] !== null && rows.e_above_hull[i] <= limit + ON_HULL)) &&
    (!once || rows.candidate[i]));
}

function sorted_rows() {
  const found = chosen_rows();
  if (!sorting.name) return found;
  const values = rows[sorting.name];
  const sign = sorting.down ? -1 : 1;
  const compare = (a, b) => (typeof a === 'number' ? a - b : collator.compare(a, b));
  return found.sort((i, j) => {
    if (values[i] === null || values[j] === null) return (values[i] === null) - (values[j] === null);
    return sign * compare(values[i], values[j]) || i - j;
  });
}

function columns_here() {
  const mine = of_method(state.method);
  const hulls = has('e_above_hull', mine);
  return COLUMNS.filter(({name}) => {
    if (name === 'energy_above_best' || name === 'volume_per_atom') return !hulls && has(name, mine);
    if (name === 'decomposition') return hulls || has('reason', mine);
    return has(name, mine) || ['formula', 'energy_per_atom', 'nsites'].includes(name);
  });
}

function table_head(columns) {
  return columns.map((column) => {
    const button = element('button', column.head);
    button.type = 'button';
    button.addEventListener('click', () => sort_by(column.name));
    const made = element('th', null, column.numeric ? 'number' : '', [button]);
    if (column.unit) made.append(element('small', column.unit));
    made.dataset.column = column.name;
    if (sorting.name === column.name) made.setAttribute('aria-sort', sorting.down ? 'descending' : 'ascending');
    return made;
  });
}

function sort_by(name) {
  sorting.down = sorting.name === name ? !sorting.down : false;
  sorting.name = name;
  sorting.page = 0;
  table();
}

function table() {
  const columns = columns_here();
  const found = sorted_rows();
  const pages = Math.max(1, Math.ceil(found.length / LINES));
  sorting.page = Math.min(sorting.page, pages - 1);
  const start = sorting.page * LINES;
  const [head, body] = [at('table').tHead, at('table').tBodies[0]];
  head.replaceChildren(element('tr', null, '', table_head(columns)));
  body.replaceChildren(...found.slice(start, start + LINES).map((i) => line(i, columns)));
  if (!found.length) body.append(element('tr', null, '', [element('td', size ? 'No result fits.' : 'No result yet.', 'empty')]));
  if (!found.length) body.rows[0].cells[0].colSpan = columns.length;
  at('ranked').textContent = summary(found);
  at('page').textContent = found.length ? `${count(start + 1)}–${count(Math.min(start + LINES, found.length))} of ${count(found.length)}` : '';
  at('previous').disabled = sorting.page === 0;
  at('next').disabled = sorting.page >= pages - 1;
}

function summary(found) {
  const cut = data.counts.results > size ? ` The report holds ${count(size)} of ${count(data.counts.results)} results of the store, the most stable first.` : '';
  const hulls = found.filter((i) => rows.e_above_hull[i] !== null);
  const on = hulls.filter(stable);
  const more = hulls.length ? `, on the hull ${many(on.filter(compound).length, 'compound')} and ${many(on.filter((i) => !compound(i)).length, 'element')}` : '';
  const scheme = `Energy scheme: ${worth_of.get(state.method)?.scheme ?? 'unknown'}.`;
  return `${many(found.length, 'result')}${more}. ${scheme}${cut}`;
}

function line(i, columns) {
  const made = element('tr', null, '', columns.map((column) => column.cell(i)));
  made.tabIndex = 0;
  made.dataset.row = i;
  made.setAttribute('aria-selected', String(state.row === i));
  made.addEventListener('click', () => choose(i));
  made.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(i); });
  return made;
}

function mark_line(i) {
  for (const one of at('table').tBodies[0].rows) one.setAttribute('aria-selected', String(Number(one.dataset.row) === i));
}

function listen_to_table() {
  const again = () => { sorting.page = 0; table(); };
  for (const id of ['search', 'limit', 'distinct']) at(id).addEventListener('input', again);
  at('previous').addEventListener('click', () => { sorting.page -= 1; table(); });
  at('next').addEventListener('click', () => { sorting.page += 1; table(); });
  state.listeners.push(mark_line);
}
