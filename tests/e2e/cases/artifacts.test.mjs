// @actions/artifact, whose calls are not for the cache: they go to the real results service unchanged. Here a small one stands in for it.
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { startResultsService } from '../harness/results-service.mjs'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob } from '../harness/suite.mjs'
import { callPackage } from '../harness/toolkit.mjs'
import { inWorkspace, MIB } from '../harness/workspace.mjs'

let upstream
let server
before(async () => {
  if (cannotControl) return
  upstream = await startResultsService()
  server = await startServer({ upstream: upstream.url })
})
after(async () => {
  await server?.stop()
  await upstream?.stop()
})

const FILES = { 'small.txt': Buffer.from('a small file'), 'folder/large.bin': randomBytes(20 * MIB) }

/** A scenario that shows the server's log when it fails. */
function passing(name, body) {
  test(name, { skip: cannotControl, timeout: 60_000 }, async () => {
    try {
      await body()
    } catch (error) {
      console.error(`--- log of the server\n${logTail(server)}\n---`)
      throw error
    }
  })
}

passing('@actions/artifact uploads and downloads an artifact through the server, content equal', async () => {
  const job = newArtifactJob()
  const id = await upload(job, server.url, 'through')
  await inWorkspace(async (workspace) => {
    const found = await call(job, server.url, workspace, 'getArtifact', ['through'])
    assert.equal(found.artifact.id, id)
    await call(job, server.url, workspace, 'downloadArtifact', [id, { path: path.join(workspace, 'got') }])
    for (const [name, content] of Object.entries(FILES)) {
      assert.ok(readFileSync(path.join(workspace, 'got', name)).equals(content), name)
    }
    const deleted = await call(job, server.url, workspace, 'deleteArtifact', ['through'])
    assert.equal(deleted.id, id)
    const listed = await call(job, server.url, workspace, 'listArtifacts', [])
    assert.deepEqual(listed.artifacts, [])
  })
})

passing("@actions/artifact's calls reach the results service as if the server were not there", async () => {
  const job = newArtifactJob()
  const recorded = async (url) => {
    const since = upstream.calls.length
    // As it is, not zipped: a zip file has times in it, so its hash in the calls is another one each time.
    await upload(job, url, 'small.txt', { skipArchive: true })
    await inWorkspace((workspace) => call(job, url, workspace, 'deleteArtifact', ['small.txt']))
    return upstream.calls.slice(since)
  }
  const direct = await recorded(upstream.url)
  const through = await recorded(server.url)
  assert.equal(direct.length, 4, JSON.stringify(direct))
  assert.deepEqual(through, direct)
})

/** A job whose token names the run and the job, as that of GitHub does; each sees its own artifacts. */
function newArtifactJob() {
  return newJob(server, { claims: { scp: `Actions.Example Actions.Results:${randomUUID()}:${randomUUID()}` } })
}

async function upload(job, url, name, options = {}) {
  return inWorkspace(async (workspace) => {
    const contents = Object.entries(FILES).filter(([file]) => !options.skipArchive || file === name)
    const files = contents.map(([file, content]) => {
      const full = path.join(workspace, 'artifact', file)
      mkdirSync(path.dirname(full), { recursive: true })
      writeFileSync(full, content)
      return full
    })
    const { id } = await call(job, url, workspace, 'uploadArtifact', [name, files, path.join(workspace, 'artifact'), options])
    assert.ok(id > 0)
    return id
  })
}

async function call(job, url, workspace, method, parameters) {
  const request = { package: '@actions/artifact', of: 'DefaultArtifactClient', call: method, arguments: parameters }
  const environment = {
    ACTIONS_RESULTS_URL: `${url}/`,
    ACTIONS_RUNTIME_TOKEN: job.token,
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: 'owner/name',
    GITHUB_RUN_ID: '1',
  }
  const answer = await callPackage(workspace, request, environment)
  assert.deepEqual([...answer.warnings, ...answer.errors], [], answer.output)
  return answer.result
}
