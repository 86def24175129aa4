// The chosen result: its structure in three dimensions, its numbers, where they come from.
// A view along z, from where each structure is turned by the same angles.
const FRONT = [0, 0, 0, 0, 0, 0, 0, 1];
const view = {viewer: null, spin: false, shown: null, cells: 1, chosen_cells: null};
const FEW_ATOMS = 6;

function detail(i) {
  const target = at('detail');
  if (i === null) return target.replaceChildren(element('p', 'Click a row or a point.', 'empty'));
  if (!target.querySelector('.viewer')) target.replaceChildren(stage(), element('div', null, 'body'));
  const name = rows.external_id[i] ?? rows.structure_id[i] ?? '';
  target.querySelector('.body').replaceChildren(
    element('h2', formula(i)),
    element('p', [group(i), name].filter(Boolean).join(' · '), 'note'),
    numbers(i), element('h3', 'Where it comes from'), trail(i), ...run(i),
  );
  structure(rows.shown_id[i]);
}

function numbers(i) {
  const unit = (name, unit_name, digits) => (rows[name][i] === null ? null : `${number(rows[name][i], digits)} ${unit_name}`);
  return facts(element('dl', null, 'facts'), [
    ['Energy above hull', stable(i) ? element('span', '0 eV/atom', 'on-hull') : unit('e_above_hull', 'eV/atom', 4)],
    ['Verdict', rows.verdict[i] && `${rows.verdict[i]} (expected error ${per_atom(rows.expected_error[i])})`],
    ['Hull of', rows.e_above_hull[i] === null ? null : [`${many(rows.competing_phases[i], 'phase')}`, rows.competition[i]].filter(Boolean).join('; ')],
    ['Decomposition energy', unit('e_decomposition', 'eV/atom', 4)],
    ['Energy scheme', rows.e_above_hull[i] === null ? null : rows.scheme[i] ?? 'unknown'],
    ['Decomposes into', stable(i) || rows.reason[i] ? null : subscripts_of_list(rows.decomposition[i] ?? '')],
    ['Formation energy', unit('formation_energy_per_atom', 'eV/atom', 4)],
    ['Its expected error', compound(i) && rows.formation_energy_per_atom[i] !== null ? per_atom(rows.expected_error_formation[i]) : null],
    ['Energy', unit('energy_per_atom', 'eV/atom', 5)],
    ['Above best of its formula', unit('energy_above_best', 'eV/atom', 4)],
    ['Volume', unit('volume_per_atom', 'Å³/atom', 3)],
    ['Density', unit('density', 'g/cm³', 3)],
    ['Atoms in the cell', number(rows.nsites[i], 0)],
    ['Largest force', unit('fmax', 'eV/Å', 4)],
    ['Steps', rows.steps[i] === null ? null : number(rows.steps[i], 0)],
    ['Note', [rows.reason[i], rows.warnings[i]].filter(Boolean).join('; ')],
  ]);
}

function trail(i) {
  const method = method_of.get(rows.method_id[i]);
  const place_of = [rows.path[i], rows.member[i], rows.block[i] && `block ${rows.block[i]}`].filter(Boolean).join(' › ');
  const code = (text) => (text ? element('code', text) : null);
  return facts(element('dl', null, 'facts trail'), [
    ['File', place_of], ['SHA-256', code(rows.file_sha256[i]?.slice(0, 16))], ['Reader', rows.parser[i]],
    ['Relaxed from', code(rows.parent_id[i])], ['Structure', code(rows.structure_id[i])],
    ['Shown', rows.shown_id[i] === rows.structure_id[i] ? null : code(rows.shown_id[i])],
    ['Method', method?.name], ['Energy by', rows.energy_method[i]], ['Weights', code(method?.sha?.slice(0, 16))],
    ['Computed', [rows.finished_at[i], rows.host[i] && `on ${rows.host[i]}`, rows.seconds[i] && `in ${duration(rows.seconds[i])}`].filter(Boolean).join(' ')],
    ['Result', code(rows.result_id[i])],
  ]);
}

function run(i) {
  const k = data.runs.run_id.indexOf(rows.run_id[i]);
  if (k < 0) return [];
  const of = (name) => data.runs[name][k];
  const details = element('details', null, '', [element('summary', 'The run')]);
  const settings = method_of.get(rows.method_id[i])?.settings ?? [];
  details.append(facts(element('dl', null, 'facts trail'), [
    ['Command', element('code', of('arguments'))], ['Settings', settings.join(', ')], ['Started', of('started_at')],
    ['By', [of('user_name'), of('host') && `on ${of('host')}`].filter(Boolean).join(' ')], ['mlmat', of('mlmat_version')],
    ['Python', of('python_version')], ['Platform', of('platform')], ['Packages', (of('versions') ?? []).join(', ')],
  ]));
  return [details];
}

function stage() {
  const made = element('div', null, 'viewer');
  const scene = element('div');
  scene.id = 'scene';
  Object.assign(scene.style, {position: 'absolute', inset: '0'});
  const tools = element('div', null, 'tools');
  const tool = (text, act) => {
    const button = element('button', text);
    button.type = 'button';
    button.addEventListener('click', () => act(button));
    tools.append(button);
  };
  tool('Turn', (button) => turn(button));
  tool('2 × 2 × 2', () => { view.chosen_cells = view.cells === 2 ? 1 : 2; structure(view.shown, true); });
  tools.lastChild.id = 'cells';
  made.append(scene, tools, element('div', null, 'atoms'));
  return made;
}

function turn(button) {
  view.spin = !view.spin;
  button.classList.toggle('on', view.spin);
  view.viewer?.spin(view.spin ? 'y' : false, 0.6);
}

function viewer() {
  if (view.viewer === null) {
    const canvas = document.createElement('canvas');
    if (!(canvas.getContext('webgl2') ?? canvas.getContext('webgl'))) throw new Error('no WebGL');
    view.viewer = window['3Dmol'].createViewer(at('scene'), {backgroundColor: color('card'), antialias: true, disableFog: true});
  }
  return view.viewer;
}

function structure(id, again = false) {
  const geometry = data.structures[id];
  const legend_of = document.querySelector('#detail .atoms');
  at('scene').style.visibility = geometry ? 'visible' : 'hidden';
  if (!geometry) view.shown = null;
  if (!geometry) return legend_of.replaceChildren(id ? 'This structure is not in the report.' : 'No structure came with this entry.');
  if (view.shown === id && !again) return;
  if (view.shown !== id) view.chosen_cells = null;
  view.shown = id;
  // After the rest of the page is drawn: the first view takes a moment.
  requestAnimationFrame(() => setTimeout(() => {
    if (view.shown !== id) return;
    try { show(geometry, legend_of); } catch (error) { legend_of.replaceChildren('This browser draws nothing in three dimensions (no WebGL).'); }
  }));
}

function show(geometry, legend_of) {
  const stage_of = viewer();
  stage_of.clear();
  // Of a small cell one sees little: several of them.
  view.cells = view.chosen_cells ?? (geometry.numbers.length <= FEW_ATOMS ? 2 : 1);
  at('cells').classList.toggle('on', view.cells === 2);
  const atoms = images(geometry, view.cells);
  const model = stage_of.addModel();
  const near = bonded(atoms);
  model.addAtoms(atoms.map(({symbol, x, y, z}, k) => ({elem: symbol, x, y, z, bonds: near[k], bondOrder: near[k].map(() => 1), hetflag: true})));
  const colorfunc = (atom) => atom_color(atom.elem);
  model.setStyle({}, {sphere: {scale: 0.34, colorfunc}, stick: {radius: 0.09, colorfunc}});
  frame(stage_of, geometry);
  stage_of.setView(FRONT);
  stage_of.zoomTo();
  stage_of.rotate(-78, 'x'); stage_of.rotate(12, 'z'); stage_of.rotate(-22, 'y');
  stage_of.zoom(0.92);
  stage_of.render();
  const symbols = [...new Set(atoms.map(({symbol}) => symbol))];
  legend_of.replaceChildren(...symbols.map((symbol) => {
    const dot = element('i');
    dot.style.background = atom_color(symbol);
    return element('span', null, '', [dot, symbol]);
  }));
}
