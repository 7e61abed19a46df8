// Keep the newest 3 of each key prefix: `npm-linux-…`, whatever stands after the last dash.
const NEWEST = 3;

export const retention = {
  group: (entries) => entries.map(({ key }) => key.slice(0, key.lastIndexOf('-') + 1).toLowerCase() || undefined),
  judge: (members) =>
    members.map(({ place }) =>
      place >= NEWEST ? { tag: 'remove', val: `newest-${NEWEST}` } : { tag: 'default' }),
};
