// Charts: one look for all of them.
const drawn = [];

// Plotly reads a little HTML in texts: data must not.
const plain = (text) => String(text ?? '').replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

function axis(title, more = {}) {
  return {
    title: {text: title, font: {size: 13, color: color('soft')}, standoff: 10}, gridcolor: color('line'), gridwidth: 1,
    zeroline: false, showline: false, ticks: '', tickfont: {size: 12, color: color('soft')}, automargin: true, ...more,
  };
}

function layout(more = {}) {
  return {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, hovermode: 'closest', bargap: 0.06,
    font: {family: getComputedStyle(document.body).fontFamily, size: 13, color: color('ink')},
    margin: {l: 8, r: 14, t: 10, b: 8}, dragmode: 'pan',
    hoverlabel: {bgcolor: color('card'), bordercolor: color('line'), font: {color: color('ink'), size: 13}, align: 'left'},
    ...more,
  };
}

function draw(id, traces, more, clicked) {
  const target = at(id);
  target.replaceChildren();
  target.classList.remove('blank');
  Plotly.purge(target);
  Plotly.newPlot(target, traces, layout(more), {displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: 'reset'});
  if (clicked) {
    target.on('plotly_click', (event) => {
      const chosen = event.points[0]?.customdata;
      if (typeof chosen === 'number') choose(chosen);
    });
  }
}

function nothing(id, text) {
  const target = at(id);
  Plotly.purge(target);
  target.classList.add('blank');
  target.replaceChildren(element('p', text, 'empty'));
}

function hover(i) {
  const {name, above, ...here} = label(i);
  const lines = [`<b>${plain(here.formula)}</b>${plain(here.group)}`];
  if (above !== null) lines.push(stable(i) ? 'on the hull' : `${number(above)} eV/atom above hull`);
  if (rows.formation_energy_per_atom[i] !== null) lines.push(`formation ${number(rows.formation_energy_per_atom[i])} eV/atom`);
  lines.push(plain(name));
  return lines.join('<br>');
}

// Points of results: their colours are those of their energies above the hull.
function points(given, x, y, more = {}) {
  // The stable ones last, so that they lie on top; those of a pair stay in the order of x and y.
  const indices = more.x ? given : [...given].sort((i, j) => rows.e_above_hull[j] - rows.e_above_hull[i]);
  return {
    type: 'scatter', mode: 'markers', x: indices.map(x), y: indices.map(y), customdata: indices,
    hovertext: indices.map(hover), hoverinfo: 'text',
    marker: {size: indices.map((i) => (stable(i) ? 11 : crowd(indices))), color: indices.map((i) => shade(rows.e_above_hull[i])),
      opacity: indices.map((i) => (stable(i) ? 1 : 0.85)), line: {width: 1, color: color('card')}},
    ...more,
  };
}

const crowd = (indices) => (indices.length > 250 ? 6 : 8);

function ring({x, y}) {
  return {type: 'scatter', mode: 'markers', x: [x], y: [y], hoverinfo: 'skip',
    marker: {size: 18, color: 'rgba(0,0,0,0)', line: {width: 2, color: color('ink')}}};
}
