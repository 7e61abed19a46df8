// Retry storms: each request of a save is repeated, reordered or cut off at every point, by a proxy in between. The entry ends up right
// or absent, never wrong; what the client was told is saved is there; and what is absent can be saved.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { MISHAPS, startMeddler } from '../harness/meddler.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import {
  appendBlock, backOff, commit, create, createAppendBlob, fetchEntry, finalize, lookup, patch, putBlob, putBlock, putBlockList, reserve, sealAppendBlob,
} from '../harness/protocol.mjs'
import { NEWEST, restore, save } from '../harness/toolkit.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

// A save that broke off holds its slot until it is idle: nothing tells the next one from another saver with the same token.
const IDLE_MS = 2000
const YIELD_LIMIT_MS = 30_000
const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-storm-'))
writeFileSync(path.join(folder, 'larder.toml'), `[retention]\nidle_upload_ms = ${IDLE_MS}\n`)
after(() => rmSync(folder, { recursive: true, force: true }))
const server = useServer({ environment: { LARDER_CONFIG: path.join(folder, 'larder.toml') } })

const ATTEMPTS = 3
const SAVES_AT_ONCE = 6

/**
 * One request of a save as a client sends it that does not give up at once: again after an error of the network or of the server, and
 * after `pause`. Returns the answer, or null.
 */
async function insist(send, pause = async () => {}) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt > 0) await pause()
    const answer = await send().catch(() => null)
    if (answer && answer.status < 500) return answer
  }
  return null
}

/** Sends the requests one after the other, as long as each has the status expected. Tells whether all had it. */
async function allAnswered(status, requests) {
  for (const request of requests) if ((await insist(request))?.status !== status) return false
  return true
}

const thirds = (content) => [0, 1, 2].map((n) => Math.ceil(content.length / 3) * n)
const part = (content, n) => content.subarray(thirds(content)[n], thirds(content)[n + 1])

// Each saves the content, and tells whether the client would say that it is saved.

async function saveInBlocks(job, key, content) {
  const url = await uploadUrl(job, key)
  const blocks = [2, 0, 1].map((n) => () => putBlock(url, n, part(content, n)))
  return url && (await allAnswered(201, [...blocks, () => putBlockList(url, [0, 1, 2])])) && finished(job, key, content)
}

async function saveWhole(job, key, content) {
  const url = await uploadUrl(job, key)
  return url && (await allAnswered(201, [() => putBlob(url, content)])) && finished(job, key, content)
}

async function saveByAppending(job, key, content) {
  const url = await uploadUrl(job, key)
  const appends = [0, 1, 2].map((n) => () => appendBlock(url, part(content, n)))
  if (!url || !(await allAnswered(201, [() => createAppendBlob(url), ...appends]))) return false
  return (await allAnswered(200, [() => sealAppendBlob(url)])) && finished(job, key, content)
}

async function saveByVersion1(job, key, content) {
  const id = (await insist(() => reserve(job, key), backOff))?.json.cacheId
  const chunks = [2, 0, 1].map((n) => () => patch(job, id, thirds(content)[n], part(content, n)))
  return id && allAnswered(204, [...chunks, () => commit(job, id, content.length)])
}

const uploadUrl = async (job, key) => (await insist(() => create(job, key), backOff))?.json.signed_upload_url
const finished = async (job, key, content) => (await insist(() => finalize(job, key, content.length)))?.json.ok === true

// What clients repeat may be repeated; an append that is made twice is in the blob twice, so such a save fails at the end.
const KINDS = [
  { name: 'a save in blocks', save: saveInBlocks, requests: ['create', 'block 2', 'block 0', 'block 1', 'block list', 'finalize'] },
  { name: 'a save in one piece', save: saveWhole, requests: ['create', 'blob', 'finalize'] },
  { name: 'a save by version 1', save: saveByVersion1, requests: ['reserve', 'chunk 2', 'chunk 0', 'chunk 1', 'commit'] },
  {
    name: 'a save by appending', save: saveByAppending, mayFail: true,
    requests: ['create', 'create append blob', 'append 0', 'append 1', 'append 2', 'seal', 'finalize'],
  },
]

// Whose reservation comes twice is told that somebody has it: its own other one.
const REFUSED_TWICE = ['sent twice', 'sent twice at once']

for (const { name, save: saveBy, requests, mayFail } of KINDS) {
  for (const [n, request] of requests.entries()) {
    scenario(`${name}, ${request}: whatever happens to it, the entry is right or absent, never wrong`, server, async (larder) => {
      await atOnce(MISHAPS, async (mishap) => {
        const job = newJob(larder)
        const content = randomBytes(300_001)
        const told = await throughMeddler(larder, (at) => (at === n ? mishap : null), async (url) => {
          return saveBy({ ...job, url }, 'stormed', content)
        })
        const what = `${request} ${mishap}`
        const found = await contentOf(job, 'stormed', what)
        if (told) assert.ok(found, `${what}: the client was told that it is saved, and it is not`)
        if (found) assert.ok(found.equals(content), `${what}: ${found.length} bytes that are not those saved`)
        const refused = n === 0 && REFUSED_TWICE.includes(mishap)
        assert.ok(told || mayFail || refused, `${what}: the save failed, although the client repeats what failed`)
        if (!found && !mayFail) await assertSavedLater(() => saveBy(job, 'stormed', content), what)
      })
    })
  }

  scenario(`${name}, everything at once: each request has a mishap of its own`, server, async (larder) => {
    await atOnce(Array.from({ length: 40 }, (_, seed) => seed), async (seed) => {
      const job = newJob(larder)
      const content = randomBytes(100_000 + seed)
      const plan = (at) => MISHAPS[(at * 7 + seed * 3) % MISHAPS.length]
      const told = await throughMeddler(larder, plan, (url) => saveBy({ ...job, url }, 'stormed', content))
      const found = await contentOf(job, 'stormed', `seed ${seed}`)
      assert.ok(found || !told, `seed ${seed}: the client was told that it is saved, and it is not`)
      if (!found) await assertSavedLater(() => saveBy(job, 'stormed', content), `seed ${seed}`)
      assert.ok((await contentOf(job, 'stormed')).equals(content), `seed ${seed}: bytes that are not those saved`)
    })
  })
}

// Two saves of one key, by a job that is run again or by two processes of one job, their requests interleaved. (Fault 1.)
for (const [whose, second] of [['two jobs', { validForSeconds: 1800 }], ['one job', null]]) {
  for (const { name, save: saveBy } of KINDS) {
    scenario(`${name} and another by ${whose}, one key, through one storm: one content, whole, never a mixture`, server, async (larder) => {
      await atOnce(MISHAPS, async (mishap) => {
        const job = newJob(larder)
        const contents = [randomBytes(200_000), randomBytes(200_000)]
        const other = second ? newJob(larder, { repository: job.repository, ...second }) : job
        const told = await throughMeddler(larder, (at) => (at % 3 === 1 ? mishap : null), (url) =>
          Promise.all([saveBy({ ...job, url }, 'twice', contents[0]), saveBy({ ...other, url }, 'twice', contents[1])]))
        const found = await contentOf(job, 'twice')
        assert.ok(!found || contents.some((content) => content.equals(found)), `${mishap}: a mixture`)
        told.forEach((saved, n) => assert.ok(!saved || (found && contents[n].equals(found)), `${mishap}: told that it is saved, and it is not`))
      })
    })
  }
}

// The toolkit repeats some calls itself, after seconds. These mishaps are one of each kind.
const TOOLKIT_MISHAPS = [
  'cut off in its body', 'whose answer is lost', 'whose answer is cut off in the middle', 'sent twice', 'sent again at the end',
]
for (const [n, request] of ['create', 'upload', 'finalize'].entries()) {
  scenario(`${NEWEST}, ${request}: whatever happens to it, the entry is right or absent, never wrong`, server, async (larder) => {
    await atOnce(TOOLKIT_MISHAPS, (mishap) => toolkitThroughStorm(larder, 50_000, (at) => (at === n ? mishap : null), mishap))
  })
}

scenario(`${NEWEST}, an upload of several blocks through a storm: right or absent, never wrong`, server, async (larder) => {
  const mishaps = { 1: 'cut off in its body', 2: 'whose answer is lost', 4: 'sent again at the end', 5: 'sent twice' }
  await toolkitThroughStorm(larder, 136 * MIB, (at) => mishaps[at], 'several')
})

async function toolkitThroughStorm(larder, size, plan, what) {
  const job = newJob(larder)
  const key = newKey('toolkit')
  await inWorkspace(async (workspace) => {
    const digest = writePayload(workspace, size)
    const saved = await throughMeddler(larder, plan, (url) => save({ ...job, url }, workspace, key).catch(orForgotten))
    assert.deepEqual(saved.errors, [], `${what}: an error stands at the job`)
    await inWorkspace(async (other) => {
      const restored = await restore(job, other, key)
      if (saved.result > 0) assert.equal(restored.result, key, `${what}: the job was told that it is saved, and it is not`)
      if (restored.result) assert.equal(await payloadDigest(other), digest, `${what}: bytes that are not those saved`)
      else await assertSavedLater(async () => (await save(job, workspace, key)).result > 0, what)
    })
  })
}

/** Once the upload that broke off is idle, or at once where nothing of it came, the key can be saved. */
const assertSavedLater = (saveAgain, what) =>
  eventually(YIELD_LIMIT_MS, `${what}: the key can be saved after`, async () => (await saveAgain()) || (await backOff()))

/** The package does not look at answers that break off: its process then ends in the middle of the call, with this status of Node's. */
function orForgotten(error) {
  if (!/ended with 13\n/.test(error.message)) throw error
  return { result: -1, errors: [] }
}

/** Calls `body` with the address of a meddler; returns what that returns, once everything late has arrived at the server. */
async function throughMeddler(larder, plan, body) {
  let mishaps = 0
  const meddler = await startMeddler(larder.url, (n, request) => {
    const mishap = plan(n, request)
    if (mishap) mishaps += 1
    return mishap
  })
  try {
    const result = await body(meddler.url)
    await meddler.settle()
    assert.ok(mishaps > 0, `nothing happened to any of ${meddler.seen}`)
    return result
  } finally {
    await meddler.stop()
  }
}

/** The content of the entry, or null where a look-up misses. */
async function contentOf(job, key, what) {
  const { json } = await lookup(job, key)
  if (!json.ok) return null
  const answer = await fetchEntry(job, key)
  assert.equal(answer.status, 200, what)
  return answer.body
}

/** Calls `body` for each, some at once. */
async function atOnce(items, body) {
  const left = [...items]
  const worker = async () => {
    while (left.length) await body(left.shift())
  }
  await Promise.all(Array.from({ length: SAVES_AT_ONCE }, worker))
}
