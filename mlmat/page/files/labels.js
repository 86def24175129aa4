// Where labels stand in pixels so that they cover neither one another nor a stable phase, and few lines and points.
const WAYS = [[1, 0], [-1, 0], [0, 1], [0, -1], [0.8, 0.8], [-0.8, 0.8], [0.8, -0.8], [-0.8, -0.8]];
const DISTANCES = [12, 20, 34, 52];
const measuring = document.createElement('canvas').getContext('2d');

function extent(text, font) {
  measuring.font = font;
  return {w: measuring.measureText(text).width / 2 + 2, h: parseFloat(font.match(/([0-9.]+)px/)[1]) * 0.62};
}

const apart = (a, b) => Math.abs(a.x - b.x) >= a.w + b.w || Math.abs(a.y - b.y) >= a.h + b.h;
const inside = (box, {x, y}) => Math.abs(box.x - x) < box.w && Math.abs(box.y - y) < box.h;

function crosses(box, [from, to]) {
  for (let k = 0; k <= 40; k += 1) {
    if (inside(box, {x: from.x + ((to.x - from.x) * k) / 40, y: from.y + ((to.y - from.y) * k) / 40})) return true;
  }
  return false;
}

// Boxes that a label at this point could have, the nearest first.
function boxes({x, y, w, h}) {
  return DISTANCES.flatMap((far, ring_of) => WAYS.map(([right, up]) => (
    {x: x + right * (w + far), y: y + up * (h + far), w, h, far: ring_of, right, up})));
}

// labels: {x, y, w, h, away: [x, y] of what they should stand away from}; a place for each, or null where none is free.
function arranged(labels, {solid, lines, dots, width, height}) {
  const taken = solid.map(({x, y}) => ({x, y, w: 7, h: 7}));
  const found = labels.map(() => null);
  const crowd_of = (a) => Math.min(...labels.filter((b) => b !== a).map((b) => Math.hypot(a.x - b.x, a.y - b.y)), 1e4);
  const order = labels.map((label_of, k) => [crowd_of(label_of), k]).sort((a, b) => b[0] - a[0]).map(([, k]) => k);
  for (const k of order) {
    const fits_in = (box) => box.x - box.w > 0 && box.x + box.w < width && box.y - box.h > 0 && box.y + box.h < height;
    let best = Infinity;
    for (const box of boxes(labels[k])) {
      if (!fits_in(box) || !taken.every((other) => apart(box, other))) continue;
      const price = cost(box, labels[k], lines, dots);
      if (price < best) [best, found[k]] = [price, box];
    }
    if (found[k]) taken.push(found[k]);
  }
  return found;
}

function cost(box, {x, y, away}, lines, dots) {
  const [ax, ay] = [x - away[0], y - away[1]];
  const outward = (box.right * ax + box.up * ay) / (Math.hypot(ax, ay) || 1);
  return 2.5 * box.far - outward + 1.2 * lines.filter((line_of) => crosses(box, line_of)).length +
    Math.min(3, 0.4 * dots.filter((dot) => inside(box, dot)).length);
}

// Labels of points as plotly's annotations; a line leads to those that stand apart. to_pixel: place in the plot's area.
function annotations(target, texts, {solid, lines, dots, away}) {
  const {xaxis, yaxis} = target._fullLayout;
  const pixel = ({x, y}) => ({x: xaxis.d2p(x), y: yaxis.d2p(y)});
  const font = `500 13px ${getComputedStyle(document.body).fontFamily}`;
  const middle = pixel(away);
  const labels = texts.map(({x, y, text}) => ({...pixel({x, y}), ...extent(text, font), away: [middle.x, middle.y]}));
  const room = {solid: solid.map(pixel), lines: lines.map((pair) => pair.map(pixel)), dots: dots.map(pixel), width: xaxis._length, height: yaxis._length};
  return arranged(labels, room).flatMap((box, k) => (box === null ? [] : [{
    x: texts[k].x, y: texts[k].y, text: plain(texts[k].text), ax: box.x - labels[k].x, ay: box.y - labels[k].y,
    font: {size: 13, color: color('ink')}, showarrow: true, arrowhead: 0, arrowwidth: 1, standoff: 6,
    arrowcolor: box.far > 1 ? color('faint') : 'rgba(0,0,0,0)', xanchor: 'center', yanchor: 'middle', borderpad: 0,
  }]));
}
