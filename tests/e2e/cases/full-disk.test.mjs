// The disk is full, with the database on it: saves are refused at once and say so, reads go on, and when there is room again saves
// work again, without anybody who helps the server. (Fault 13.)
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe } from 'node:test'
import { create, finalize, putBlob } from '../harness/protocol.mjs'
import { cannotControl, startServer } from '../harness/server.mjs'
import { filesBelow } from '../harness/stored-objects.mjs'
import { newJob, newKey, scenario } from '../harness/suite.mjs'
import { CLIENTS, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, MIB, writePayload } from '../harness/workspace.mjs'

const DISK_MIB = 64
const ROUNDS = 3
const REFUSAL_LIMIT_MS = 2000
const RECOVERY_LIMIT_MS = 10_000

const disk = mkdtempSync(path.join(tmpdir(), 'larder-e2e-disk-'))
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', disk]).status === 0
if (!mounted && process.env.CI) throw new Error('nothing can be mounted: under CI it must be possible')
after(() => {
  if (mounted) spawnSync('umount', ['--lazy', disk])
  rmSync(disk, { recursive: true, force: true })
})

/** Starts a server whose home is on the small disk. */
async function startOnDisk() {
  const { TMPDIR } = process.env
  process.env.TMPDIR = disk
  try {
    return await startServer()
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
}

/** Saves entries, large ones and then small ones, until not even a reservation is granted any more. */
async function fill(job) {
  const sizes = [4 * MIB, MIB / 4]
  while (sizes.length > 0) {
    const [key, content] = [newKey('filler'), randomBytes(sizes[0])]
    const created = await create(job, key)
    if (created.status === 507) return
    const put = await putBlob(created.json.signed_upload_url, content)
    if (put.status === 507) {
      sizes.shift()
      continue
    }
    assert.equal(put.status, 201)
    assert.equal((await finalize(job, key, content.length)).json.ok, true)
  }
}

describe('a full disk', { skip: cannotControl || (!mounted && 'nothing can be mounted here') }, () => {
  let server
  before(async () => {
    server = await startOnDisk()
  })
  after(async () => {
    await server?.stop()
  })
  const larder = () => server

  scenario('saves are refused at once with a warning, reads go on, and saves work again when there is room', larder, async () => {
    const job = newJob(server)
    await inWorkspace(async (workspace) => {
      writePayload(workspace, MIB)
      const kept = newKey('kept')
      assert.notEqual((await save(job, workspace, kept)).result, -1)
      const objects = path.join(server.dataDir, 'storage', 'objects')
      const keptFiles = filesBelow(objects)
      for (let round = 0; round < ROUNDS; round++) {
        await fill(job)
        for (const client of [...CLIENTS, ...VERSION_1_CLIENTS]) {
          const refused = await save(job, workspace, newKey('refused'), client)
          assert.ok(refused.elapsedMs < REFUSAL_LIMIT_MS, `${client}: ${refused.elapsedMs} ms`)
          assert.match(refused.warnings.join('\n'), /disk is full/, `${client} printed ${refused.output}`)
        }
        assert.equal((await restore(job, workspace, kept)).result, kept)
        // What an operator does, or the retention in time.
        for (const file of filesBelow(objects)) if (!keptFiles.includes(file)) rmSync(file)
        const key = newKey('again')
        await eventually(RECOVERY_LIMIT_MS, 'a save', async () => (await create(job, key)).status !== 507)
        const again = newKey('again')
        assert.notEqual((await save(job, workspace, again)).result, -1)
        assert.equal((await restore(job, workspace, again)).result, again)
      }
    })
  })
})
