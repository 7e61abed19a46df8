// Fault 1: all processes of a job have one token, and some save one key at once (a matrix under act, parallel steps of one job). One of
// them saves it, the others are told that somebody does; nobody's job fails, and what is restored are the bytes of the one.
import assert from 'node:assert/strict'
import http from 'node:http'
import { listen } from '../harness/processes.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { CLIENTS, NEWEST, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const SAVERS = 6
const server = useServer()

// Equal sizes are what mixes: version 1 sends chunks of 32 MiB whose places are the same, version 2 one blob or blocks of 64 MiB.
const EQUAL = Array(SAVERS).fill(5 * MIB)
const EQUAL_CHUNKS = Array(SAVERS).fill(40 * MIB)
const UNEQUAL = Array.from({ length: SAVERS }, (_, n) => (n + 1) * 300_000)

for (const client of CLIENTS) {
  sixAtOnce(client, 'equal', EQUAL)
  sixAtOnce(client, 'unequal', UNEQUAL)
}
for (const client of VERSION_1_CLIENTS) {
  sixAtOnce(client, 'equal', EQUAL_CHUNKS)
  sixAtOnce(client, 'unequal', UNEQUAL)
}

/** Has six processes save one key with one token, with contents of these sizes. */
function sixAtOnce(client, kind, sizes) {
  scenario(`${client}: six saves of one key with one token at once, of ${kind} sizes: one is saved, whole, and no job fails`, server, async (larder) => {
    const job = newJob(larder)
    const key = newKey('shared')
    const saves = await Promise.all(sizes.map((size) => inWorkspace(async (workspace) => {
      const digest = writePayload(workspace, size)
      return { digest, ...(await save(job, workspace, key, client)) }
    })))
    const told = saves.map(({ output }) => output).join('\n')
    const winners = saves.filter(({ result }) => result > 0)
    assert.equal(winners.length, 1, told)
    for (const { errors, warnings } of saves) assert.deepEqual([...errors, ...warnings], [], told)
    for (const { output } of saves.filter(({ result }) => result <= 0)) assert.match(output, /another job may be creating this cache/)
    for (const reader of [client, NEWEST]) {
      await inWorkspace(async (workspace) => {
        assert.equal((await restore(job, workspace, key, { client: reader })).result, key)
        assert.equal(await payloadDigest(workspace), winners[0].digest, 'not the bytes of the one that was told that it saved them')
      })
    }
  })
}

for (const client of [...CLIENTS, ...VERSION_1_CLIENTS]) {
  scenario(`${client}, whose answer to its reservation is lost: it asks again, and its save succeeds`, server, async (larder) => {
    const front = await startForgetfulFront(larder.url)
    try {
      const job = { ...newJob(larder), url: front.url }
      const key = newKey('lost')
      const digest = await inWorkspace(async (workspace) => {
        const written = writePayload(workspace, 2 * MIB)
        const saved = await save(job, workspace, key, client)
        assert.ok(saved.result > 0, saved.output)
        return written
      })
      assert.equal(front.lost(), 1)
      await inWorkspace(async (workspace) => {
        assert.equal((await restore(job, workspace, key, { client })).result, key)
        assert.equal(await payloadDigest(workspace), digest)
      })
    } finally {
      await front.stop()
    }
  })
}

/** A proxy before the server that loses the answer to the first reservation: the client gets a 502 instead, as of a proxy that restarts. */
async function startForgetfulFront(target) {
  let lost = 0
  const { hostname, port } = new URL(target)
  const isReservation = ({ method, url }) => method === 'POST' && /(CreateCacheEntry|_apis\/artifactcache\/caches)$/.test(url)
  const front = http.createServer((request, answer) => {
    const loses = lost === 0 && isReservation(request)
    if (loses) lost += 1
    const passed = http.request({ hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false })
    passed.on('error', () => answer.destroy())
    passed.on('response', (response) => {
      if (loses) return response.resume().on('end', () => answer.writeHead(502).end())
      const { connection, 'keep-alive': _, ...headers } = response.headers
      answer.writeHead(response.statusCode, headers)
      return response.pipe(answer)
    })
    request.on('error', () => passed.destroy()).pipe(passed)
  })
  const url = `http://127.0.0.1:${await listen(front)}`
  const stop = () => new Promise((resolve) => front.close(resolve) && front.closeAllConnections())
  return { url, lost: () => lost, stop }
}
