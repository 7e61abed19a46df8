// Retry storms: each request of a save is repeated, reordered or cut off at every point, by a proxy in between. The entry ends up right
// or absent, never wrong; what the client was told is saved is there; and what is absent can be saved.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { MISHAPS, startMeddler } from '../harness/meddler.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { create, fetchEntry, finalize, lookup, putBlob, putBlock, putBlockList } from '../harness/protocol.mjs'
import { NEWEST, restore, save } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer()

const ATTEMPTS = 3
const SAVES_AT_ONCE = 6

/**
 * One request of a save as a client sends it that does not give up at once: again after an error of the network or of the server.
 * Returns the answer, or null.
 */
async function insist(send) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const answer = await send().catch(() => null)
    if (answer && answer.status < 500) return answer
  }
  return null
}

/** Saves by blocks, in one order, listed in another. Tells whether the client would say that it is saved. */
async function saveInBlocks(job, key, content) {
  const created = await insist(() => create(job, key))
  const url = created?.json.signed_upload_url
  if (!url) return false
  const third = Math.ceil(content.length / 3)
  for (const n of [2, 0, 1]) {
    const put = await insist(() => putBlock(url, n, content.subarray(n * third, (n + 1) * third)))
    if (put?.status !== 201) return false
  }
  const listed = await insist(() => putBlockList(url, [0, 1, 2]))
  return listed?.status === 201 && finished(job, key, content)
}

async function saveWhole(job, key, content) {
  const created = await insist(() => create(job, key))
  const url = created?.json.signed_upload_url
  if (!url) return false
  const put = await insist(() => putBlob(url, content))
  return put?.status === 201 && finished(job, key, content)
}

const finished = async (job, key, content) => (await insist(() => finalize(job, key, content.length)))?.json.ok === true

const KINDS = [
  { name: 'a save in blocks', save: saveInBlocks, requests: ['create', 'block 2', 'block 0', 'block 1', 'block list', 'finalize'] },
  { name: 'a save in one piece', save: saveWhole, requests: ['create', 'blob', 'finalize'] },
]

for (const { name, save: saveBy, requests } of KINDS) {
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
        // The client repeats what failed, so that all of this is survived.
        assert.ok(told, `${what}: the save failed`)
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
      if (!found) assert.ok(await saveBy(job, 'stormed', content), `seed ${seed}: the key cannot be saved after`)
      assert.ok((await contentOf(job, 'stormed')).equals(content), `seed ${seed}: bytes that are not those saved`)
    })
  })
}

// Two saves of one key by one job, as a job that is run again makes them, their requests interleaved.
scenario('two saves of one key through one storm: one content, whole, never a mixture', server, async (larder) => {
  await atOnce(MISHAPS, async (mishap) => {
    const job = newJob(larder)
    const contents = [randomBytes(200_000), randomBytes(200_000)]
    await throughMeddler(larder, (at) => (at % 3 === 1 ? mishap : null), async (url) => {
      const again = { ...newJob(larder, { repository: job.repository, validForSeconds: 1800 }), url }
      return Promise.all([saveInBlocks({ ...job, url }, 'twice', contents[0]), saveInBlocks(again, 'twice', contents[1])])
    })
    const found = await contentOf(job, 'twice')
    assert.ok(!found || contents.some((content) => content.equals(found)), `${mishap}: a mixture`)
  })
})

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
      else assert.ok((await save(job, workspace, key)).result > 0, `${what}: the key cannot be saved after`)
    })
  })
}

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
