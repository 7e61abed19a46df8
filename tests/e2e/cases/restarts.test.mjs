// A restart that nobody sees (fault 2): the server is restarted again and again while the real client saves and restores; no save
// and no restore is lost. `@actions/cache` does not repeat a refused connection, so there must never be one.
import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import net from 'node:net'
import { test } from 'node:test'
import { startActivated } from '../harness/activation.mjs'
import { beginDownload, create, lookup, store } from '../harness/protocol.mjs'
import { rounds } from '../harness/scale.mjs'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob, newKey } from '../harness/suite.mjs'
import { restore, save } from '../harness/toolkit.mjs'
import { within } from '../harness/waiting.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const RESTARTS = rounds({ short: 10, long: 50 })
const LIMIT_MS = 60_000 + RESTARTS * 12_000
/** Docker kills what has not ended 10 s after SIGTERM. */
const END_LIMIT_MS = 10_000
/** What each worker saves: a small archive in one request, and one that takes longer than a restart. */
const SIZES = [20_000, 3 * MIB, 48 * MIB]

restarting('with a socket that outlives the process (LISTEN_FDS)', startActivated, async (server) => {
  assert.equal(await server.restart(), 0)
})

restarting('with a hand-over: the new process is started, then the old one ends', startServer, async (server) => {
  assert.deepEqual(await server.replace(), { code: 0, signal: null })
})

/** Fault 2. */
function restarting(name, start, restart) {
  test(`${RESTARTS} restarts under load of @actions/cache, ${name}`, { skip: cannotControl, timeout: LIMIT_MS }, async () => {
    const server = await start()
    try {
      const load = new Load(server)
      for (let n = 0; n < RESTARTS; n += 1) {
        await load.goesOn(1 + (n % 2))
        await new Promise((resolve) => setTimeout(resolve, randomInt(400)))
        await restart(server)
      }
      await load.end()
    } catch (error) {
      console.error(`--- log of the server\n${logTail(server)}\n---`)
      throw error
    } finally {
      await server.stop()
    }
  })
}

/** Workers that save and restore with the real client until told to end. The first failure is the load's. */
class Load {
  #done = 0
  #ended = false
  #workers

  constructor(server) {
    this.#workers = Promise.all(SIZES.map((size) => this.#work(newJob(server), size)))
    // Told by `goesOn` and `end`.
    this.#workers.catch(() => {})
  }

  /** Waits until so many more saves and restores are done. */
  async goesOn(count) {
    const goal = this.#done + count
    const reached = (async () => {
      while (this.#done < goal) await new Promise((resolve) => setTimeout(resolve, 20))
    })()
    await within(60_000, `${count} calls of the clients`, Promise.race([reached, this.#workers]))
  }

  async end() {
    this.#ended = true
    await within(60_000, 'the last calls of the clients', this.#workers)
  }

  async #work(job, size) {
    while (!this.#ended) {
      const key = newKey('restarted')
      const digest = await inWorkspace(async (workspace) => {
        const written = writePayload(workspace, size)
        const saved = await save(job, workspace, key)
        assert.ok(saved.result > 0, `a save of ${size} bytes was lost: ${saved.output}`)
        return written
      })
      this.#done += 1
      await inWorkspace(async (workspace) => {
        const restored = await restore(job, workspace, key)
        assert.equal(restored.result, key, `a restore of ${size} bytes was lost: ${restored.output}`)
        assert.equal(await payloadDigest(workspace), digest)
      })
      this.#done += 1
    }
  }
}

/** Fault 2. */
test('asked to end with a half-sent upload and a download that nobody reads: it is gone in time', { skip: cannotControl, timeout: 90_000 }, async () => {
  const server = await startServer()
  try {
    const job = newJob(server)
    await store(job, 'large', randomBytes(64 * MIB))
    await beginDownload((await lookup(job, 'large')).json.signed_download_url)
    const half = await sendHalf((await create(job, 'half')).json.signed_upload_url, 8 * MIB)
    server.signal('SIGTERM')
    assert.deepEqual(await within(END_LIMIT_MS, 'the end', server.ended), { code: 0, signal: null })
    half.destroy()
  } finally {
    await server.stop()
  }
})

/** Begins to send a blob of this size and stops in the middle, with the connection open. */
async function sendHalf(url, size) {
  const { hostname, port, pathname, search, host } = new URL(url)
  const socket = net.connect(Number(port), hostname)
  socket.on('error', () => {})
  const head = `PUT ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\nx-ms-blob-type: BlockBlob\r\ncontent-length: ${size}\r\n\r\n`
  await within(END_LIMIT_MS, 'half a body', new Promise((resolve) => socket.write(Buffer.concat([Buffer.from(head), randomBytes(size / 2)]), resolve)))
  return socket
}
