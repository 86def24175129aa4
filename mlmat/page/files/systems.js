// Which chemical systems there are to look at: complete ones first, those that lack an element by name.
const MOST_SYSTEMS = 400;
const systems = data.systems.name.map((name, k) => ({
  name, elements: data.systems.elements[k], method: data.systems.method_id[k], phases: data.systems.phases[k], missing: data.systems.missing[k],
}));
let by_system = new Map();
let typed_system = null;

// Competing rows of these elements and of some of them.
function phases_of(elements) {
  const parts = Array.from({length: 2 ** Math.min(elements.length, 12) - 1}, (_, k) => elements.filter((_symbol, n) => ((k + 1) >> n) & 1).join('-'));
  return parts.flatMap((name) => by_system.get(name) ?? []);
}

const of_this_method = () => systems.filter(({method}) => method === state.method);
const chosen_system = () => (typed_system?.name === at('system').value ? typed_system : of_this_method().find(({name}) => name === at('system').value));

const KINDS = [
  ['Two elements', ({elements, missing}) => !missing.length && elements.length === 2],
  ['Three elements', ({elements, missing}) => !missing.length && elements.length === 3],
  ['More elements', ({elements, missing}) => !missing.length && elements.length > 3],
  ['No hull: an element has no energy', ({missing}) => missing.length > 0],
];

function system_text({name, phases, missing}) {
  return missing.length ? `${name} · no ${missing.join(', ')}` : `${name} · ${many(phases, 'phase')}`;
}

function system_list(chosen) {
  by_system = grouped(of_method(state.method).filter((i) => rows.competes[i]), (i) => rows.chemical_system[i]);
  const known = of_this_method();
  const groups = KINDS.map(([title_of, belongs]) => {
    const made = element('optgroup', null, '', known.filter(belongs).slice(0, MOST_SYSTEMS).map((system) => option(system.name, system_text(system))));
    made.label = title_of;
    return made;
  });
  at('stability').hidden = !known.length;
  at('system').replaceChildren(...groups.filter((made) => made.children.length));
  show_system(chosen && known.some(({name}) => name === chosen) ? chosen : richest(known)?.name);
}

// The one of two or three elements with most compounds: the picture that says most.
function richest(known) {
  const compounds = ({elements}) => phases_of(elements).filter((i) => rows.elements[i].length > 1).length;
  const drawable = known.filter(({elements, missing}) => !missing.length && elements.length < 4).slice(0, 2 * MOST_SYSTEMS);
  const counted = drawable.map((system) => [compounds(system), system]).sort((a, b) => b[0] - a[0] || b[1].phases - a[1].phases);
  return counted[0]?.[1] ?? known[0];
}

// Make a system the chosen one; one that is not in the list, as somebody typed it, comes in.
function show_system(name) {
  if (!name) return;
  const select = at('system');
  const listed = of_this_method().find((system) => system.name === name) ?? typed_system;
  if (listed && ![...select.options].some(({value}) => value === name)) select.prepend(option(name, system_text(listed)));
  select.value = name;
  axis_list();
}

function axis_list() {
  const system = chosen_system();
  if (system) fill(at('axis'), system.elements.map((symbol) => [symbol, `fraction of ${symbol}`]), system.elements.at(-1));
}

// What somebody typed: elements in any order.
function system_typed(text) {
  const elements = [...new Set(text.trim().split(/[^A-Za-z]+/).filter(Boolean))].sort();
  const known = elements.filter((symbol) => known_elements.has(symbol));
  if (known.length < 2 || known.length < elements.length) return null;
  const phases = phases_of(known);
  const missing = known.filter((symbol) => !by_system.has(symbol));
  return {name: known.join('-'), elements: known, method: state.method, phases: phases.length, missing};
}

function choose_typed() {
  const field = at('other');
  const found = system_typed(field.value);
  field.setAttribute('aria-invalid', String(field.value !== '' && !found));
  if (!found) return;
  typed_system = found;
  show_system(found.name);
  stability();
}

// The system of a row becomes the one that is shown, where it is another one.
function follow(i) {
  const now = chosen_system();
  if (rows.elements[i].length > 1 && !(now && within(i, now.elements))) show_system(rows.chemical_system[i]);
}

const within = (i, elements) => rows.elements[i].every((symbol) => elements.includes(symbol));
