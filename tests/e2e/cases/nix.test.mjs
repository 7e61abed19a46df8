// The Nix client's requests (protobuf, append blobs, exact content types), replayed byte for byte.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { nixClient } from '../harness/nix-client.mjs'
import { send } from '../harness/protocol.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { eventually } from '../harness/waiting.mjs'
import { MIB } from '../harness/workspace.mjs'

// An upload that broke off holds its slot until it is idle.
const IDLE_MS = 2000
const YIELD_LIMIT_MS = 30_000
const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-nix-'))
writeFileSync(path.join(folder, 'larder.toml'), `[retention]\nidle_upload_ms = ${IDLE_MS}\n`)
after(() => rmSync(folder, { recursive: true, force: true }))
const server = useServer({ environment: { LARDER_CONFIG: path.join(folder, 'larder.toml') } })

// The client adds a random suffix to its keys and finds them by their beginning.
const NAR = 'nar/1dzq4rmmyd4bhj1gq9b6pkl5mvxnf3x8.nar.zst'
const SIZES = [['no bytes', 0], ['a narinfo', 700], ['one chunk', 32 * MIB], ['three chunks', 70 * MIB]]

for (const [label, size] of SIZES) {
  scenario(`the Nix client stores ${label} as an append blob and finds it by the beginning of its key`, server, async (larder) => {
    const nix = nixClient(newJob(larder))
    const content = randomBytes(size)
    const key = `${NAR}-aB3x`
    const url = await nix.allocate(key)
    await nix.upload(url, key, content)
    const found = await nix.find([NAR])
    assert.ok(found, 'a miss')
    const answer = await send('GET', found)
    assert.deepEqual([answer.status, answer.body.length], [200, size])
    assert.ok(answer.body.equals(content))
  })
}

scenario('the Nix client takes a miss as a miss, and a key that exists as a Twirp error it can read', server, async (larder) => {
  const repository = newRepository()
  const nix = nixClient(newJob(larder, { repository }))
  assert.equal(await nix.find([newKey('nothing')]), null)
  await nix.upload(await nix.allocate('taken'), 'taken', Buffer.from('content'))
  const others = [nix, nixClient(newJob(larder, { repository, validForSeconds: 1800 }))]
  for (const other of others) {
    await assert.rejects(other.allocate('taken'), { status: 409, code: 'already_exists' })
  }
})

scenario('the Nix client with a token that is no good gets a Twirp error it can read', server, async (larder) => {
  const nix = nixClient({ url: larder.url, token: 'not-a-token' })
  await assert.rejects(nix.find(['key']), { status: 401, code: 'unauthenticated' })
})

scenario('the Nix client cut off in the middle of an append leaves nothing behind; a new attempt stores the whole once it is idle', server, async (larder) => {
  const nix = nixClient(newJob(larder))
  const content = randomBytes(40 * MIB)
  const url = await nix.allocate('cut')
  for (const cutAt of [0, 1]) await assert.rejects(nix.upload(url, 'cut', content, { cutAt }), /closed|ECONNRESET|EPIPE/)
  assert.equal(await nix.find(['cut']), null)
  const again = () => nix.allocate('cut').catch((error) => {
    assert.equal(error.code, 'already_exists')
  })
  await nix.upload(await eventually(YIELD_LIMIT_MS, 'the upload that broke off yields', again), 'cut', content)
  assert.ok((await send('GET', await nix.find(['cut']))).body.equals(content))
})

scenario("the Nix client's appends that came twice are refused at the end, not stored", server, async (larder) => {
  const nix = nixClient(newJob(larder))
  const url = await nix.allocate('doubled')
  const headers = { 'x-ms-blob-type': 'AppendBlob' }
  const append = () => send('PUT', `${url}&comp=appendblock`, { headers, body: Buffer.from('half') })
  await send('PUT', url, { headers })
  await append()
  await append()
  assert.ok((await send('PUT', `${url}&comp=seal`, { headers })).status < 300)
  await assert.rejects(nix.finalize('doubled', 'half'.length), /"code"/)
  assert.equal(await nix.find(['doubled']), null)
})
