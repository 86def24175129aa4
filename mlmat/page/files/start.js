// What happens when the page opens, and when the method or the colours change.
function everything() {
  tiles();
  table();
  stability();
  agreement();
  quality();
}

function choose_method(id) {
  const before = at('system').value;
  state.method = id;
  sorting.page = 0;
  at('unique').hidden = !of_method(id).some((i) => rows.candidate[i]);
  at('below').hidden = !has('e_above_hull', of_method(id));
  system_list(before);
  state.row = most_telling(chosen_rows());
  everything();
  detail(state.row);
}

// A small stable crystal of the system that is shown says more than an element does.
function most_telling(found) {
  const system = chosen_system();
  const telling = found.filter((i) => data.structures[rows.shown_id[i]] && (!system || within(i, system.elements)));
  const worth = (i) => [stable(i), rows.elements[i].length, -rows.nsites[i]];
  const better = (i, j) => worth(i).map((value, k) => value - worth(j)[k]).find((difference) => difference) > 0;
  return telling.reduce((best, i) => (best === null || better(i, best) ? i : best), null) ?? found[0] ?? null;
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  view.viewer?.setBackgroundColor?.(color('card'));
  view.viewer?.render?.();
  if (view.shown) structure(view.shown, true);
}

function start() {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const forced = ['#dark', '#light'].includes(window.location.hash) ? window.location.hash.slice(1) : null;
  document.documentElement.dataset.theme = forced ?? (dark.matches ? 'dark' : 'light');
  const change = (name) => { theme(name); everything(); };
  dark.addEventListener('change', () => change(dark.matches ? 'dark' : 'light'));
  at('theme').addEventListener('click', () => change(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
  title();
  ingest();
  method_table();
  const judged = methods.map(({id}) => of_method(id).filter((i) => rows.e_above_hull[i] !== null).length);
  const best = judged.indexOf(Math.max(...judged));
  fill(at('method'), methods.map(({id, name}) => [id, name]), methods[best]?.id);
  at('method').disabled = !methods.length;
  at('method').addEventListener('input', () => choose_method(at('method').value));
  listen_to_table();
  state.listeners.push((i) => { if (i !== null) follow(i); });
  listen_to_stability();
  state.listeners.push(detail);
  start_agreement();
  choose_method(at('method').value || null);
  document.documentElement.dataset.ready = 'yes';
}

start();
