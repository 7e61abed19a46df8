// Restore keys are for what is near: an entry of more than two weeks is restored only where it is used, or
// from the default branch. (Rules cannot make one key stand for another: that takes a policy.)
const TWO_WEEKS = 14 * 24 * 3600;
const DEFAULT = 'refs/heads/main';

export const restore = {
  judgeHit: (caller, { scope, ageS, idleS }) =>
    scope !== DEFAULT && ageS > TWO_WEEKS && idleS > TWO_WEEKS
      ? { tag: 'skip', val: 'older than two weeks, and not used since' }
      : { tag: 'accept' },
};
