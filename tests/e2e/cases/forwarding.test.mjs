// What is not a cache request goes to the real results service and back, byte for byte.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import { after, before, test } from 'node:test'
import { cannotControl, startServer } from '../harness/server.mjs'
import { send } from '../harness/protocol.mjs'
import { MIB } from '../harness/workspace.mjs'

let upstream
let server
before(async () => {
  if (cannotControl) return
  upstream = http.createServer(async (request, response) => {
    const hash = createHash('sha256')
    for await (const piece of request) hash.update(piece)
    const { method, url, headers } = request
    response.writeHead(418, { 'x-upstream': 'yes', 'set-cookie': ['a=1', 'b=2'] })
    response.end(JSON.stringify({ method, url, headers, digest: hash.digest('hex') }))
  })
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  server = await startServer({ upstream: `http://127.0.0.1:${upstream.address().port}` })
})
after(async () => {
  await server?.stop()
  upstream?.close()
})

const PATH = '/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact?a=1&b=%2F%20+&a=2'

test('method, path, query, headers, token and body reach the upstream, its answer the client', { skip: cannotControl }, async () => {
  const body = randomBytes(10 * MIB)
  const headers = { authorization: 'Bearer for-the-upstream', 'x-own': 'kept', 'content-type': 'application/json' }
  for (const method of ['POST', 'PUT', 'PATCH']) {
    const answer = await send(method, `${server.url}${PATH}`, { headers, body })
    assert.equal(answer.status, 418)
    assert.equal(answer.headers['x-upstream'], 'yes')
    assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
    const seen = JSON.parse(answer.body)
    assert.deepEqual([seen.method, seen.url], [method, PATH])
    for (const [name, value] of Object.entries(headers)) assert.equal(seen.headers[name], value)
    assert.equal(seen.digest, createHash('sha256').update(body).digest('hex'))
  }
})

test('an upstream that is not there is a gateway error in JSON', { skip: cannotControl }, async () => {
  const alone = await startServer()
  try {
    const answer = await send('POST', `${alone.url}${PATH}`, { body: Buffer.from('{}') })
    assert.equal(answer.status, 502)
    JSON.parse(answer.body)
  } finally {
    await alone.stop()
  }
})
