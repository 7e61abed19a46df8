// Rules of a Larder. Leave out what you do not need; what is not exported stays as it is built in. Other exports are errors.
// Decisions are pure: no clock (there are ages), no network, nothing is remembered from call to call.

/**
 * @typedef {[string, string][]} Pairs  Names and values. Facts of a token, all of them optional (`larder config check`
 *   has the list, `auth.facts`): repository 'octo/hello', ref 'refs/heads/main', event_name 'push', actor 'octocat',
 *   workflow 'CI', workflow_ref 'octo/hello/.github/workflows/ci.yml@refs/heads/main', run_id '123', …
 * @typedef {{ name: string, read: boolean, write: boolean }} Scope  Usually a git ref.
 * @typedef {{ repository: string, scopes: Scope[], claims: Pairs, client: string }} Caller  `repository` is the id in
 *   the token; its name is a fact.
 * @typedef {{ repository: string, scope: string, version: string, key: string, sizeKib: number, ageS: number,
 *   idleS: number, uses?: number, trust: 'low' | 'full', provenance: Pairs }} Entry  Ages in seconds. Keys are as they
 *   were written, and match in any case: compare `key.toLowerCase()`.
 * @typedef {{ entry: Entry, place?: number }} Member  `place`: how many newer ones are in its group.
 * @typedef {{ lifetimeS?: number, labels: Pairs }} Terms  At least 60 seconds; labels are in the provenance of the
 *   entry, as `label.NAME`.
 */

/** @param {Pairs} pairs @param {string} name @returns {string | undefined} */
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1];

/** What a token may do; asked once for each token. */
export const access = {
  /**
   * @param {Caller} caller
   * @returns {{ tag: 'default' } | { tag: 'scopes', val: Scope[] } | { tag: 'deny', val: string }}
   */
  admit({ scopes, claims }) {
    // Pull requests only read.
    const isPull = (value(claims, 'event_name') ?? '').startsWith('pull_request')
      || scopes.some(({ name, write }) => write && name.startsWith('refs/pull/'));
    return isPull
      ? { tag: 'scopes', val: scopes.map((scope) => ({ ...scope, write: false })) }
      : { tag: 'default' };
  },
};

// /** Whether a lookup takes an entry; asked for each that matches, best first. */
// export const restore = {
//   /** @param {Caller} caller @param {Entry} entry @returns {{ tag: 'accept' } | { tag: 'skip', val: string }} */
//   judgeHit: (caller, entry) => ({ tag: 'accept' }),
// };

// /** Whether an entry is saved; asked at the reservation and when all bytes are there. */
// export const save = {
//   /**
//    * @param {Caller} caller @param {string} key @param {string} version @param {number | undefined} sizeKib
//    * @returns {{ tag: 'default' } | { tag: 'accept', val: Terms }
//    *   | { tag: 'refuse', val: string } | { tag: 'refuse-quietly', val: string }}
//    */
//   judgeSave: (caller, key, version, sizeKib) => ({ tag: 'default' }),
// };

// /** What is deleted; asked by the sweep, in pages. As many answers as entries. */
// export const retention = {
//   /** @param {Entry[]} entries @returns {(string | undefined)[]} */
//   group: (entries) => entries.map(() => undefined),
//   /** @param {Member[]} members @returns {({ tag: 'default' } | { tag: 'keep' } | { tag: 'remove', val: string })[]} */
//   judge: (members) => members.map(() => ({ tag: 'default' })),
//   /** @param {Entry[]} entries @returns {number[]} */
//   rank: (entries) => entries.map(({ idleS }) => idleS),
// };
