// One cache for all branches: the default branch fills it, every branch reads it, and no branch has one of
// its own. (Rules narrow what a token allows: branches cannot be made to read each other's.)
const DEFAULT = 'refs/heads/main';

export const access = {
  admit: ({ scopes }) => {
    const kept = scopes.filter(({ name }) => name === DEFAULT);
    return kept.length > 0
      ? { tag: 'scopes', val: kept }
      : { tag: 'deny', val: `this cache is that of ${DEFAULT}, which the token may not read` };
  },
};
