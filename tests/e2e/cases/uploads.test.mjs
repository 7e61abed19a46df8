// Uploads as clients make them on a bad day: repeated, out of order, cut off.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe } from 'node:test'
import { READ_WRITE } from '../harness/tokens.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { cannotControl, cannotWipe, startServer } from '../harness/server.mjs'
import {
  backOff, beginPut, blockUrl, create, fetchEntry, finalize, lookup, putBlob, putBlock, putBlockList, patch, putHalf, reserve, send, store,
} from '../harness/protocol.mjs'
import { occupiedBytes } from '../harness/stored-objects.mjs'
import { eventually } from '../harness/waiting.mjs'
import { MIB } from '../harness/workspace.mjs'

const server = useServer()

/** A job, a new key and its upload URL. */
async function begin(larder) {
  const job = newJob(larder)
  const key = newKey('upload')
  const created = await create(job, key)
  assert.equal(created.status, 200, JSON.stringify(created.json))
  return { job, key, url: created.json.signed_upload_url }
}

const assertContent = async (job, key, content) => {
  const { status, headers, body } = await fetchEntry(job, key)
  assert.equal(status, 200)
  assert.equal(headers['content-length'], String(content.length))
  assert.ok(body.equals(content), `${body.length} bytes that differ from the ${content.length} saved`)
}

const assertRefusedList = (answer) => {
  assert.equal(answer.status, 400)
  assert.equal(answer.headers['x-ms-error-code'], 'InvalidBlockList')
  assert.match(String(answer.body), /<Code>InvalidBlockList<\/Code>/)
}

// Fault 1: all processes of a job have one token.
scenario('of ten creates at once with one token, one gets the upload; a retry after the back-off gets the same one', server, async (larder) => {
  const job = newJob(larder)
  const answers = await Promise.all(Array.from({ length: 10 }, () => create(job, 'raced')))
  assert.deepEqual(answers.map(({ status }) => status).toSorted((a, b) => a - b), [200, ...Array(9).fill(409)])
  const refused = answers.find(({ status }) => status === 409)
  assert.equal(refused.json.code, 'already_exists')
  const { signed_upload_url: first } = answers.find(({ status }) => status === 200).json
  await backOff()
  const again = await create(job, 'raced')
  assert.equal(again.status, 200)
  const url = again.json.signed_upload_url
  assert.equal(new URL(url).pathname, new URL(first).pathname)
  assert.equal((await putBlob(first, Buffer.from('by the first URL'))).status, 409)
  await putBlob(url, Buffer.from('by the second URL'))
  assert.equal((await finalize(job, 'raced', 17)).json.ok, true)
  assert.equal((await create(job, 'raced')).status, 409)
  await assertContent(job, 'raced', Buffer.from('by the second URL'))
})

// Fault 1: half a body is known to this server only, and not yet in its index.
scenario('an upload of which half a body has arrived is not handed out again', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const content = randomBytes(MIB)
  const upload = beginPut(url, content)
  try {
    await upload.half
    await backOff()
    assert.equal((await create(job, key)).status, 409)
  } finally {
    assert.equal((await upload.finish()).status, 201)
  }
  assert.equal((await finalize(job, key, content.length)).json.ok, true)
  await assertContent(job, key, content)
})

scenario('create with another token is refused while the upload is under way', server, async (larder) => {
  const repository = newRepository()
  const first = newJob(larder, { repository })
  const second = newJob(larder, { repository, validForSeconds: 1800 })
  assert.equal((await create(first, 'contended')).status, 200)
  const refused = await create(second, 'contended')
  assert.equal(refused.status, 409)
  assert.equal(refused.json.code, 'already_exists')
  const elsewhere = newJob(larder, { repository, scopes: [['refs/heads/other', READ_WRITE]] })
  assert.equal((await create(elsewhere, 'contended')).status, 200)
})

scenario('of ten jobs that create one key at once, one gets it', server, async (larder) => {
  const repository = newRepository()
  const jobs = Array.from({ length: 10 }, (_, n) => newJob(larder, { repository, validForSeconds: 1000 + n }))
  const statuses = (await Promise.all(jobs.map((job) => create(job, 'race')))).map((answer) => answer.status)
  assert.deepEqual(statuses.toSorted((a, b) => a - b), [200, ...Array(9).fill(409)])
})

scenario('finalize twice gives the same id; a wrong size is refused and nothing is offered', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  await putBlob(url, Buffer.from('12345'))
  assert.equal((await lookup(job, key)).json.ok ?? false, false, 'visible before it is finalized')
  const first = await finalize(job, key, 5)
  assert.match(first.json.entry_id, /^[1-9]\d*$/)
  const second = await finalize(job, key, 5)
  assert.deepEqual([second.status, second.json.ok, second.json.entry_id], [200, true, first.json.entry_id])

  const other = await begin(larder)
  await putBlob(other.url, Buffer.from('12345'))
  const refused = await finalize(other.job, other.key, 6)
  assert.ok(refused.status >= 400 && refused.status < 500, JSON.stringify(refused))
  assert.equal((await lookup(other.job, other.key)).json.ok ?? false, false)
})

scenario('finalize without any content is refused', server, async (larder) => {
  const { job, key } = await begin(larder)
  const refused = await finalize(job, key, 5)
  assert.ok(refused.status >= 400 && refused.status < 500, JSON.stringify(refused))
})

scenario('an empty blob is an entry', server, async (larder) => {
  const job = newJob(larder)
  await store(job, 'empty', Buffer.alloc(0))
  await assertContent(job, 'empty', Buffer.alloc(0))
})

scenario('an empty block list is an empty entry', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  assert.equal((await putBlockList(url, [])).status, 201)
  await finalize(job, key, 0)
  await assertContent(job, key, Buffer.alloc(0))
})

scenario('the order is that of the list, whatever the order of arrival or the ids', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const blocks = Array.from({ length: 6 }, (_, n) => randomBytes(1000 + n))
  const answers = await Promise.all([4, 1, 5, 0, 3, 2].map((n) => putBlock(url, 90 - n, blocks[n])))
  for (const { status, headers } of answers) {
    assert.equal(status, 201)
    assert.ok(headers['x-ms-request-id'])
  }
  const order = [3, 0, 5, 1, 4, 2]
  assert.equal((await putBlockList(url, order.map((n) => 90 - n))).status, 201)
  const content = Buffer.concat(order.map((n) => blocks[n]))
  assert.equal((await finalize(job, key, content.length)).json.ok, true)
  await assertContent(job, key, content)
})

scenario('a block listed twice stands twice, one not listed is left out, one sent again is replaced', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const [a, b, old] = ['a', 'b', 'old'].map((text) => Buffer.alloc(70_000, text))
  await putBlock(url, 1, old)
  await putBlock(url, 2, b)
  await putBlock(url, 3, old)
  await putBlock(url, 1, a)
  assert.equal((await putBlockList(url, [1, 2, 1])).status, 201)
  const content = Buffer.concat([a, b, a])
  await finalize(job, key, content.length)
  await assertContent(job, key, content)
})

scenario('a list that names a missing block is refused; with the block it is taken', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  await putBlock(url, 1, Buffer.from('one'))
  assertRefusedList(await putBlockList(url, [1, 2]))
  await putBlock(url, 2, Buffer.from('two'))
  assert.equal((await putBlockList(url, [1, 2])).status, 201)
  assert.equal((await putBlockList(url, [1, 2])).status, 201, 'a client that lost the answer sends the list again')
  await finalize(job, key, 6)
  await assertContent(job, key, Buffer.from('onetwo'))
})

scenario('a body cut off in a block counts as nothing: not staged, and a good block stays', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const good = randomBytes(MIB)
  await putHalf(blockUrl(url, 1), randomBytes(8 * MIB))
  assertRefusedList(await putBlockList(url, [1]))
  await putBlock(url, 1, good)
  await putHalf(blockUrl(url, 1), randomBytes(2 * MIB))
  assert.equal((await putBlockList(url, [1])).status, 201)
  assert.equal((await finalize(job, key, good.length)).json.ok, true)
  await assertContent(job, key, good)
})

scenario('a body cut off in Put Blob stores nothing; the whole one sent after it counts', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const content = randomBytes(MIB)
  await putHalf(url, content)
  assert.ok((await finalize(job, key, content.length / 2)).status >= 400)
  const next = await begin(larder)
  await putHalf(next.url, content)
  await putBlob(next.url, content)
  assert.equal((await finalize(next.job, next.key, content.length)).json.ok, true)
  await assertContent(next.job, next.key, content)
})

scenario('bodies that were cut off are gone from the disk with their upload', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const body = randomBytes(16 * MIB)
  const before = occupiedBytes(larder)
  for (let n = 0; n < 6; n += 1) await putHalf(n % 3 === 2 ? url : blockUrl(url, n), body)
  await putBlock(url, 9, Buffer.from('good'))
  await putBlockList(url, [9])
  assert.equal((await finalize(job, key, 4)).json.ok, true)
  await eventually(5000, 'the half bodies are gone', () => occupiedBytes(larder) < before + MIB)
}, { skip: cannotWipe })

scenario('5,000 blocks are one entry', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const blocks = Array.from({ length: 5000 }, () => randomBytes(64))
  const sender = async (first) => {
    for (let n = first; n < blocks.length; n += 8) assert.equal((await putBlock(url, n, blocks[n])).status, 201)
  }
  await Promise.all(Array.from({ length: 8 }, (_, first) => sender(first)))
  assert.equal((await putBlockList(url, [...blocks.keys()])).status, 201)
  const content = Buffer.concat(blocks)
  assert.equal((await finalize(job, key, content.length)).json.ok, true)
  await assertContent(job, key, content)
})

scenario('a changed or foreign signature is refused with 403 and an XML error', server, async (larder) => {
  const { job, key, url } = await begin(larder)
  const other = await begin(larder)
  const tampered = new URL(url)
  const sig = tampered.searchParams.get('sig')
  tampered.searchParams.set('sig', (sig[0] === 'A' ? 'B' : 'A') + sig.slice(1))
  const foreign = new URL(other.url)
  foreign.pathname = new URL(url).pathname
  for (const bad of [tampered, foreign, new URL(new URL(url).pathname, url)]) {
    const refused = await putBlob(bad.href, Buffer.from('intruder'))
    assert.equal(refused.status, 403)
    assert.match(String(refused.body), /<Code>\w+<\/Code>/)
  }
  await putBlob(url, Buffer.from('owner'))
  await finalize(job, key, 5)
  await assertContent(job, key, Buffer.from('owner'))
})

scenario('ranges come by Range and by x-ms-range, with their headers', server, async (larder) => {
  const job = newJob(larder)
  const content = randomBytes(300_000)
  await store(job, 'ranged', content)
  const url = (await lookup(job, 'ranged')).json.signed_download_url
  const cases = [
    [{ range: 'bytes=0-0' }, 0, 1],
    [{ range: 'bytes=100000-199999' }, 100_000, 200_000],
    [{ 'x-ms-range': 'bytes=299990-' }, 299_990, 300_000],
    [{ range: 'bytes=-10' }, 299_990, 300_000],
    [{ 'x-ms-range': 'bytes=5-9', range: 'bytes=0-0' }, 5, 10],
  ]
  for (const [headers, start, end] of cases) {
    const part = await send('GET', url, { headers })
    assert.equal(part.status, 206, JSON.stringify(headers))
    assert.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/${content.length}`)
    assert.ok(part.body.equals(content.subarray(start, end)))
  }
  const beyond = await send('GET', url, { headers: { range: 'bytes=300000-' } })
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */300000'])
  const head = await send('HEAD', url)
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '300000', 0])
  assert.match(head.headers.etag, /^"[^"]+"$/)
  assert.equal((await send('GET', url, { headers: { 'if-match': head.headers.etag } })).status, 200)
  assert.equal((await send('GET', url, { headers: { 'if-match': '"another"' } })).status, 412)
  assert.equal((await send('GET', url, { headers: { 'if-none-match': head.headers.etag } })).status, 304)
})

describe('bodies that do not say how long they are, where entries have a limit', { skip: cannotControl }, () => {
  const LIMIT = 1_000_000
  let [folder, limited] = []
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-limited-'))
    writeFileSync(path.join(folder, 'larder.toml'), `[retention]\nmax_entry_bytes = ${LIMIT}\n`)
    limited = await startServer({ environment: { LARDER_CONFIG: path.join(folder, 'larder.toml') } })
  })
  after(async () => {
    await limited?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const tooLong = randomBytes(24 * MIB)
  const routes = {
    'a blob': (url) => send('PUT', url, { body: tooLong, announced: false, headers: { 'x-ms-blob-type': 'BlockBlob' } }),
    'a block': (url) => send('PUT', blockUrl(url, 1), { body: tooLong, announced: false }),
  }
  for (const [what, request] of Object.entries(routes)) {
    scenario(`${what} is refused once it is too long, and nothing of it stays`, () => limited, async (larder) => {
      const { job, key, url } = await begin(larder)
      const refused = await request(url)
      assert.equal(refused.status, 413, String(refused.body))
      assert.equal(refused.headers['x-ms-error-code'], 'RequestBodyTooLarge')
      if (larder.storage === 'filesystem') assert.ok((await occupiedBytes(larder)) < 4 * LIMIT, `${await occupiedBytes(larder)} bytes`)
      const content = randomBytes(LIMIT)
      assert.equal((await putBlob(url, content)).status, 201)
      assert.equal((await finalize(job, key, content.length)).json.ok, true)
      await assertContent(job, key, content)
    })
  }

  scenario('a chunk of version 1 is refused in the same way', () => limited, async (larder) => {
    const job = newJob(larder)
    const { cacheId } = (await reserve(job, newKey('chunk'))).json
    const refused = await patch(job, cacheId, 0, tooLong, { length: LIMIT, announced: false })
    assert.equal(refused.status, 400, String(refused.body))
    assert.match(JSON.parse(refused.body).message, /larger than this server allows/)
  })
})
