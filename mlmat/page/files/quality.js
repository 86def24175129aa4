// Parity of two methods; distributions of forces and steps; failures.
const QUANTITIES = [
  ['e_above_hull', 'energy above hull', 'eV/atom'], ['formation_energy_per_atom', 'formation energy', 'eV/atom'],
  ['energy_per_atom', 'energy', 'eV/atom'], ['volume_per_atom', 'volume', 'Å³/atom'],
];

// Results of two methods on one structure, or under one external id.
function pairs_of(first, second, quantity) {
  const firsts = keyed(first);
  const pairs = [...keyed(second)].filter(([key]) => firsts.has(key)).map(([key, j]) => [firsts.get(key), j]);
  return pairs.filter((pair) => pair.every((i) => rows[quantity][i] !== null));
}

// Results of a method by what they are about; of several about one thing the first.
const keys = new Map();
function keyed(id) {
  if (!keys.has(id)) {
    const usable = [...of_method(id)].reverse().filter((i) => rows.competes[i] && key_of(i) !== null);
    keys.set(id, new Map(usable.map((i) => [key_of(i), i])));
  }
  return keys.get(id);
}
const key_of = (i) => rows.structure_id[i] ?? rows.external_id[i];

function comparable() {
  const found = [];
  const computed = methods.filter(({runner}) => runner !== 'mixture').slice(0, 12);
  for (const a of computed) {
    for (const b of computed) {
      const shared = a === b ? 0 : pairs_of(a.id, b.id, 'energy_per_atom').length;
      if (shared > 1) found.push([a, b, shared]);
    }
  }
  return found.sort((p, q) => q[2] - p[2]);
}

let couples = [];

function start_agreement() {
  couples = comparable();
  at('agreement').hidden = !couples.length;
  if (!couples.length) return;
  const firsts = [...new Set(couples.map(([a]) => a))];
  fill(at('first'), firsts.map((method) => [method.id, method.name]));
  second_list();
  for (const id of ['first', 'second', 'quantity']) {
    at(id).addEventListener('input', () => { if (id === 'first') second_list(); if (id !== 'quantity') quantity_list(); agreement(); });
  }
  quantity_list();
}

function second_list() {
  const others = couples.filter(([a]) => a.id === at('first').value).map(([, b]) => [b.id, b.name]);
  fill(at('second'), others, at('second').value);
}

function quantity_list() {
  const usable = QUANTITIES.filter(([name]) => pairs_of(at('first').value, at('second').value, name).length > 1);
  const before = at('quantity').value || 'formation_energy_per_atom';
  fill(at('quantity'), usable.map(([name, text]) => [name, text]), before);
}

function agreement() {
  if (!couples.length) return;
  const quantity = at('quantity').value;
  const [, name, unit] = QUANTITIES.find(([key]) => key === quantity);
  const pairs = pairs_of(at('first').value, at('second').value, quantity);
  const [x, y] = [0, 1].map((side) => pairs.map((pair) => rows[quantity][pair[side]]));
  const ends = [Math.min(...x, ...y), Math.max(...x, ...y)];
  const room = 0.05 * (ends[1] - ends[0] || 1);
  const range = [ends[0] - room, ends[1] + room];
  const diagonal = {type: 'scatter', mode: 'lines', x: range, y: range, hoverinfo: 'skip', line: {color: color('faint'), width: 1.4}};
  const dots = points(pairs.map(([, j]) => j), (j) => j, (j) => j, {x, y});
  dots.marker = {size: 8, color: color('stable'), opacity: 0.75, line: {width: 1, color: color('card')}};
  dots.hovertext = pairs.map(([i], k) => `<b>${plain(formula(i))}</b>${plain(label(i).group)}<br>x ${number(x[k])}<br>y ${number(y[k])} ${unit}`);
  const half = (text, side) => axis(`${name}, ${text} (${unit})`, {range, dtick: step_of(range), constrain: 'domain', ...(side === 'y' ? {scaleanchor: 'x'} : {})});
  draw('parity', [diagonal, dots], {xaxis: half('x', 'x'), yaxis: half('y', 'y')}, true);
  errors(x, y, unit);
}

// A round step that makes about five.
function step_of([low, high]) {
  const rough = (high - low) / 5;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((k) => k * ten).find((step) => step >= rough);
}

function errors(x, y, unit) {
  const apart = x.map((value, k) => y[k] - value);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const value = (text, small) => element('span', text, '', [element('small', ` ${small}`)]);
  facts(at('agree'), [
    ['structures', value(count(x.length), '')],
    ['mean absolute difference', value(...in_thousandths(mean(apart.map(Math.abs)), unit))],
    ['root mean square', value(...in_thousandths(Math.sqrt(mean(apart.map((d) => d * d))), unit))],
    ['mean of y − x', value(...in_thousandths(mean(apart), unit))],
    ['Spearman', value(number(pearson(ranks(x), ranks(y)), 3), '')],
  ]);
}

// Three digits of an energy in meV, however small; of other quantities as they are.
function in_thousandths(value, unit) {
  const [scale, name] = unit.startsWith('eV') ? [1000, `m${unit}`] : [1, unit];
  return [Number((scale * value).toPrecision(3)).toString().replace('-', '−'), name];
}

function ranks(values) {
  const order = values.map((_, k) => k).sort((i, j) => values[i] - values[j]);
  const found = new Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end += 1;
    for (let k = start; k <= end; k += 1) found[order[k]] = (start + end) / 2;
    start = end + 1;
  }
  return found;
}

function pearson(x, y) {
  const [mx, my] = [x, y].map((values) => values.reduce((sum, value) => sum + value, 0) / values.length);
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((value, k) => { xy += (value - mx) * (y[k] - my); xx += (value - mx) ** 2; yy += (y[k] - my) ** 2; });
  return xx && yy ? xy / Math.sqrt(xx * yy) : null;
}

function histogram(id, values, log, title) {
  at(`${id}-figure`).hidden = !values.length;
  if (!values.length) return;
  const scaled = log ? values.map((value) => Math.log10(Math.max(value, 1e-6))) : values;
  const [low, high] = [Math.min(...scaled), Math.max(...scaled)];
  const bins = high > low ? Math.min(30, Math.max(8, Math.ceil(Math.sqrt(values.length) * 1.6))) : 1;
  const width = (high - low) / bins || 1;
  const heights = new Array(bins).fill(0);
  for (const value of scaled) heights[Math.min(bins - 1, Math.floor((value - low) / width))] += 1;
  const edge = (k) => (log ? (10 ** (low + k * width)).toPrecision(2) : Math.round(low + k * width));
  const trace = {type: 'bar', x: heights.map((_, k) => low + (k + 0.5) * width), y: heights, width: width * 0.92, hoverinfo: 'text',
    hovertext: heights.map((height, k) => `${many(height, 'result')}<br>${edge(k)} to ${edge(k + 1)}`), marker: {color: color('stable')}};
  const ticks = log ? {tickvals: [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3], ticktext: ['≤ 10⁻⁶', '10⁻⁵', '10⁻⁴', '0.001', '0.01', '0.1', '1', '10', '100', '1000']} : {};
  draw(id, [trace], {xaxis: axis(title, {showgrid: false, range: [low - 0.4 * width, high + 0.4 * width + (high > low ? 0 : width)], ...ticks}), yaxis: axis('number of results', {rangemode: 'tozero', nticks: 5})});
}

function unfailing(forces) {
  if (!methods.length) return 'Nothing was computed yet.';
  return forces ? 'No structure failed.' : 'No structure failed. These results came without forces and steps.';
}

function quality() {
  const mine = of_method(state.method);
  const known = (name) => mine.map((i) => rows[name][i]).filter((value) => value !== null);
  histogram('forces', known('fmax'), true, 'largest force (eV/Å)');
  histogram('steps', known('steps'), false, 'steps');
  const {method_id, error_class, structures, example} = data.failures;
  const lines = method_id.map((id, k) => [method_of.get(id)?.name, error_class[k], count(structures[k]), example[k]])
    .filter((_, k) => method_id[k] === state.method);
  at('failures').replaceChildren(lines.length
    ? simple_table(['Error', 'Structures', 'For instance'], lines.map((line) => line.slice(1)), [1])
    : element('p', unfailing(known('fmax').length), 'note'));
  suspects();
}

// Results that are not believed, and why.
function suspects() {
  const {method_id, formula, suspect, example} = data.suspects;
  const lines = method_id.map((id, k) => [formula[k], suspect[k], example[k]]).filter((_, k) => method_id[k] === state.method);
  at('suspects').replaceChildren(...(lines.length
    ? [element('p', 'Suspect: their numbers are not believed, and they compete in no hull and no ranking.', 'note'),
      simple_table(['Formula', 'Why', 'For instance'], lines)]
    : []));
}
