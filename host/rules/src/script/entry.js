// The module that QuickJS starts with. It takes the operator's script as a module and exports the whole
// world: QuickJS has one set of bindings for all scripts.
import { report } from 'larder:script/author';
import * as rules from 'SCRIPT';

const functions = {
  access: ['admit'],
  restore: ['judgeHit'],
  save: ['judgeSave'],
  retention: ['group', 'judge', 'rank'],
};

// What holds for a function of `retention` that a script leaves out: no groups, the built-in decision,
// and the least recently used first.
const builtIn = {
  group: (entries) => entries.map(() => undefined),
  judge: (members) => members.map(() => ({ tag: 'default' })),
  rank: (entries) => entries.map(({ idleS }) => idleS),
};

const describe = (error) => {
  if (!(error instanceof Error)) return `an exception that is no Error: ${error}`;
  const own = (line) => line.includes('larder:rules/entry.js') || line.trim() === '';
  return [`${error}`, ...`${error.stack ?? ''}`.split('\n').filter((line) => !own(line))].join('\n');
};

// What is thrown reaches the author by `report`; QuickJS itself ends at it.
const guarded = (object, name) => (a, b, c, d) => {
  try {
    return object[name](a, b, c, d);
  } catch (error) {
    report(describe(error));
    throw error;
  }
};

// A word that is misspelt would switch a rule off, and nobody would know.
const known = Object.keys(functions);
for (const given of [rules, rules.default ?? {}]) {
  const unknown = Object.keys(given).find((name) => name !== 'default' && !known.includes(name));
  if (unknown) throw new TypeError(`export \`${unknown}\` is none of ${known.join(', ')}`);
}

const exported = {};
let ranks = false;
for (const [name, names] of Object.entries(functions)) {
  const given = rules[name] ?? rules.default?.[name];
  if (given === undefined) continue;
  if (names.length > 1 && !names.some((each) => given[each] !== undefined)) {
    throw new TypeError(`${name} has none of ${names.join(', ')}`);
  }
  exported[name] = {};
  for (const each of names) {
    const own = given[each] !== undefined || name !== 'retention' ? given : builtIn;
    if (typeof own[each] !== 'function') throw new TypeError(`${name}.${each} is not a function`);
    exported[name][each] = guarded(own, each);
    if (each === 'rank') ranks = own === given;
  }
}

export const { access, restore, save, retention } = exported;
// An order of its own is worth asking for.
export const script = { interfaces: () => [...Object.keys(exported), ...(ranks ? ['retention.rank'] : [])] };
