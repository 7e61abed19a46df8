// Overwrite in place: a key that ends in the number of a run (`turbo-${{ github.run_id }}`, restored by the
// prefix `turbo-`) is one cache that each run replaces. The newest of its scope stays.
const series = (key) => /^(.+-)\d{6,}$/.exec(key.toLowerCase())?.[1];

export const retention = {
  group: (entries) => entries.map(({ key }) => series(key)),
  judge: (members) =>
    members.map(({ entry, place }) =>
      place >= 1 && series(entry.key) ? { tag: 'remove', val: 'overwritten' } : { tag: 'default' }),
};
