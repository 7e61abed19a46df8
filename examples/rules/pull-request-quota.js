// A quota for pull requests: entries of up to 1 GiB, and the newest 5 of each.
const MOST_KIB = 1024 * 1024;
const NEWEST = 5;
const isPull = (scope) => scope.startsWith('refs/pull/');

export const save = {
  judgeSave: ({ scopes }, key, version, sizeKib) =>
    sizeKib > MOST_KIB && scopes.some(({ name, write }) => write && isPull(name))
      ? { tag: 'refuse-quietly', val: `a pull request may save up to ${MOST_KIB} KiB, not ${sizeKib}` }
      : { tag: 'default' },
};

export const retention = {
  group: (entries) => entries.map(({ scope }) => (isPull(scope) ? scope : undefined)),
  judge: (members) =>
    members.map(({ entry, place }) =>
      isPull(entry.scope) && place >= NEWEST
        ? { tag: 'remove', val: `newest-${NEWEST}-of-a-pull-request` }
        : { tag: 'default' }),
};
