// The database or the bucket goes away in the middle of everything, stopped or hanging: clear errors within a bound, no lost entry, no
// wrong byte, and all is well again when the service is back, without a restart of the server.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { newBackend } from '../harness/backends.mjs'
import { OUTAGES, startGate } from '../harness/gate.mjs'
import { beginDownload, create, fetchEntry, finalize, lookup, putBlock, putBlockList, send, store } from '../harness/protocol.mjs'
import { cannotControl, startServer } from '../harness/server.mjs'
import { missing } from '../harness/services.mjs'
import { newJob, newKey, scenario } from '../harness/suite.mjs'
import { eventually, within } from '../harness/waiting.mjs'
import { MIB } from '../harness/workspace.mjs'

// What hangs is given up after this; an answer may take a few calls, each with its repetitions and the pauses between them.
const SERVICE_TIMEOUT_MS = 1000
const ANSWER_LIMIT_MS = 25_000
const RECOVERY_LIMIT_MS = 10_000
const START_LIMIT_MS = 25_000

/** `at` is the variable that says where a service is, `patience` the one that says how long the server waits for it. */
const SERVICES = [
  { name: 'postgres', kind: 'database', at: 'LARDER_TEST_POSTGRES_URL', patience: 'LARDER_DB_TIMEOUT_MS' },
  { name: 'mysql', kind: 'database', at: 'LARDER_TEST_MYSQL_URL', patience: 'LARDER_DB_TIMEOUT_MS' },
  { name: 's3', kind: 'storage', at: 'LARDER_TEST_S3_ENDPOINT', patience: 'STORAGE_S3_SOCKET_TIMEOUT_MS' },
  { name: 'gcs', kind: 'storage', at: 'LARDER_TEST_GCS_ENDPOINT' },
  { name: 'azblob', kind: 'storage', at: 'LARDER_TEST_AZBLOB_CONNECTION_STRING' },
]

// No variable says it of these.
const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-outages-'))
after(() => rmSync(folder, { recursive: true, force: true }))
function configurationOf(driver) {
  const file = path.join(folder, `${driver}.toml`)
  writeFileSync(file, `[storage.${driver}]\ntimeout_ms = ${SERVICE_TIMEOUT_MS}\n`)
  return file
}

/** The address in a setting: the setting itself, or what a connection string calls so. */
const addressIn = (setting) => /BlobEndpoint=([^;]+)/.exec(setting)?.[1] ?? setting

/** The server's settings, with its way to the service through the gate. */
function throughGate({ name, patience }, gate, { environment }) {
  const rerouted = {
    postgres: () => ({ DB_POSTGRES_URL: gate.through(environment.DB_POSTGRES_URL) }),
    mysql: () => ({ DB_MYSQL_PORT: new URL(gate.through('http://127.0.0.1')).port }),
    s3: () => ({ AWS_ENDPOINT_URL: gate.through(environment.AWS_ENDPOINT_URL) }),
    gcs: () => ({ STORAGE_GCS_ENDPOINT: gate.through(environment.STORAGE_GCS_ENDPOINT), LARDER_CONFIG: configurationOf(name) }),
    azblob: () => {
      const account = environment.STORAGE_AZBLOB_CONNECTION_STRING
      const address = addressIn(account)
      return { STORAGE_AZBLOB_CONNECTION_STRING: account.replace(address, gate.through(address)), LARDER_CONFIG: configurationOf(name) }
    },
  }
  return { ...(patience && { [patience]: String(SERVICE_TIMEOUT_MS) }), ...rerouted[name]() }
}

for (const service of SERVICES) {
  const isDatabase = service.kind === 'database'
  // The other half is one that does not fail. Databases want a bucket: a folder is read without them.
  const kinds = isDatabase ? { database: service.name, storage: 'filesystem' } : { database: 'sqlite', storage: service.name }
  describe(`${service.name} goes away`, { skip: cannotControl || missing(service.at) }, () => {
    let [backend, gate, server] = []
    before(async () => {
      backend = await newBackend(kinds)
      gate = await startGate(addressIn(process.env[service.at]))
      server = await startServer({ backend, environment: throughGate(service, gate, backend) })
    })
    after(async () => {
      const status = await server?.stop()
      await gate?.stop()
      await backend?.remove()
      if (status && status.code !== 0) throw new Error(`the server ended with ${JSON.stringify(status)}`)
    })
    const larder = () => server

    /** Calls `body` in an outage; the service is back when this returns. */
    async function during(outage, body) {
      await gate.close(outage)
      try {
        return await body()
      } finally {
        await gate.open()
      }
    }

    for (const outage of OUTAGES) {
      scenario(`${outage}: every request is answered clearly and in time, and succeeds when it is back`, larder, async () => {
        const job = newJob(server)
        const [kept, keptContent] = [newKey('kept'), randomBytes(2 * MIB)]
        await store(job, kept, keptContent)
        const keptUrl = (await lookup(job, kept)).json.signed_download_url
        const blocks = [randomBytes(6 * MIB), randomBytes(5000), randomBytes(6 * MIB)]
        const [content, large] = [Buffer.concat(blocks), randomBytes(24 * MIB)]
        const begun = await beginUpload(job, newKey('begun'), blocks.slice(0, 2))
        const staged = await beginUpload(job, newKey('staged'), blocks)
        const listed = await beginUpload(job, newKey('listed'), blocks)
        assert.equal((await putBlockList(listed.url, [0, 1, 2])).status, 201)
        const fresh = newKey('fresh')

        const requests = {
          lookup: () => lookup(job, kept),
          create: () => create(job, fresh),
          block: () => putBlock(begun.url, 2, blocks[2]),
          // Sent on to a bucket while it comes.
          largeBlock: () => putBlock(begun.url, 3, large),
          list: () => putBlockList(staged.url, [0, 1, 2]),
          finalize: () => finalize(job, listed.key, content.length),
          download: () => send('GET', keptUrl),
        }
        const answers = await during(outage, () => answersInTime(requests))
        assertClear(answers, keptContent)
        if (isDatabase) for (const name of ['lookup', 'create', 'list', 'finalize']) assert.equal(answers[name].status, 503, name)
        else for (const name of ['lookup', 'block', 'largeBlock', 'list']) assert.equal(answers[name].status, 503, name)

        // It was away for a moment, and the first attempt after it may meet what is left of that.
        const found = await succeeds('lookup', () => lookup(job, kept))
        assert.equal(found.json.ok, true, 'a committed entry is lost')
        assert.ok((await succeeds('download', () => send('GET', keptUrl))).body.equals(keptContent))
        await succeeds('block', () => putBlock(begun.url, 2, blocks[2]), 201)
        await succeeds('list', () => putBlockList(begun.url, [0, 1, 2]), 201)
        await succeeds('list', () => putBlockList(staged.url, [0, 1, 2]), 201)
        for (const { key } of [begun, staged, listed]) {
          assert.equal((await succeeds(`finalize of ${key}`, () => finalize(job, key, content.length))).json.ok, true)
          assert.ok((await fetchEntry(job, key)).body.equals(content), `${key}: other bytes`)
        }
        await saveInBlocks(job, fresh, content, succeeds)
        assert.ok((await fetchEntry(job, fresh)).body.equals(content))
      })
    }

    scenario('hanging, then stopped while requests wait: they are answered, and none has to wait for the next one', larder, async () => {
      const job = newJob(server)
      const key = newKey('waiting')
      const content = randomBytes(7 * MIB)
      await store(job, key, content)
      const url = (await lookup(job, key)).json.signed_download_url
      const upload = await beginUpload(job, newKey('upload'), [])
      await gate.close('hanging')
      const answers = answersInTime({
        lookup: () => lookup(job, key), create: () => create(job, newKey('new')), block: () => putBlock(upload.url, 1, content),
        download: () => send('GET', url),
      })
      await new Promise((resolve) => setTimeout(resolve, SERVICE_TIMEOUT_MS / 3))
      await during('stopped', async () => assertClear(await answers, content))
      assert.ok((await succeeds('download', () => send('GET', url))).body.equals(content))
    })

    scenario('a download under way ends right, or is cut', larder, async () => {
      const job = newJob(server)
      const content = randomBytes(64 * MIB)
      await store(job, 'large', content)
      const url = (await lookup(job, 'large')).json.signed_download_url
      for (const outage of OUTAGES) {
        const download = await beginDownload(url)
        assert.equal(download.announced, content.length)
        const { received, clean } = await during(outage, () => within(ANSWER_LIMIT_MS, 'the download', download.finish()))
        assert.ok(received.equals(content.subarray(0, received.length)), `${outage}: wrong bytes`)
        assert.equal(clean, received.length === content.length, `${outage}: ${received.length} bytes, clean: ${clean}`)
        // Without the database it goes on: it was looked up before.
        assert.equal(clean, isDatabase, outage)
        assert.ok((await succeeds('download', () => send('GET', url))).body.equals(content))
      }
    })

    scenario('coming and going under load: what was told to be saved is there, what is there is right', larder, async () => {
      const job = newJob(server)
      const [saved, tried] = [new Map(), new Map()]
      let ended = false
      const saver = async (n) => {
        for (let round = 0; !ended; round += 1) {
          const key = `loaded-${n}-${round}`
          const content = randomBytes(6 * MIB + round)
          tried.set(key, content)
          if (await saveInBlocks(job, key, content, patiently).then(() => true, () => false)) saved.set(key, content)
        }
      }
      const savers = [0, 1, 2].map(saver)
      try {
        for (const outage of [...OUTAGES, ...OUTAGES]) {
          await new Promise((resolve) => setTimeout(resolve, 700))
          await during(outage, () => new Promise((resolve) => setTimeout(resolve, 500)))
        }
      } finally {
        ended = true
      }
      await within(60_000, 'the last saves', Promise.all(savers))
      assert.ok(saved.size > 0, `nothing of ${tried.size} was saved`)
      for (const [key, content] of tried) {
        const found = (await succeeds('lookup', () => lookup(job, key))).json.ok
        assert.ok(found || !saved.has(key), `${key} is lost`)
        if (found) assert.ok((await fetchEntry(job, key)).body.equals(content), `${key}: other bytes`)
      }
    })
  })

  for (const outage of OUTAGES) {
    test(`${service.name} is ${outage} at the start: the server says so and ends`, { skip: cannotControl || missing(service.at), timeout: 90_000 }, async () => {
      const backend = await newBackend(kinds)
      const gate = await startGate(addressIn(process.env[service.at]))
      const environment = throughGate(service, gate, backend)
      try {
        await gate.close(outage)
        const begun = performance.now()
        const failure = await startServer({ backend, environment }).then(
          (server) => server.stop().then(() => null),
          (error) => error,
        )
        assert.ok(failure, 'it started')
        assert.match(failure.message, /ended first with {"code":1,/, 'it did not end by itself')
        assert.match(failure.message, new RegExp(`the ${service.kind} cannot be used`))
        assert.doesNotMatch(failure.message, /panicked/)
        const elapsed = performance.now() - begun
        assert.ok(elapsed < START_LIMIT_MS, `after ${elapsed} ms`)
      } finally {
        await gate.stop()
        await backend.remove()
      }
    })
  }
}

async function beginUpload(job, key, blocks) {
  const url = (await create(job, key)).json.signed_upload_url
  for (const [n, block] of blocks.entries()) assert.equal((await putBlock(url, n, block)).status, 201)
  return { key, url }
}

/** Saves the content, each request by `attempt(what, request, status)`. */
async function saveInBlocks(job, key, content, attempt) {
  const url = (await attempt('create', () => create(job, key))).json.signed_upload_url
  const third = Math.ceil(content.length / 3)
  for (const n of [2, 0, 1]) {
    await attempt('block', () => putBlock(url, n, content.subarray(n * third, (n + 1) * third)), 201)
  }
  await attempt('list', () => putBlockList(url, [0, 1, 2]), 201)
  const finalized = await attempt('finalize', () => finalize(job, key, content.length))
  assert.equal(finalized.json.ok, true)
}

/** Repeats a request until it has this status. */
const succeeds = (what, request, status = 200) =>
  eventually(RECOVERY_LIMIT_MS, `${what}, with the service back,`, async () => {
    const answer = await request().catch(() => null)
    return answer?.status === status && answer
  })

/** Repeats a request as clients do, a few times and only where the server says that it may succeed later. */
async function patiently(what, request, status = 200) {
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const answer = await request()
    if (answer.status === status) return answer
    if (answer.status < 500) break
    await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt))
  }
  throw new Error(`${what} failed`)
}

/** Sends all at once; each has to be answered, or cut, in time. Returns the answers by name, the error where one was cut. */
async function answersInTime(requests) {
  const answered = Object.entries(requests).map(async ([name, request]) => {
    return [name, await within(ANSWER_LIMIT_MS, name, request().catch((error) => ({ error })))]
  })
  return Object.fromEntries(await Promise.all(answered))
}

/** Each is right, or a failure that its client understands as one that passes. A download may be cut. */
function assertClear(answers, content) {
  for (const [name, { status, headers, json, body, error }] of Object.entries(answers)) {
    const shown = `${name}: ${status} ${error ?? (json ? JSON.stringify(json) : body?.subarray(0, 300))}`
    if (error) assert.ok(name === 'download' && error.code === 'ECONNRESET', shown)
    else if (status === 503) {
      if (json) assert.equal(json.code, 'unavailable', shown)
      else assert.ok(Number(headers['retry-after']) > 0, shown)
    } else {
      assert.ok(status === 200 || status === 201, shown)
      if (name === 'download') assert.ok(body.equals(content), `${name}: wrong bytes`)
    }
  }
}
