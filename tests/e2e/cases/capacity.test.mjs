// Limits of what may be saved, with real clients: what a pull request may not delete, and how each client takes a refusal. (Fault 13.)
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe } from 'node:test'
import { create, finalize, putBlob } from '../harness/protocol.mjs'
import { withSccache } from '../harness/sccache.mjs'
import { cannotControl } from '../harness/server.mjs'
import { occupiedBytes, occupiedBytesAtOnce } from '../harness/stored-objects.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { CLIENTS, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { client } from '../harness/tools.mjs'
import { inWorkspace, MIB, writePayload } from '../harness/workspace.mjs'

const QUOTA_MIB = 12
const MAIN = 'refs/heads/main'
const sccache = client('sccache')

const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-capacity-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** The environment of a server whose file has these lines. */
function configured(name, lines) {
  const file = path.join(folder, `${name}.toml`)
  writeFileSync(file, lines.join('\n'))
  return { LARDER_CONFIG: file }
}

/** Two jobs of a repository: a push to the main branch, and a pull request. */
function jobs(larder) {
  const repository = newRepository()
  const scopes = [['refs/pull/7/merge', READ_WRITE], [MAIN, READ]]
  return { main: newJob(larder, { repository }), pull: newJob(larder, { repository, scopes }) }
}

/** Saves an entry by the protocol alone. Returns whether that was accepted. */
async function saveBytes(job, bytes) {
  const [key, content] = [newKey('filler'), randomBytes(bytes)]
  const created = await create(job, key)
  if (created.status === 507 || created.json.ok === false) return false
  assert.equal(created.status, 200)
  const put = await putBlob(created.json.signed_upload_url, content)
  if (put.status === 507) return false
  assert.equal(put.status, 201)
  assert.equal((await finalize(job, key, content.length)).json.ok, true)
  return true
}

describe('a quota of repositories', { skip: cannotControl }, () => {
  const lines = ['[capacity]', `repository_max_bytes = ${QUOTA_MIB * MIB}`, 'evict_at_percent = 100', 'wait_ms = 1000']
  const server = useServer({ environment: configured('quota', lines) })

  scenario('a pull request that fills its quota deletes its own entries, and none of the main branch', server, async (larder) => {
    const { main, pull } = jobs(larder)
    await inWorkspace(async (workspace) => {
      const keys = []
      for (let n = 0; n < 6; n += 1) {
        writePayload(workspace, MIB)
        keys.push(newKey('main'))
        assert.notEqual((await save(main, workspace, keys[n])).result, -1)
      }
      const own = []
      for (let n = 0; n < 8; n += 1) {
        writePayload(workspace, MIB)
        own.push(newKey('pull'))
        const saved = await save(pull, workspace, own[n])
        assert.notEqual(saved.result, -1, saved.output)
      }
      for (const key of keys) assert.equal((await restore(main, workspace, key)).result, key)
      assert.equal((await restore(pull, workspace, own[0])).result, null)
      assert.equal((await restore(pull, workspace, own[7])).result, own[7])
    })
  })

  scenario('a save for which nothing may go is a warning, and the job goes on', server, async (larder) => {
    const { main, pull } = jobs(larder)
    await inWorkspace(async (workspace) => {
      writePayload(workspace, MIB)
      const kept = newKey('kept')
      assert.notEqual((await save(main, workspace, kept)).result, -1)
      for (let n = 0; n < QUOTA_MIB - 2; n += 1) assert.ok(await saveBytes(main, MIB - 4096))
      for (const name of [...CLIENTS, ...VERSION_1_CLIENTS]) {
        writePayload(workspace, 2 * MIB)
        // Version 1 returns the number of the reservation whatever became of it.
        const key = newKey('refused')
        const refused = await save(pull, workspace, key, name)
        assert.equal((await restore(pull, workspace, key, { client: name, lookupOnly: true })).result ?? null, null, name)
        // In the middle of an upload the newer ones print the SDK's warning, too.
        assert.match(refused.warnings.join('\n'), /full|507/, `${name}: ${refused.output}`)
        assert.ok(refused.warnings.length <= 2, `${name}: ${refused.output}`)
        assert.deepEqual(refused.errors, [], name)
      }
      assert.equal((await restore(main, workspace, kept)).result, kept)
    })
  })

  scenario('sccache compiles all the same where nothing can be saved', server, async (larder) => {
    const { main, pull } = jobs(larder)
    assert.ok(await saveBytes(main, QUOTA_MIB * MIB - 4096))
    await inWorkspace(async (project) => {
      writeFileSync(path.join(project, 'unit.c'), `const char text[] = "${randomBytes(20_000).toString('hex')}";\n`)
      await withSccache(sccache.dir, pull, project, async ({ compile, statistics }) => {
        await compile(['-O1', '-c', 'unit.c', '-o', 'unit.o'])
        const { cache_misses: misses } = await statistics()
        assert.equal(Object.values(misses.counts).reduce((sum, count) => sum + count, 0), 1)
      })
    })
  }, { skip: sccache.skip })
})

describe('a limit of the storage', { skip: cannotControl }, () => {
  const limit = 20 * MIB
  // What nobody sends anything for any more after a crash yields after a second instead of five minutes.
  const lines = ['[capacity]', `max_bytes = ${limit}`, '[retention]', 'idle_upload_ms = 1000']
  const server = useServer({ environment: configured('limit', lines) })

  scenario('200 saves at once, and a server that is killed in between: never more than the limit', server, async (larder) => {
    let most = 0
    const sampler = setInterval(() => (most = Math.max(most, occupiedBytesAtOnce(larder))), 20)
    const job = newJob(larder)
    const one = async () => {
      try {
        return await saveBytes(job, MIB)
      } catch {
        return false
      }
    }
    for (let round = 0; round < 2; round += 1) {
      const saves = Array.from({ length: 200 }, one)
      await new Promise((resolve) => setTimeout(resolve, 300))
      await larder.kill()
      await larder.start()
      await Promise.all(saves)
    }
    clearInterval(sampler)
    // A file takes whole pages, and each upload may have a journal.
    assert.ok(most > 0 && most <= limit + 200 * 8192, `${most} of ${limit}`)
    // What the killed server has left is not in the way for ever: what nobody finished goes first, or with its hour.
    await new Promise((resolve) => setTimeout(resolve, 2000))
    for (let n = 0; n < 30; n += 1) assert.ok(await saveBytes(job, MIB), `${n}`)
    assert.ok(occupiedBytes(larder) <= limit + 40 * 8192)
  })
})
