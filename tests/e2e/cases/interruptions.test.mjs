// The server itself is killed or asked to end, at the worst moments.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { test } from 'node:test'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob } from '../harness/suite.mjs'
import { beginDownload, create, fetchEntry, finalize, lookup, putBlob, putBlock, putBlockList, send, store } from '../harness/protocol.mjs'
import { restore, save } from '../harness/toolkit.mjs'
import { within } from '../harness/waiting.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const LIMIT_MS = 120_000
const DRAIN_LIMIT_MS = 30_000

/** Declares a case that has a server for itself. `body` ends it, or leaves that to this function. */
function interruption(name, body) {
  test(name, { timeout: LIMIT_MS, skip: cannotControl }, async () => {
    const server = await startServer()
    try {
      await body(server)
    } catch (error) {
      console.error(`--- log of the server during "${name}"\n${logTail(server)}\n---`)
      throw error
    } finally {
      await server.stop()
    }
  })
}

interruption('killed between blocks and commit: the upload goes on after the restart', async (server) => {
  const job = newJob(server)
  const url = (await create(job, 'killed')).json.signed_upload_url
  const blocks = [randomBytes(3 * MIB), randomBytes(MIB), randomBytes(2 * MIB)]
  await putBlock(url, 1, blocks[0])
  await putBlock(url, 2, blocks[1])
  await server.kill()
  await server.start()
  assert.equal((await putBlock(url, 3, blocks[2])).status, 201)
  assert.equal((await putBlockList(url, [1, 2, 3])).status, 201)
  const content = Buffer.concat(blocks)
  assert.equal((await finalize(job, 'killed', content.length)).json.ok, true)
  assert.ok((await fetchEntry(job, 'killed')).body.equals(content))
})

interruption('killed between commit and finalize: the save can be finished', async (server) => {
  const job = newJob(server)
  const [whole, listed] = await Promise.all(['whole', 'listed'].map((key) => create(job, key)))
  await putBlob(whole.json.signed_upload_url, Buffer.from('whole'))
  await putBlock(listed.json.signed_upload_url, 1, Buffer.from('listed'))
  await putBlockList(listed.json.signed_upload_url, [1])
  await server.kill()
  await server.start()
  for (const key of ['whole', 'listed']) {
    assert.equal((await finalize(job, key, key.length)).json.ok, true)
    assert.equal(String((await fetchEntry(job, key)).body), key)
  }
})

interruption('killed right after finalize: the entry is served, finalize again gives the same id', async (server) => {
  const job = newJob(server)
  const content = randomBytes(5 * MIB)
  const first = await store(job, 'durable', content)
  const url = (await lookup(job, 'durable')).json.signed_download_url
  await server.kill()
  await server.start()
  assert.equal((await finalize(job, 'durable', content.length)).json.entry_id, first.json.entry_id)
  assert.ok((await fetchEntry(job, 'durable')).body.equals(content))
  assert.ok((await send('GET', url)).body.equals(content), 'a URL given out before the restart still holds')
  assert.equal((await create(job, 'durable')).status, 409)
})

interruption('killed while blocks arrive: what was acknowledged counts, what was not does not', async (server) => {
  const job = newJob(server)
  const url = (await create(job, 'midblock')).json.signed_upload_url
  const blocks = Array.from({ length: 40 }, () => randomBytes(256 * 1024))
  const acknowledged = new Set()
  const sender = async (first) => {
    for (let n = first; n < blocks.length; n += 4) {
      if ((await putBlock(url, n, blocks[n])).status === 201) acknowledged.add(n)
      if (acknowledged.size === 20) server.signal('SIGKILL')
    }
  }
  await Promise.allSettled([0, 1, 2, 3].map(sender))
  await within(DRAIN_LIMIT_MS, 'the kill', server.ended)
  assert.ok(acknowledged.size >= 20 && acknowledged.size < blocks.length)
  await server.start()
  for (const n of blocks.keys()) if (!acknowledged.has(n)) assert.equal((await putBlock(url, n, blocks[n])).status, 201)
  assert.equal((await putBlockList(url, [...blocks.keys()])).status, 201)
  const content = Buffer.concat(blocks)
  assert.equal((await finalize(job, 'midblock', content.length)).json.ok, true)
  assert.ok((await fetchEntry(job, 'midblock')).body.equals(content))
})

interruption('killed and started again, the toolkit restores what it saved', async (server) => {
  const job = newJob(server)
  const digest = await inWorkspace(async (workspace) => {
    const written = writePayload(workspace, 4 * MIB)
    assert.ok((await save(job, workspace, 'kept')).result > 0)
    return written
  })
  await server.kill()
  await server.start()
  await inWorkspace(async (workspace) => {
    assert.equal((await restore(job, workspace, 'kept')).result, 'kept')
    assert.equal(await payloadDigest(workspace), digest)
  })
})

interruption('asked to end during a slow download: answers who comes meanwhile, finishes the download, ends with 0', async (server) => {
  const job = newJob(server)
  const content = randomBytes(64 * MIB)
  await store(job, 'slow', content)
  const download = await beginDownload((await lookup(job, 'slow')).json.signed_download_url)
  server.signal('SIGTERM')
  // Fault 2: no other process has come to take over, so nobody is refused yet.
  assert.equal((await send('GET', `${server.url}/health`)).status, 200)
  const { received, clean } = await download.finish()
  assert.ok(clean, `cut off after ${received.length} bytes`)
  assert.ok(received.equals(content))
  assert.deepEqual(await within(DRAIN_LIMIT_MS, 'the end', server.ended), { code: 0, signal: null })
  assert.ok(await refused(server.url))
})

interruption('asked to end with idle connections only: ends at once with 0', async (server) => {
  assert.equal((await send('GET', `${server.url}/health`)).status, 200)
  server.signal('SIGTERM')
  assert.deepEqual(await within(5000, 'the end', server.ended), { code: 0, signal: null })
})

function refused(url) {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname)
    socket.once('connect', () => resolve(socket.destroy() && false))
    socket.once('error', (error) => resolve(error.code === 'ECONNREFUSED'))
  })
}
