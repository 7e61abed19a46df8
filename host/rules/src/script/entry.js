// The module that QuickJS starts with. It takes the operator's script as a module and exports the whole
// world: QuickJS has one set of bindings for all scripts.
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

const exported = {};
for (const [name, names] of Object.entries(functions)) {
  const given = rules[name] ?? rules.default?.[name];
  if (given === undefined) continue;
  const all = name === 'retention' ? { ...builtIn } : {};
  for (const each of names) {
    if (given[each] !== undefined) all[each] = given[each];
    if (typeof all[each] !== 'function') throw new TypeError(`${name}.${each} is not a function`);
  }
  exported[name] = all;
}

export const { access, restore, save, retention } = exported;
export const script = { interfaces: () => Object.keys(exported) };
