// The server's own TLS, without a proxy: a client that trusts the certificate's authority saves and restores, one that does not goes on without.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob, newKey } from '../harness/suite.mjs'
import { makeCertificate } from '../harness/tls-front.mjs'
import { CLIENTS, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const LIMIT_MS = 120_000

let folder
let server
let certificateFile
before(async () => {
  if (cannotControl) return
  folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-own-tls-'))
  const made = await makeCertificate(folder)
  certificateFile = made.certificateFile
  server = await startServer({
    environment: { LARDER_TLS_CERTIFICATE: made.certificateFile, LARDER_TLS_KEY: made.keyFile },
  })
})
after(async () => {
  await server?.stop()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

const jobOverTls = (environment) => ({
  ...newJob(server),
  // The name of the certificate.
  url: `https://localhost:${new URL(server.url).port}`,
  environment,
})

function over(name, body) {
  test(name, { skip: cannotControl, timeout: LIMIT_MS }, async () => {
    try {
      await body()
    } catch (error) {
      console.error(`--- log of the server\n${logTail(server)}\n---`)
      throw error
    }
  })
}

for (const [client, size] of [[CLIENTS[0], 70 * MIB], [VERSION_1_CLIENTS[0], 40 * MIB]]) {
  over(`${client} saves and restores ${size / MIB} MiB over the server's own TLS`, async () => {
    const job = jobOverTls({ NODE_EXTRA_CA_CERTS: certificateFile })
    const key = newKey('own-tls')
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
