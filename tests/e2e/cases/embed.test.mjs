// examples/embed: a CI platform of its own, with its own tokens and its own storage, that has Larder mounted in its server.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { keepRunning, plainEnvironment, untilReady } from '../harness/processes.mjs'
import { cannotControl, exampleBinary } from '../harness/server.mjs'
import { newKey, newRepository } from '../harness/suite.mjs'
import { CLIENTS, NEWEST, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const LIMIT_MS = 120_000
const START_LIMIT_MS = 60_000
const MAIN = 'refs/heads/main'
const BRANCH = 'refs/heads/topic'

let home
let platform
let url
before(async () => {
  if (cannotControl) return
  home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-embed-'))
  await start()
})
after(async () => {
  const status = await platform?.stop()
  if (home) rmSync(home, { recursive: true, force: true })
  if (status && status.code !== 0) throw new Error(`the platform ended with ${JSON.stringify(status)}`)
})

function log() {
  return readFileSync(path.join(home, 'log'), 'utf8')
}

async function start() {
  const file = path.join(home, 'log')
  const logged = existsSync(file) ? log().length : 0
  platform = keepRunning(exampleBinary('embed'), [path.join(home, 'data')], file, { env: plainEnvironment() })
  const announced = () => log().slice(logged).match(/listening on (http:\/\/127\.0\.0\.1:\d+)/)
  url = (await untilReady(START_LIMIT_MS, 'the platform', platform, announced))[1]
}

const post = (target, message) =>
  fetch(`${url}${target}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(10_000),
  })

/** A job of the platform, which gives it a token. */
async function beginJob(repository, branch = MAIN) {
  const response = await post('/jobs', { repository, branch })
  assert.equal(response.status, 201)
  return { url, token: (await response.json()).token }
}

function onPlatform(name, body) {
  test(name, { skip: cannotControl, timeout: LIMIT_MS }, async () => {
    try {
      await body()
    } catch (error) {
      console.error(`--- log of the platform\n${log()}\n---`)
      throw error
    }
  })
}

async function saved(job, key, size, client) {
  return inWorkspace(async (workspace) => {
    const written = writePayload(workspace, size)
    const result = await save(job, workspace, key, client)
    assert.ok(result.result > 0, result.output)
    assert.deepEqual(result.warnings, [])
    return written
  })
}

async function restored(job, key, client) {
  return inWorkspace(async (workspace) => {
    const result = await restore(job, workspace, key, { client })
    assert.deepEqual(result.warnings, [], result.output)
    return result.result && (await payloadDigest(workspace))
  })
}

for (const [client, size] of [...CLIENTS.map((client) => [client, 2 * MIB]), [NEWEST, 140 * MIB], [VERSION_1_CLIENTS[0], 70 * MIB]]) {
  onPlatform(`a job saves and restores ${size / MIB} MiB with ${client}`, async () => {
    const repository = newRepository()
    const key = newKey('embedded')
    const digest = await saved(await beginJob(repository), key, size, client)
    assert.equal(await restored(await beginJob(repository), key, client), digest)
  })
}

onPlatform('a branch restores what the default branch saved, and not the other way round; no repository sees another', async () => {
  const repository = newRepository()
  const [ofMain, ofBranch] = [newKey('main'), newKey('branch')]
  const digest = await saved(await beginJob(repository), ofMain, 1000)
  await saved(await beginJob(repository, BRANCH), ofBranch, 1000)
  assert.equal(await restored(await beginJob(repository, BRANCH), ofMain), digest)
  assert.equal(await restored(await beginJob(repository), ofBranch), null)
  assert.equal(await restored(await beginJob(newRepository()), ofMain), null)
})

onPlatform('a token is good for nothing once its job has ended', async () => {
  const repository = newRepository()
  const job = await beginJob(repository)
  assert.equal((await post('/jobs/end', { token: job.token })).status, 204)
  const answer = await fetch(`${url}/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL`, {
    method: 'POST',
    headers: { authorization: `Bearer ${job.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key: 'any', version: 'v' }),
    signal: AbortSignal.timeout(10_000),
  })
  assert.equal(answer.status, 401)
})

// Its storage is in memory, and its index is not.
onPlatform('after a restart what is gone is a miss, and can be saved again', async () => {
  const repository = newRepository()
  const key = newKey('gone')
  await saved(await beginJob(repository), key, 1000)
  assert.equal((await platform.stop()).code, 0)
  await start()
  assert.equal(await restored(await beginJob(repository), key), null)
  const digest = await saved(await beginJob(repository), key, 3000)
  assert.equal(await restored(await beginJob(repository), key), digest)
})
