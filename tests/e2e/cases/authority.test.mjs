// Who may see and write what: scopes of branches and pull requests, repositories, and tokens that are no good.
import assert from 'node:assert/strict'
import { newJob, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { CLIENTS, NEWEST, restore, save } from '../harness/toolkit.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { create, lookup, store } from '../harness/protocol.mjs'
import { inWorkspace, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer()

const WRITE = 2
const MAIN = 'refs/heads/main'
const pullRequest = (number) => [[`refs/pull/${number}/merge`, READ_WRITE], [MAIN, READ]]

/** Jobs of one repository: a push to main and two pull requests against it. */
function jobsOf(larder) {
  const repository = newRepository()
  return {
    repository,
    main: newJob(larder, { repository }),
    pr: newJob(larder, { repository, scopes: pullRequest(1) }),
    sibling: newJob(larder, { repository, scopes: pullRequest(2) }),
  }
}

for (const client of CLIENTS.slice(0, 2)) {
  scenario(`${client}: a pull request reads the base branch and writes only its own scope`, server, async (larder) => {
    const { main, pr, sibling } = jobsOf(larder)
    const found = (job, key) => inWorkspace(async (workspace) => (await restore(job, workspace, key, { client })).result)
    await inWorkspace(async (workspace) => {
      const digest = writePayload(workspace, 1000)
      await save(main, workspace, 'base', client)
      await inWorkspace(async (other) => {
        assert.equal((await restore(pr, other, 'base', { client })).result, 'base')
        assert.equal(await payloadDigest(other), digest)
      })
      assert.ok((await save(pr, workspace, 'own', client)).result > 0)
    })
    assert.equal(await found(pr, 'own'), 'own')
    assert.equal(await found(sibling, 'own'), null)
    assert.equal(await found(main, 'own'), null)
  })
}

scenario('a match by restore key in the own branch wins over an exact one in the default branch', server, async (larder) => {
  const { main, pr } = jobsOf(larder)
  await inWorkspace(async (workspace) => {
    const own = writePayload(workspace, 1000)
    await save(pr, workspace, 'deps-old')
    writePayload(workspace, 1000)
    await save(main, workspace, 'deps-new')
    await inWorkspace(async (other) => {
      assert.equal((await restore(pr, other, 'deps-new', { restoreKeys: ['deps-'] })).result, 'deps-old')
      assert.equal(await payloadDigest(other), own)
    })
  })
})

scenario('the same key may be saved once in each scope, and each job is given its own', server, async (larder) => {
  const { main, pr, sibling } = jobsOf(larder)
  await store(main, 'shared', Buffer.from('of main'))
  await store(pr, 'shared', Buffer.from('of the pull request'))
  assert.equal((await create(pr, 'shared')).status, 409)
  const [ofMain, ofPr, ofSibling] = await Promise.all([main, pr, sibling].map((job) => lookup(job, 'shared')))
  assert.notEqual(ofPr.json.signed_download_url, ofMain.json.signed_download_url)
  assert.equal(new URL(ofSibling.json.signed_download_url).pathname, new URL(ofMain.json.signed_download_url).pathname)
})

scenario('another repository sees nothing, under any scope', server, async (larder) => {
  const { main } = jobsOf(larder)
  await inWorkspace(async (workspace) => {
    writePayload(workspace, 1000)
    await save(main, workspace, 'secret')
    const stranger = newJob(larder)
    const seen = await restore(stranger, workspace, 'secret', { restoreKeys: ['s'] })
    assert.equal(seen.result, null)
    assert.deepEqual(seen.warnings, [])
    assert.ok((await save(stranger, workspace, 'secret')).result > 0)
  })
})

scenario('what a token may only write it may not read', server, async (larder) => {
  const { main, repository } = jobsOf(larder)
  await store(main, 'key', Buffer.from('x'))
  const writer = newJob(larder, { repository, scopes: [[MAIN, WRITE]] })
  const found = await lookup(writer, 'key')
  assert.ok(found.status === 403 || found.json.ok !== true, JSON.stringify(found))
})

for (const client of CLIENTS.slice(0, 2)) {
  scenario(`${client}: a read-only token is refused the save with one warning, and still restores`, server, async (larder) => {
    const { main, repository } = jobsOf(larder)
    const reader = newJob(larder, { repository, scopes: [[MAIN, READ]] })
    await inWorkspace(async (workspace) => {
      writePayload(workspace, 1000)
      await save(main, workspace, 'readable', client)
      const refused = await save(reader, workspace, 'unwritable', client)
      assert.equal(refused.result, -1)
      assert.equal(refused.warnings.length, 1, refused.output)
      assert.match(refused.warnings[0], /cache write denied:/)
      assert.deepEqual(refused.errors, [])
      assert.equal((await restore(reader, workspace, 'readable', { client })).result, 'readable')
      assert.equal((await restore(main, workspace, 'unwritable', { client })).result, null)
    })
  })
}

const forged = (larder, repository) => newJob({ url: larder.url, secret: 'a secret that the server does not know' }, { repository })
const BAD_TOKENS = {
  'a forged signature': forged,
  'a time that is over': (larder, repository) => newJob(larder, { repository, validForSeconds: -7200 }),
  'no form at all': (larder) => ({ url: larder.url, token: 'not-a-token' }),
  'an unsigned algorithm': (larder, repository) => {
    const { token } = newJob(larder, { repository })
    const head = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
    return { url: larder.url, token: `${head}.${token.split('.')[1]}.` }
  },
}

for (const [flaw, badJob] of Object.entries(BAD_TOKENS)) {
  scenario(`a token with ${flaw} is a warning at the job, never a failure, and shows nothing`, server, async (larder) => {
    const { main, repository } = jobsOf(larder)
    await inWorkspace(async (workspace) => {
      writePayload(workspace, 1000)
      await save(main, workspace, 'guarded')
      const job = badJob(larder, repository)
      const restored = await restore(job, workspace, 'guarded', { client: NEWEST })
      assert.equal(restored.result, null)
      assert.equal(restored.warnings.length, 1, restored.output)
      assert.deepEqual(restored.errors, [])
      assert.ok(restored.elapsedMs < 2000, `took ${restored.elapsedMs} ms: the client tried again and again`)
      const saved = await save(job, workspace, 'intruder')
      assert.equal(saved.result, -1)
      assert.deepEqual(saved.errors, [])
      assert.equal((await lookup(main, 'intruder')).json.ok ?? false, false)
    })
  })
}
