// Keep the default branch warm: its entries stay for 30 days without use, and go last when room is needed.
const DEFAULT = 'refs/heads/main';
const DAYS_30 = 30 * 24 * 3600;
const isWarm = ({ scope, idleS }) => scope === DEFAULT && idleS < DAYS_30;

export const retention = {
  judge: (members) => members.map(({ entry }) => (isWarm(entry) ? { tag: 'keep' } : { tag: 'default' })),
  // Seconds without use; whatever is not warm comes before whatever is.
  rank: (entries) => entries.map((entry) => (isWarm(entry) ? entry.idleS - DAYS_30 : entry.idleS)),
};
