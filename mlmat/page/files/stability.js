// The hull of a system of two or three elements, and energies above the hull against composition.
function stability() {
  const system = chosen_system();
  if (!system) return;
  const phases = phases_of(system.elements);
  const waits = phases.map((i) => rows.reason[i]).find((reason) => reason?.startsWith('not computed'));
  const broken = system.missing.length > 0 || Boolean(waits);
  at('complete').textContent = verdict(system, phases, waits);
  at('complete').classList.toggle('warn', broken);
  const judged = phases.filter((i) => rows.e_above_hull[i] !== null);
  hull(system, broken ? [] : judged);
  above(system, judged.filter((i) => !broken || rows.elements[i].length > 1));
  at('key').hidden = broken;
}

function verdict({phases, missing}, here, waits) {
  if (missing.length) return `No hull: ${missing.join(', ')} ${missing.length > 1 ? 'have' : 'has'} no energy by this method.`;
  if (waits) return `No hull: ${waits}.`;
  const cut = here.length < phases ? ` The report holds ${count(here.length)} of them, the most stable.` : '';
  const compounds = new Set(here.filter((i) => compound(i) && rows.e_above_hull[i] !== null).map((i) => rows.formula[i])).size;
  const held = compounds === 1 ? ' The hull holds only the elements and one compound.' : '';
  const sure = ` Expected error: ${per_atom(widest(here))}${widest(here) === null ? '' : ' (grey)'}.`;
  return `${count(phases)} phases compete, ${count(here.filter(stable).length)} are on the hull of what is in this store.${held}${sure}${cut}`;
}

// The largest expected error of the compounds, in eV/atom; null where none is known.
function widest(indices) {
  const errors = indices.filter((i) => compound(i) && rows.expected_error[i] !== null).map((i) => rows.expected_error[i]);
  return errors.length ? Math.max(...errors) : null;
}

// A grey band around corners of a line: the expected error on both sides, nothing at the elements, which are 0 by
// definition.
function band(corners, error) {
  if (error === null) return [];
  const side = (sign) => corners.map(({x, y}, k) => ({x, y: y + (k > 0 && k < corners.length - 1 ? sign * error : 0)}));
  const around = [...side(1), ...side(-1).reverse()];
  return [{type: 'scatter', mode: 'lines', name: 'expected error', x: around.map(({x}) => x), y: around.map(({y}) => y), hoverinfo: 'skip',
    line: {width: 0}, fill: 'toself', fillcolor: `${color('faint')}55`}];
}

function hull(system, indices) {
  const kind = system.elements.length;
  const captions = {2: 'Formation energy against composition', 3: 'Stable phases and their tie-lines'};
  at('hull-caption').textContent = captions[kind] ?? '';
  if (!indices.length) return nothing('hull', 'No hull can be drawn.');
  if (kind === 2) return binary(indices);
  if (kind === 3) return ternary(system, indices);
  return nothing('hull', `${kind} elements: choose a system of two or three to see its hull.`);
}

// One label at each composition: of several stable phases the first.
function labelled(indices) {
  const seen = new Set();
  return indices.filter((i) => stable(i) && !seen.has(rows.formula[i]) && seen.add(rows.formula[i]));
}

function binary(indices) {
  const symbol = at('axis').value;
  const point = (i) => ({x: fraction(i, symbol), y: rows.formation_energy_per_atom[i]});
  const ground = labelled(indices).sort((i, j) => fraction(i, symbol) - fraction(j, symbol));
  const corners = ground.map(point);
  const lowest = Math.min(-0.05, ...corners.map(({y}) => y));
  // What lies far above is outside at first: a double click or dragging shows it.
  const top = Math.min(Math.max(0.05, ...indices.map((i) => point(i).y)), Math.max(0.25, -0.6 * lowest));
  const line = {type: 'scatter', mode: 'lines', x: corners.map(({x}) => x), y: corners.map(({y}) => y), hoverinfo: 'skip', line: {color: color('stable'), width: 2.2}, fill: 'tozeroy', fillcolor: `${color('stable')}14`};
  const traces = [line, ...band(corners, widest(indices)), points(indices, (i) => point(i).x, (i) => point(i).y), ...ringed(indices, point)];
  draw('hull', traces, {
    xaxis: axis(`fraction of ${symbol}`, {range: [-0.06, 1.06], tickvals: [0, 0.2, 0.4, 0.6, 0.8, 1]}),
    yaxis: axis('formation energy (eV/atom)', {range: [lowest - 0.14 * (top - lowest), top + 0.09 * (top - lowest)], zeroline: true, zerolinecolor: color('faint')}),
  }, true);
  const around = {solid: corners, lines: segments(corners), dots: indices.filter((i) => !stable(i)).map(point), away: {x: 0.5, y: 4}};
  name_them('hull', ground.map((i) => ({...point(i), text: formula(i)})), around);
}

function ternary(system, indices) {
  const spot = new Map(indices.map((i) => [i, {...place(i, system.elements), i}]));
  const ground = labelled(indices);
  const lines = sides(facets(ground.map((i) => ({...spot.get(i), z: rows.formation_energy_per_atom[i]}))));
  const corners = [{x: 0, y: 0}, {x: 1, y: 0}, {x: 0.5, y: Math.sqrt(3) / 2}];
  const line = (places, style) => ({type: 'scatter', mode: 'lines', x: places.map((p) => p.x), y: places.map((p) => p.y), hoverinfo: 'skip', line: style});
  const traces = [
    line([...corners, corners[0]], {color: color('faint'), width: 1.4}),
    line(lines.flatMap(([p, q]) => [p, q, {x: null, y: null}]), {color: color('stable'), width: 1.4}),
    points(indices, (i) => spot.get(i).x, (i) => spot.get(i).y), ...ringed(indices, (i) => spot.get(i)),
  ];
  const bare = {visible: false};
  draw('hull', traces, {xaxis: {...bare, range: [-0.14, 1.14]}, yaxis: {...bare, range: [-0.09, 0.96], scaleanchor: 'x'}}, true);
  const compounds = ground.filter((i) => rows.elements[i].length > 1);
  const around = {
    solid: [...ground.map((i) => spot.get(i)), ...corners], lines: [...lines, [corners[0], corners[1]]],
    dots: indices.filter((i) => !stable(i)).map((i) => spot.get(i)), away: {x: 0.5, y: Math.sqrt(3) / 6},
  };
  name_them('hull', compounds.map((i) => ({...spot.get(i), text: formula(i)})), around, corners.map((corner, k) => corner_name(corner, system.elements[k], k)));
}

function corner_name({x, y}, text, k) {
  const [ax, ay] = [[-16, 14], [16, 14], [0, -20]][k];
  return {x, y, ax, ay, text: `<b>${plain(text)}</b>`, font: {size: 16, color: color('ink')}, showarrow: true, arrowcolor: 'rgba(0,0,0,0)'};
}

function name_them(id, texts, around, more = []) {
  const target = at(id);
  Plotly.relayout(target, {annotations: [...annotations(target, texts, around), ...more]});
}

const ringed = (indices, point) => (indices.includes(state.row) ? [ring(point(state.row))] : []);

function above(system, indices) {
  if (!indices.length) return nothing('above', 'No energy above a hull is known.');
  const symbol = at('axis').value;
  const point = (i) => ({x: fraction(i, symbol), y: rows.e_above_hull[i]});
  const error = widest(indices);
  const grey = error === null ? [] : [{type: 'scatter', mode: 'lines', name: 'expected error', x: [-0.06, 1.06, 1.06, -0.06], y: [0, 0, error, error],
    hoverinfo: 'skip', line: {width: 0}, fill: 'toself', fillcolor: `${color('faint')}55`}];
  const traces = [...grey, points(indices, (i) => point(i).x, (i) => point(i).y), ...ringed(indices, point)];
  const energies = indices.map((i) => rows.e_above_hull[i]).sort((a, b) => a - b);
  const high = Math.max(0.1, 1.15 * (error ?? 0), energies[Math.floor(0.97 * (energies.length - 1))]);
  draw('above', traces, {
    xaxis: axis(`fraction of ${symbol}`, {range: [-0.06, 1.06], tickvals: [0, 0.2, 0.4, 0.6, 0.8, 1]}),
    yaxis: axis('energy above hull (eV/atom)', {range: [-0.05 * high, high * 1.06], zeroline: true, zerolinecolor: color('stable'), zerolinewidth: 2}),
  }, true);
}

function legend() {
  const dot = (name, text) => {
    const mark = element('i');
    mark.style.background = `var(--${name})`;
    return element('span', null, '', [mark, text]);
  };
  const ramp = element('span', null, '', [element('i', null, 'ramp'), `0 to ${TOP} eV/atom above the hull; more is as dark`]);
  at('key').replaceChildren(dot('stable', 'on the hull'), ramp, dot('faint', 'expected error: undecided'));
}

function listen_to_stability() {
  legend();
  at('system').addEventListener('input', () => { axis_list(); stability(); });
  at('other').addEventListener('input', choose_typed);
  at('axis').addEventListener('input', stability);
  state.listeners.push(stability);
  let later = null;
  window.addEventListener('resize', () => { clearTimeout(later); later = setTimeout(stability, 200); });
}
