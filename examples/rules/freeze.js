// Freeze: nothing new is saved, and nothing is deleted, while something is being looked into. Restores go on.
export const save = {
  judgeSave: () => ({ tag: 'refuse-quietly', val: 'the cache is frozen' }),
};

export const retention = {
  judge: (members) => members.map(() => ({ tag: 'keep' })),
};
