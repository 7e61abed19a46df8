// Runtime tokens as a CI platform would issue them, signed with the HS256 secret of the server under test.
import { createHmac } from 'node:crypto'

/** What a scope of a token permits (protocol: bit 1 read, bit 2 write). */
export const READ = 1
export const READ_WRITE = 3

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * Returns a token for `repository` with the given scopes, in their order.
 * `scopes` is a list of [scope, permission]; `validForSeconds` may be negative for a token that has expired;
 * `claims` are more claims, or others in place of these.
 */
export function mintToken({ secret, repository, scopes, validForSeconds = 3600, claims: others = {} }) {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    ac: JSON.stringify(scopes.map(([Scope, Permission]) => ({ Scope, Permission }))),
    repository_id: repository,
    nbf: now + Math.min(0, validForSeconds) - 600,
    exp: now + validForSeconds,
    ...others,
  }
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
