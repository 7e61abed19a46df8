// Objects whose bytes change in the storage: a scrub finds them, and repairs them to misses. A client never gets wrong bytes after it.
import assert from 'node:assert/strict'
import { cannotControl, cannotWipe } from '../harness/server.mjs'
import { flipBit, objectsOfEntry } from '../harness/stored-objects.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { NEWEST, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const KEY = 'the key of an administrator'
const server = useServer({
  environment: { MANAGEMENT_API_KEY: KEY, LARDER_MANAGEMENT_LISTEN: 'off', LARDER_STORAGE_DIGESTS: 'on' },
})
const SCRUB_LIMIT_MS = 60_000

async function ask(larder, method, body) {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const answer = await fetch(`${larder.url}/api/v1/scrub`, { method, headers, body: body && JSON.stringify(body) })
  assert.ok(answer.ok, `${method}: ${answer.status}`)
  return answer.json()
}

/** Scrubs what the repository of a job has, and returns what was found. */
async function scrub(larder, job, options) {
  await ask(larder, 'POST', { repository: job.repository, ...options })
  const ended = async () => {
    const status = await ask(larder, 'GET')
    return !status.running && status
  }
  const status = await eventually(SCRUB_LIMIT_MS, 'the end of the scrub', ended)
  assert.ok(status.complete, JSON.stringify(status))
  return status
}

const saved = (job, key, size, client) => inWorkspace(async (workspace) => {
  const digest = writePayload(workspace, size)
  const { result, output } = await save(job, workspace, key, client)
  assert.ok(result > 0, output)
  return digest
})

const restored = (job, key, client) => inWorkspace(async (workspace) => {
  const { result } = await restore(job, workspace, key, { client })
  return result === null ? null : payloadDigest(workspace)
})

// In one request, in three blocks at once, and in chunks of version 1.
for (const [client, size] of [[NEWEST, MIB], [NEWEST, 136 * MIB], [VERSION_1_CLIENTS[0], 40 * MIB]]) {
  scenario(`${client}, ${size / MIB} MiB: a flipped bit is found, and becomes a miss`, server, async (larder) => {
    const [job, key] = [newJob(larder), newKey('scrubbed')]
    const kept = await saved(job, 'kept', MIB, client)
    const objects = await objectsOfEntry(larder, () => saved(job, key, size, client))
    const good = await scrub(larder, job)
    assert.deepEqual([good.checked, good.bad, good.unrecorded], [2, 0, 0])
    await flipBit(larder, objects)
    const found = await scrub(larder, job)
    assert.deepEqual([found.bad, found.repaired, found.bad_entries[0].key], [1, 0, key])
    assert.equal((await scrub(larder, job, { repair: true })).repaired, 1)
    assert.equal(await restored(job, key, client), null)
    assert.equal(await restored(job, 'kept', client), kept)
    const again = await saved(job, key, MIB, client)
    assert.equal(await restored(job, key, client), again)
    assert.equal((await scrub(larder, job)).bad, 0)
  }, { skip: cannotControl || cannotWipe })
}
