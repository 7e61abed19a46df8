// Two servers on one database and one bucket, as one service: a front gives each request to the other server, so every step of a save
// lands where the step before it did not.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe } from 'node:test'
import { backOff, create, fetchEntry, finalize, lookup, putBlob, putBlock, putBlockList, send, store } from '../harness/protocol.mjs'
import { startReplicas } from '../harness/replicas.mjs'
import { cannotControl } from '../harness/server.mjs'
import { missing } from '../harness/services.mjs'
import { newJob, newKey, scenario } from '../harness/suite.mjs'
import { restore, save } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const PAIRS = [
  { storage: 's3', database: 'postgres', needs: ['LARDER_TEST_S3_ENDPOINT', 'LARDER_TEST_POSTGRES_URL'], sizes: [1, 2 * MIB, 150 * MIB] },
  { storage: 'gcs', database: 'mysql', needs: ['LARDER_TEST_GCS_ENDPOINT', 'LARDER_TEST_MYSQL_URL'], sizes: [2 * MIB] },
]
const RACERS = 32
/** Small blocks are written down for others when none came for a second. */
const SPILLED_MS = 2500

for (const { storage, database, needs, sizes } of PAIRS) {
  const skip = cannotControl || missing(...needs)
  describe(`two replicas on ${storage} and ${database}`, { skip }, () => {
    let replicas
    before(async () => {
      replicas = await startReplicas({ storage, database })
    })
    after(async () => {
      const status = await replicas?.stop()
      if (status && status.code !== 0) throw new Error(`a replica ended with ${JSON.stringify(status)}`)
    })
    const both = () => replicas
    /** The job's view of each replica, not through the front. */
    const views = (job) => replicas.servers.map(({ url }) => ({ ...job, url }))

    for (const size of sizes) {
      scenario(`the toolkit restores the ${size} bytes that it saved through both`, both, async ({ taken }) => {
        const before = [...taken]
        const job = newJob(replicas)
        const key = newKey('content')
        const digest = await inWorkspace(async (workspace) => {
          const written = writePayload(workspace, size)
          const saved = await save(job, workspace, key)
          assert.ok(saved.result > 0, saved.output)
          return written
        })
        for (const view of [job, ...views(job)]) {
          await inWorkspace(async (workspace) => {
            assert.equal((await restore(view, workspace, key)).result, key)
            assert.equal(await payloadDigest(workspace), digest)
          })
        }
        assert.ok(taken.every((requests, n) => requests > before[n]), `one replica had all requests: ${taken}`)
      })
    }

    scenario('twenty blocks of 1 MiB by turns, out of order, every third one twice', both, async () => {
      const job = newJob(replicas)
      const key = newKey('blocks')
      const blocks = Array.from({ length: 20 }, () => randomBytes(MIB))
      const url = (await create(job, key)).json.signed_upload_url
      const order = blocks.map((_, n) => (n * 7) % blocks.length)
      for (const n of order) {
        assert.equal((await putBlock(url, n, blocks[n])).status, 201)
        if (n % 3 === 0) assert.equal((await putBlock(url, n, blocks[n])).status, 201)
      }
      await commitBothWays(job, key, url, blocks)
    })

    scenario('a block sent again with other bytes to the other replica: the later one counts', both, async () => {
      const job = newJob(replicas)
      const key = newKey('again')
      const blocks = [randomBytes(6 * MIB), randomBytes(1000), randomBytes(MIB)]
      const url = (await create(job, key)).json.signed_upload_url
      for (const [n, block] of blocks.entries()) {
        assert.equal((await putBlock(url, n, randomBytes(block.length))).status, 201)
        assert.equal((await putBlock(url, n, block)).status, 201)
      }
      // Before, who commits may know of a small block only what it was sent itself. Clients send the same bytes again.
      await new Promise((resolve) => setTimeout(resolve, SPILLED_MS))
      await commitBothWays(job, key, url, blocks)
    })

    scenario('forty blocks at once, small and large, to both', both, async () => {
      const job = newJob(replicas)
      const key = newKey('at-once')
      const blocks = Array.from({ length: 40 }, (_, n) => randomBytes(n % 8 ? 30_000 + n : 6 * MIB))
      const url = (await create(job, key)).json.signed_upload_url
      const answers = await Promise.all(blocks.map((block, n) => putBlock(url, n, block)))
      assert.deepEqual(answers.filter(({ status }) => status !== 201), [])
      await commitBothWays(job, key, url, blocks)
    })

    /** Sends the block list and the finalize to both replicas, at the same time: both succeed with one entry. */
    async function commitBothWays(job, key, url, blocks) {
      const content = Buffer.concat(blocks)
      const ids = blocks.map((_, n) => n)
      const lists = await Promise.all([putBlockList(url, ids), putBlockList(url, ids)])
      assert.ok(lists.some(({ status }) => status === 201), lists.map(({ status, body }) => `${status} ${body}`).join())
      const finals = await Promise.all(views(job).map((view) => finalize(view, key, content.length)))
      assert.deepEqual(finals.map(({ status }) => status), [200, 200])
      assert.equal(finals[0].json.entry_id, finals[1].json.entry_id)
      for (const view of views(job)) {
        const { status, body } = await fetchEntry(view, key)
        assert.equal(status, 200)
        assert.ok(body.equals(content), 'the content differs')
      }
    }

    scenario('URLs that one replica made are good at the other', both, async () => {
      const job = newJob(replicas)
      const [one, other] = views(job)
      const key = newKey('urls')
      const elsewhere = (url) => url.replace(one.url, other.url)
      const content = randomBytes(10_000)
      const upload = (await create(one, key)).json.signed_upload_url
      assert.ok(upload.startsWith(one.url), upload)
      assert.equal((await putBlob(elsewhere(upload), content)).status, 201)
      assert.equal((await finalize(one, key, content.length)).json.ok, true)
      const download = (await lookup(one, key)).json.signed_download_url
      const there = await send('GET', elsewhere(download))
      assert.deepEqual([there.status, there.body.equals(content)], [200, true])
      const forged = elsewhere(download).replace(/sig=./, (sig) => (sig === 'sig=A' ? 'sig=B' : 'sig=A'))
      assert.notEqual(forged, elsewhere(download), 'the signature is elsewhere')
      assert.equal((await send('GET', forged)).status, 403)
    })

    scenario('32 jobs reserve one key at both: one has it', both, async () => {
      for (const round of [1, 2, 3]) {
        const { repository } = newJob(replicas)
        const key = newKey(`race-${round}`)
        const racers = Array.from({ length: RACERS }, (_, n) => newJob(replicas, { repository, validForSeconds: 3600 + n }))
        const answers = await Promise.all(racers.map((job) => create(job, key)))
        const statuses = answers.map(({ status }) => status).sort()
        assert.deepEqual(statuses, [200, ...Array(RACERS - 1).fill(409)])
      }
    })

    // Fault 1: all processes of a job have one token.
    scenario('32 processes of one job reserve one key at both: one has it; of 32 that look like a retry, too', both, async () => {
      const job = newJob(replicas)
      const key = newKey('one-token')
      const race = async () => Promise.all(Array.from({ length: RACERS }, () => create(job, key)))
      const paths = []
      for (let round = 0; round < 2; round += 1) {
        const answers = await race()
        assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(RACERS - 1).fill(409)])
        paths.push(new URL(answers.find(({ status }) => status === 200).json.signed_upload_url).pathname)
        await backOff()
      }
      assert.equal(paths[0], paths[1])
    })

    scenario('32 finalizes of one upload at both: one entry', both, async () => {
      const job = newJob(replicas)
      const key = newKey('finalized')
      await putBlob((await create(job, key)).json.signed_upload_url, Buffer.from('content'))
      const answers = await Promise.all(Array.from({ length: RACERS }, () => finalize(job, key, 7)))
      assert.deepEqual(answers.filter(({ status }) => status !== 200), [])
      assert.equal(new Set(answers.map(({ json }) => json.entry_id)).size, 1)
    })

    scenario('two jobs save one key with different contents at both: one content, whole', both, async () => {
      const { repository } = newJob(replicas)
      const key = newKey('contents')
      const contents = [randomBytes(300_000), randomBytes(300_000)]
      const jobs = contents.map((_, n) => newJob(replicas, { repository, validForSeconds: 3600 + n }))
      const saves = await Promise.allSettled(jobs.map((job, n) => store(job, key, contents[n])))
      const winners = contents.filter((_, n) => saves[n].status === 'fulfilled')
      assert.equal(winners.length, 1)
      for (const view of views(jobs[0])) assert.ok((await fetchEntry(view, key)).body.equals(winners[0]))
    })

    for (const spilled of [false, true]) {
      const when = spilled ? 'long after' : 'right after'
      scenario(`a replica is killed ${when} it took blocks: the entry is right or absent, and others can be saved`, both, async () => {
        const [doomed, survivor] = replicas.servers
        const job = newJob(survivor)
        let key = newKey('killed')
        const blocks = [randomBytes(6 * MIB), randomBytes(40_000), randomBytes(6 * MIB), randomBytes(50_000)]
        const content = Buffer.concat(blocks)
        const url = (await create({ ...job, url: doomed.url }, key)).json.signed_upload_url
        const there = url.replace(doomed.url, survivor.url)
        for (const [n, block] of blocks.entries()) {
          assert.equal((await putBlock(n % 2 ? there : url, n, block)).status, 201)
          // The small ones go to the one that is killed, too.
          if (n % 2) assert.equal((await putBlock(url, n + 10, block)).status, 201)
        }
        if (spilled) await new Promise((resolve) => setTimeout(resolve, SPILLED_MS))
        await doomed.kill()
        try {
          const listed = await putBlockList(there, [0, 11, 2, 13])
          if (spilled) assert.equal(listed.status, 201, String(listed.body))
          const finalized = await finalize(job, key, content.length)
          if (listed.status === 201) {
            assert.equal(finalized.json.ok, true)
            assert.ok((await fetchEntry(job, key)).body.equals(content))
          } else {
            assert.equal(listed.status, 400, String(listed.body))
            assert.notEqual(finalized.json.ok, true)
            assert.equal((await lookup(job, key)).json.ok, false)
            // Until the upload is idle, its slot is held: a second save cannot be told from another saver.
            assert.equal((await create(job, key)).status, 409)
            key = newKey('after')
            await store(job, key, content)
          }
        } finally {
          await doomed.start()
        }
        for (const view of views(job)) assert.ok((await fetchEntry(view, key)).body.equals(content))
      })
    }

    scenario('a replica stops in the middle of an upload: the other one goes on with it', both, async () => {
      const [leaving, staying] = replicas.servers
      const job = newJob(staying)
      const key = newKey('rolled')
      const blocks = [randomBytes(20_000), randomBytes(MIB), randomBytes(30_000)]
      const url = (await create({ ...job, url: leaving.url }, key)).json.signed_upload_url
      for (const n of [0, 1]) assert.equal((await putBlock(url, n, blocks[n])).status, 201)
      leaving.signal('SIGTERM')
      await leaving.ended
      const there = url.replace(leaving.url, staying.url)
      try {
        assert.equal((await putBlock(there, 2, blocks[2])).status, 201)
        assert.equal((await putBlockList(there, [0, 1, 2])).status, 201)
        const content = Buffer.concat(blocks)
        assert.equal((await finalize(job, key, content.length)).json.ok, true)
        assert.ok((await fetchEntry(job, key)).body.equals(content))
      } finally {
        await leaving.start()
      }
    })
  })
}
