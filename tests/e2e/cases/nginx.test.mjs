// nginx in front, with the configuration of examples/nginx.conf: TLS, no limit of bodies, no buffering. Fault 27: the server is told of no base URL, and
// gives out URLs that lead through nginx, by what nginx says of the request.
import assert from 'node:assert/strict'
import https from 'node:https'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { startNginx } from '../harness/nginx.mjs'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob, newKey } from '../harness/suite.mjs'
import { CLIENTS, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { within } from '../harness/waiting.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const LIMIT_MS = 120_000
const ANSWER_LIMIT_MS = 10_000

let nginx
let server
before(async () => {
  if (cannotControl) return
  server = await startServer()
  nginx = await startNginx(new URL(server.url))
})
after(async () => {
  await nginx?.stop()
  await server?.stop()
})

const jobBehindNginx = () => ({
  ...newJob(server),
  url: nginx.url,
  environment: { NODE_EXTRA_CA_CERTS: nginx.certificateFile },
})

function behind(name, body) {
  test(name, { skip: cannotControl, timeout: LIMIT_MS }, async () => {
    try {
      await body()
    } catch (error) {
      console.error(`--- log of nginx\n${nginx.log()}\n--- log of the server\n${logTail(server)}\n---`)
      throw error
    }
  })
}

// More than nginx's limit of a body by default (1 MiB), more than it buffers, and, for version 2, in blocks.
for (const [client, size] of [[CLIENTS[0], 140 * MIB], [VERSION_1_CLIENTS[0], 100 * MIB]]) {
  behind(`${client} saves and restores ${size / MIB} MiB through nginx`, async () => {
    const job = jobBehindNginx()
    const key = newKey('proxied')
    const digest = await inWorkspace(async (workspace) => {
      const written = writePayload(workspace, size)
      const saved = await save(job, workspace, key, client)
      assert.ok(saved.result > 0, saved.output)
      assert.deepEqual(saved.warnings, [])
      return written
    })
    await inWorkspace(async (workspace) => {
      const restored = await restore(job, workspace, key, { client })
      assert.equal(restored.result, key, restored.output)
      assert.equal(await payloadDigest(workspace), digest)
    })
  })
}

behind('URLs lead through nginx, whatever a client says of itself', async () => {
  const { url, token } = jobBehindNginx()
  for (const headers of [{}, { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'http', forwarded: 'host=evil.example;proto=http' }]) {
    const created = await create(url, token, newKey('url'), headers)
    assert.equal(new URL(created.signed_upload_url).origin, url, JSON.stringify(headers))
  }
})

/** Reserves a key, with these fields on top. */
function create(url, token, key, fields) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...fields }
  const call = new Promise((resolve, reject) => {
    const target = `${url}/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry`
    const request = https.request(target, { method: 'POST', headers, ca: readFileSync(nginx.certificateFile) }, async (answer) => {
      const pieces = []
      for await (const piece of answer) pieces.push(piece)
      resolve(JSON.parse(Buffer.concat(pieces)))
    })
    request.once('error', reject)
    request.end(JSON.stringify({ key, version: 'v' }))
  })
  return within(ANSWER_LIMIT_MS, 'create', call)
}
