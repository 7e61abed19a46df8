// Quarantine: what these runs and actors have saved is a miss, and their tokens write nothing more. Edit the
// lists while it is being looked into; `larder revoke` deletes it afterwards.
const RUNS = ['1234567890'];
const ACTORS = ['mallory'];
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1];
const isSuspect = (pairs) => RUNS.includes(value(pairs, 'run_id')) || ACTORS.includes(value(pairs, 'actor'));

export const access = {
  admit: ({ claims, scopes }) =>
    isSuspect(claims)
      ? { tag: 'scopes', val: scopes.map((scope) => ({ ...scope, write: false })) }
      : { tag: 'default' },
};

export const restore = {
  judgeHit: (caller, { provenance }) =>
    isSuspect(provenance) ? { tag: 'skip', val: 'in quarantine' } : { tag: 'accept' },
};
