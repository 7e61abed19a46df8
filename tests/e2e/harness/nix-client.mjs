// The requests of the Nix client (magic-nix-cache, its crate gha-cache 0.1.0), byte for byte as its HTTP library writes them, and what
// it makes of the answers. The client itself needs Nix around it.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { within } from './waiting.mjs'

const ANSWER_LIMIT_MS = 30_000
const CHUNK_BYTES = 32 * 1024 * 1024
const AGENT = 'gha-cache/0.1.0'
const VERSION = createHash('sha256').update(AGENT).digest('hex')
const PROTOBUF = 'application/protobuf'

/** Its calls for a job: each fails as the client would. */
export const nixClient = (job) => ({
  finalize: (key, size) => finalize(job, key, size),

  /** Reserves a key; returns the upload URL. */
  allocate: async (key) => textField(await twirp(job, 'CreateCacheEntry', [text(2, key), text(3, VERSION)]), 2),

  /** Uploads and finalizes; `cutAt` cuts the connection in the middle of the chunk of that number. */
  upload: async (url, key, content, { cutAt } = {}) => {
    await put(url, Buffer.alloc(0))
    for (let at = 0, n = 0; at < content.length; at += CHUNK_BYTES, n += 1) {
      const chunk = content.subarray(at, at + CHUNK_BYTES)
      await put(`${url}&comp=appendblock`, chunk, n === cutAt)
    }
    await put(`${url}&comp=seal`, Buffer.alloc(0))
    await finalize(job, key, content.length)
  },

  /** Looks keys up, of which the first is the key itself; returns the URL, or null for a miss. */
  find: async (keys) => {
    const message = [text(2, keys[0]), ...keys.map((key) => text(3, key)), text(4, VERSION)]
    const answer = await twirp(job, 'GetCacheEntryDownloadURL', message)
    return numberField(answer, 1) === 1 ? textField(answer, 2) : null
  },
})

async function finalize(job, key, size) {
  const answer = await twirp(job, 'FinalizeCacheEntryUpload', [text(2, key), number(3, size), text(4, VERSION)])
  if (numberField(answer, 1) !== 1) throw new Error('finalize: not ok')
}

/** A call; an answer whose content type is not exactly the one expected is a failure, as in the client. */
async function twirp(job, method, message) {
  const body = Buffer.concat(message)
  const url = new URL(`${job.url}/twirp/github.actions.results.api.v1.CacheService/${method}`)
  const fields = [
    `content-type: ${PROTOBUF}`, `authorization: Bearer ${job.token}`, 'accept: application/json;api-version=6.0-preview.1',
    `user-agent: ${AGENT}`, `host: ${url.host}`, `content-length: ${body.length}`,
  ]
  const { status, headers, body: answer } = await exchange('POST', url, fields, body)
  if (status < 300 && headers['content-type'] === PROTOBUF) return answer
  if (status >= 400 && headers['content-type'] === 'application/json') throw Object.assign(new Error(String(answer)), { status, ...JSON.parse(answer) })
  throw new Error(`http error ${status}, content type ${headers['content-type']}: ${answer}`)
}

async function put(target, body, cut = false) {
  const url = new URL(target)
  const fields = [
    'content-type: application/octet-stream', `content-length: ${body.length}`, 'x-ms-blob-type: AppendBlob', 'accept: */*',
    `user-agent: ${AGENT}`, `host: ${url.host}`,
  ]
  const { status, body: answer } = await exchange('PUT', url, fields, cut ? body.subarray(0, body.length / 2) : body, cut)
  if (status < 200 || status > 299) throw new Error(`${target}: ${status} ${answer}`)
}

/** Sends a request on a connection of its own, and reads the answer. */
async function exchange(method, url, fields, body, cut = false) {
  const socket = net.connect(Number(url.port), url.hostname)
  const pieces = []
  socket.on('data', (piece) => pieces.push(piece))
  const answer = new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed before the whole answer')))
    socket.on('data', () => {
      const whole = parse(Buffer.concat(pieces))
      if (whole) resolve(whole)
    })
  })
  answer.catch(() => {})
  await once(socket, 'connect')
  socket.write(`${method} ${url.pathname}${url.search} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`)
  socket.write(body, () => cut && socket.destroySoon())
  try {
    return await within(ANSWER_LIMIT_MS, `${method} ${url}`, answer)
  } finally {
    socket.destroy()
  }
}

/** The answer, or null while it is not all there. */
function parse(bytes) {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [first, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
  const body = bytes.subarray(end + 4)
  const length = Number(headers['content-length'] ?? 0)
  return body.length < length ? null : { status: Number(first.split(' ')[1]), headers, body: body.subarray(0, length) }
}

// Just enough of protobuf: fields of text and of whole numbers.
function varint(value) {
  const bytes = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left])
    bytes.push((left % 128) + 128)
  }
}
const text = (field, value) => Buffer.concat([varint(field * 8 + 2), varint(Buffer.byteLength(value)), Buffer.from(value)])
const number = (field, value) => (value === 0 ? Buffer.alloc(0) : Buffer.concat([varint(field * 8), varint(value)]))

function fieldsOf(message) {
  const fields = {}
  let at = 0
  const next = () => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++]
      value += (byte % 128) * factor
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = next()
    const value = next()
    fields[tag >> 3] = tag % 8 === 2 ? message.subarray(at, (at += value)).toString() : value
  }
  return fields
}
const textField = (message, field) => fieldsOf(message)[field] ?? ''
const numberField = (message, field) => fieldsOf(message)[field] ?? 0
