// Which entry a job is given: restore keys, their order, the newest of several, and text taken literally.
import assert from 'node:assert/strict'
import { newJob, scenario, useServer } from '../harness/suite.mjs'
import { CLIENTS, restore, save } from '../harness/toolkit.mjs'
import { fetchEntry, lookup, store } from '../harness/protocol.mjs'
import { inWorkspace, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer()

for (const client of CLIENTS.slice(0, 2)) {
  scenario(`${client}: a restore key finds the newest entry that starts with it, and names that`, server, async (larder) => {
    const job = newJob(larder)
    const digests = {}
    await inWorkspace(async (workspace) => {
      for (const key of ['deps-a', 'deps-b', 'other-c']) {
        digests[key] = writePayload(workspace, 100)
        await save(job, workspace, key, client)
      }
    })
    await inWorkspace(async (workspace) => {
      const restored = await restore(job, workspace, 'deps-z', { client, restoreKeys: ['none-', 'deps-', 'other-'] })
      assert.equal(restored.result, 'deps-b', restored.output)
      assert.equal(await payloadDigest(workspace), digests['deps-b'])
    })
    await inWorkspace(async (workspace) => {
      assert.equal((await restore(job, workspace, 'deps-a', { client, restoreKeys: ['deps-'] })).result, 'deps-a')
      assert.equal(await payloadDigest(workspace), digests['deps-a'])
    })
  })
}

// Fault 4: GitHub's service compares keys without regard to case, and returns the stored one.
scenario('keys match in any case, and are returned as they were saved', server, async (larder) => {
  const job = newJob(larder)
  await inWorkspace(async (workspace) => {
    writePayload(workspace, 100)
    await save(job, workspace, 'Linux-Deps')
    assert.equal((await restore(job, workspace, 'linux-deps')).result, 'Linux-Deps')
    assert.equal((await restore(job, workspace, 'none', { restoreKeys: ['LINUX'] })).result, 'Linux-Deps')
    assert.equal((await save(job, workspace, 'linux-deps')).result, -1)
  })
})

scenario('an entry of another version is not offered', server, async (larder) => {
  const job = newJob(larder)
  await store(job, 'same-key', Buffer.from('stored under a version that the toolkit does not ask for'))
  await inWorkspace(async (workspace) => {
    const missed = await restore(job, workspace, 'same-key', { restoreKeys: ['same-'] })
    assert.equal(missed.result, null)
    assert.deepEqual([...missed.warnings, ...missed.errors], [])
  })
})

scenario('the key itself is a prefix too, after its exact match', server, async (larder) => {
  const job = newJob(larder)
  await store(job, 'index#9', Buffer.from('9'))
  await store(job, 'index#10', Buffer.from('10'))
  assert.equal((await lookup(job, 'index#')).json.matched_key, 'index#10')
  await store(job, 'index#', Buffer.from('exact'))
  await store(job, 'index#11', Buffer.from('11'))
  assert.equal((await lookup(job, 'index#')).json.matched_key, 'index#')
})

scenario('no character of a key is a wildcard or a path', server, async (larder) => {
  const job = newJob(larder)
  const odd = ['a%b', 'a_b', 'a\\b', "a'b", '../a', '/etc/passwd', 'a b', 'ключ-鍵-🔑', 'a\u0301', 'a"b', 'k'.repeat(512)]
  for (const key of odd) await store(job, key, Buffer.from(`content of ${key}`))
  for (const key of odd) assert.equal(String((await fetchEntry(job, key)).body), `content of ${key}`)
  for (const pattern of ['%', '_', 'a%', 'a__', 'A', '*', 'á']) {
    const found = await lookup(job, pattern)
    const literal = odd.filter((key) => folded(key).startsWith(folded(pattern))).at(-1)
    assert.equal(found.json.matched_key || undefined, literal, `prefix ${pattern}`)
  }
})

/** A key as it is compared: only the letters of ASCII are folded. */
const folded = (key) => key.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
