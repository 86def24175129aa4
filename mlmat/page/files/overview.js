// Title, counts, outcome of the ingest, methods.
const OUTCOMES = {stored: 'stable', duplicate: 'other', disordered: 'low', flagged: 'mid', rejected: 'bad', unreadable: 'high', imported: 'stable', refused: 'bad'};

function title() {
  at('title').textContent = data.title;
  const {structures, files} = data.counts;
  const from = files ? `${many(structures, 'structure')} from ${many(files, 'file')}` : many(structures, 'structure');
  at('subtitle').textContent = `${from} · ${many(methods.length, 'method')} · ${data.made}`;
  at('foot').textContent = `Written by mlmat ${data.mlmat ?? ''} from ${data.store}. Energies in eV, forces in eV/Å. ` +
    'A hull holds phases of one method only. Drawn with plotly.js (MIT) and 3Dmol.js (BSD-3-Clause).';
}

function tile(value, text, accent) {
  const made = element('div', null, 'tile');
  made.append(element('b', value, accent ? 'accent' : ''), element('span', text));
  return made;
}

function tiles() {
  const mine = of_method(state.method);
  // Each crystal once, as the ranking has them.
  const compounds = mine.filter((i) => rows.candidate[i] && rows.e_above_hull[i] !== null && compound(i));
  const made = [tile(count(data.counts.structures), 'structures read')];
  const method = method_of.get(state.method);
  made.push(tile(count(method?.ok), 'results of this method'));
  made.push(tile(count(method?.failed), ['failed', ...set_aside(method)].join('; ')));
  if (compounds.length) made.push(...judged(compounds));
  at('tiles').replaceChildren(...made);
}

function set_aside(method) {
  const {suspect, excluded} = worth_of.get(state.method) ?? {};
  const counts = [[method?.unconverged, 'not converged'], [suspect, 'suspect'], [excluded, 'excluded']];
  return counts.filter(([number_of]) => number_of).map(([number_of, text]) => `${count(number_of)} ${text}`);
}

// What lies on the hull, of what, and how sure that is.
function judged(compounds) {
  const on = compounds.filter(stable);
  const open = on.filter((i) => rows.verdict[i] === 'undecided').length;
  const alone = (list) => new Set(list.map((i) => rows.chemical_system[i])).size;
  const bare = compounds.filter((i) => rows.competition[i] === 'only the elements');
  const {error} = worth_of.get(state.method) ?? {};
  const close = open ? `; ${count(open)} of them undecided` : '';
  return [
    tile(count(on.length), `of ${count(compounds.length)} compounds on the hull of what is in this store${close}`, true),
    error === null || error === undefined ? tile('unknown', 'expected error of energies above hull')
      : tile(number(1000 * error, 0), 'meV/atom: expected error of energies above hull'),
    tile(count(alone(bare)), `of ${many(alone(compounds), 'hull')} hold only the elements and one compound`),
  ];
}

function ingest() {
  const parts = [...stack('Structures, from files', data.outcomes), ...stack('Energies, from elsewhere', data.imports)];
  at('ingest').replaceChildren(...(parts.length ? parts : [element('p', 'Nothing was read.', 'empty')]), ...reasons());
}

// Outcomes as a bar of their shares, and their counts.
function stack(text, {outcome, blocks}) {
  if (!outcome.length) return [];
  const bar = element('div', null, 'stack');
  const key = element('div', null, 'key');
  outcome.forEach((name, k) => {
    const part = element('i');
    part.style.flexGrow = blocks[k];
    part.style.background = `var(--${OUTCOMES[name] ?? 'faint'})`;
    const dot = element('i');
    dot.style.background = part.style.background;
    bar.append(part);
    key.append(element('span', null, '', [dot, element('b', count(blocks[k])), ` ${name}`]));
  });
  return [element('p', text, 'note'), bar, key];
}

function reasons() {
  const {outcome, reason, blocks, example} = data.reasons;
  if (!outcome.length) return [];
  const details = element('details', null, '', [element('summary', 'What was left out, and why')]);
  const lines = outcome.map((name, k) => [name, reason[k] ?? '', count(blocks[k]), example[k]]);
  details.append(simple_table(['Outcome', 'Reason', 'Number', 'For instance'], lines, [2]));
  return [details];
}

function simple_table(names, lines, numeric = []) {
  const style = (k) => (numeric.includes(k) ? 'number' : '');
  const head = element('tr', null, '', names.map((name, k) => element('th', name, style(k))));
  const cell = (value, k) => {
    const made = element('td', null, style(k));
    made.append(value ?? '');
    return made;
  };
  const body = lines.map((line) => element('tr', null, '', line.map(cell)));
  return element('table', null, '', [element('thead', null, '', [head]), element('tbody', null, '', body)]);
}

function method_table() {
  if (!methods.length) return at('methods').replaceChildren(element('p', 'Nothing was computed yet.', 'empty'));
  const lines = methods.slice(0, 8).map((method) => {
    const about = [method.sha && `weights ${method.sha.slice(0, 12)}`, method.version && `version ${method.version.slice(0, 12)}`];
    const name = element('span', method.name, '', [element('small', about.filter(Boolean).join(' · '))]);
    return [name, count(method.ok), count(method.failed), count(method.unconverged), duration(method.seconds)];
  });
  at('methods').replaceChildren(simple_table(['Method', 'Ok', 'Failed', 'Not converged', 'Time'], lines, [1, 2, 3, 4]));
  if (methods.length > 8) at('methods').append(element('p', `and ${many(methods.length - 8, 'method')} more`, 'note'));
}
