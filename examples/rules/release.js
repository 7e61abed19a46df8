// Releases restore only what protected branches saved: neither a pull request nor a feature branch can put
// anything into a release.
const PROTECTED = ['refs/heads/main', 'refs/heads/stable'];
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1] ?? '';
const isRelease = ({ scopes, claims }) =>
  value(claims, 'workflow') === 'release'
  || scopes.some(({ name, write }) => write && name.startsWith('refs/tags/'));

export const access = {
  admit: (caller) =>
    isRelease(caller)
      ? { tag: 'scopes', val: caller.scopes.filter(({ name }) => PROTECTED.includes(name)) }
      : { tag: 'default' },
};

// A second line of defence: what was saved in a protected branch by a job whose ref was not.
export const restore = {
  judgeHit: (caller, { provenance }) =>
    isRelease(caller) && value(provenance, 'ref_protected') !== 'true'
      ? { tag: 'skip', val: 'not saved by a job of a protected ref' }
      : { tag: 'accept' },
};
