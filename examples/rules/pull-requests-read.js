// Pull requests only read: what they save cannot reach anybody, and takes no room.
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1] ?? '';
const readOnly = (scope) => ({ ...scope, write: false });

export const access = {
  admit({ scopes, claims }) {
    const isPull = value(claims, 'event_name').startsWith('pull_request')
      || scopes.some(({ name, write }) => write && name.startsWith('refs/pull/'));
    return isPull ? { tag: 'scopes', val: scopes.map(readOnly) } : { tag: 'default' };
  },
};
