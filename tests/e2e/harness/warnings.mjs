// The server's warnings: what an operator is told, once and not more, about a stale entry.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { eventually } from './waiting.mjs'

const ARRIVAL_LIMIT_MS = 3_000

/** The warnings in the log so far, without their times and the ids of their requests. */
const warnings = (server) =>
  server
    .log()
    .split('\n')
    .filter((line) => /\bWARN\b/.test(line))
    .map((line) => line.replace(/^\S+\s+/, '').replace(/request\{[^}]*\}: /, ''))

/**
 * Declares that the file counts warnings, after `useServer`. Returns `expectWarnings(count, body)`, which runs `body` and fails where
 * the server does not warn exactly that often. A repeat may be logged late, so once the server has ended each warning seen
 * must stand in the whole log as often as it was expected.
 */
export function useWarnings(server) {
  const expected = []
  after(() => {
    if (expected.length === 0) return
    const repeated = warnings(server()).filter((line) => expected.includes(line))
    assert.deepEqual(repeated.toSorted(), expected.toSorted())
  })
  return async (count, body) => {
    if (!server().hasLog) return body()
    const before = warnings(server()).length
    const result = await body()
    const seen = () => warnings(server()).slice(before)
    await eventually(ARRIVAL_LIMIT_MS, `${count} warnings`, () => seen().length >= count)
    assert.equal(seen().length, count, `warnings:\n${seen().join('\n')}`)
    expected.push(...seen())
    return result
  }
}
