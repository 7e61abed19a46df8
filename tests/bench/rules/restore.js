// A usual question of a look-up: releases restore only what protected branches saved.
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1];

export const restore = {
  judgeHit: ({ claims }, { provenance }) =>
    value(claims, 'workflow') === 'release' && value(provenance, 'ref_protected') !== 'true'
      ? { tag: 'skip', val: 'not of a protected branch' }
      : { tag: 'accept' },
};
