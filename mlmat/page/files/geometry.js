// Which stable phases share a tie-line. Points are (x, y, energy) or (x, energy); there are few, so all are tried.
const FLAT = 1e-7;

function segments(found) {
  const sorted = [...found].sort((a, b) => a.x - b.x);
  return sorted.slice(1).map((point, k) => [sorted[k], point]);
}

function facets(found) {
  const triangles = [];
  for (let i = 0; i < found.length; i += 1) {
    for (let j = i + 1; j < found.length; j += 1) {
      for (let k = j + 1; k < found.length; k += 1) {
        const plane = through(found[i], found[j], found[k]);
        if (plane && found.every((p) => p.z >= plane.a * p.x + plane.b * p.y + plane.c - FLAT)) {
          triangles.push([found[i], found[j], found[k]]);
        }
      }
    }
  }
  return triangles;
}

function through(p, q, r) {
  const [ux, uy, uz] = [q.x - p.x, q.y - p.y, q.z - p.z];
  const [vx, vy, vz] = [r.x - p.x, r.y - p.y, r.z - p.z];
  const area = ux * vy - uy * vx;
  if (Math.abs(area) < 1e-9) return null;
  const a = (uz * vy - uy * vz) / area;
  const b = (ux * vz - uz * vx) / area;
  return {a, b, c: p.z - a * p.x - b * p.y};
}

// Every side of the facets once.
function sides(triangles) {
  const found = new Map();
  for (const triangle of triangles) {
    for (const [p, q] of [[0, 1], [1, 2], [0, 2]]) {
      const pair = [triangle[p], triangle[q]];
      found.set(pair.map((point) => point.i).sort((m, n) => m - n).join(), pair);
    }
  }
  return [...found.values()];
}

// Place in the triangle of three elements: the first one at the left, the second at the right, the third on top.
function place(i, [, second, third]) {
  const [b, c] = [fraction(i, second), fraction(i, third)];
  return {x: b + c / 2, y: (c * Math.sqrt(3)) / 2};
}
