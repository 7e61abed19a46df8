// The wire protocol without a client library: the Twirp calls, the blob requests, and connections under exact control.
import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { within } from './waiting.mjs'

const REQUEST_LIMIT_MS = 30_000
const SERVICE = '/twirp/github.actions.results.api.v1.CacheService/'
const keptAlive = new http.Agent({ keepAlive: true, maxSockets: 8 })

/**
 * Sends one request; returns `{ status, headers, body }` with the whole body. A body that is cut short is an error. `announced` says
 * whether the request says how long its body is.
 */
export function send(method, url, { headers = {}, body = Buffer.alloc(0), announced = true } = {}) {
  const framing = announced ? { 'content-length': body.length } : { 'transfer-encoding': 'chunked' }
  const exchange = new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent: keptAlive, headers: { ...framing, ...headers } })
    request.once('error', reject)
    request.once('response', async (response) => {
      try {
        resolve({ status: response.statusCode, headers: response.headers, body: await readAll(response) })
      } catch (error) {
        reject(error)
      }
    })
    request.end(body)
  })
  return within(REQUEST_LIMIT_MS, `${method} ${url}`, exchange)
}

async function readAll(stream) {
  const pieces = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function twirp(job, method, message) {
  const agent = job.agent ? { 'user-agent': job.agent } : {}
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${job.token}`, ...agent }
  const answer = await send('POST', `${job.url}${SERVICE}${method}`, { headers, body: Buffer.from(JSON.stringify(message)) })
  return { status: answer.status, json: JSON.parse(answer.body) }
}

/** How long a client waits at least before it asks again for an upload, and what two clocks may differ by. */
export const BACK_OFF_MS = 1100
export const backOff = () => new Promise((resolve) => setTimeout(resolve, BACK_OFF_MS))

/** An arbitrary version: 64 hexadecimal digits, as the toolkit makes them. */
export const VERSION = '5f'.repeat(32)

export const create = (job, key, version = VERSION) => twirp(job, 'CreateCacheEntry', { key, version })
export const finalize = (job, key, size) =>
  twirp(job, 'FinalizeCacheEntryUpload', { key, version: VERSION, size_bytes: String(size) })
export const lookup = (job, key, restoreKeys = []) =>
  twirp(job, 'GetCacheEntryDownloadURL', { key, restore_keys: restoreKeys, version: VERSION })

export const putBlob = (url, body) => send('PUT', url, { body, headers: { 'x-ms-blob-type': 'BlockBlob' } })
export const putBlock = (url, id, body) => send('PUT', blockUrl(url, id), { body })
export const putBlockList = (url, ids) => send('PUT', `${url}&comp=blocklist`, { body: blockList(ids) })

// An append blob is made, gets its bytes in order, and is sealed.
const appendBlob = { 'x-ms-blob-type': 'AppendBlob' }
export const createAppendBlob = (url) => send('PUT', url, { headers: appendBlob })
export const appendBlock = (url, body) => send('PUT', `${url}&comp=appendblock`, { body, headers: appendBlob })
export const sealAppendBlob = (url) => send('PUT', `${url}&comp=seal`, { headers: appendBlob })

// Version 1: a reservation has a number, its chunks say where they belong.
const caches = (job) => `${job.url}/_apis/artifactcache/caches`
const ofVersion1 = (job, type) => ({ authorization: `Bearer ${job.token}`, accept: 'application/json;api-version=6.0-preview.1', 'content-type': type })

export async function reserve(job, key) {
  const body = Buffer.from(JSON.stringify({ key, version: VERSION }))
  const answer = await send('POST', caches(job), { headers: ofVersion1(job, 'application/json'), body })
  return { status: answer.status, json: JSON.parse(answer.body) }
}
/** `length` is what the chunk says of itself. */
export const patch = (job, id, start, body, { length = body.length, ...options } = {}) =>
  send('PATCH', `${caches(job)}/${id}`, {
    ...options,
    headers: { ...ofVersion1(job, 'application/octet-stream'), 'content-range': `bytes ${start}-${start + length - 1}/*` },
    body,
  })
export const commit = (job, id, size) =>
  send('POST', `${caches(job)}/${id}`, { headers: ofVersion1(job, 'application/json'), body: Buffer.from(JSON.stringify({ size })) })

export const blockUrl = (url, id) => `${url}&comp=block&blockid=${encodeURIComponent(blockId(id))}`

/** A block id as clients make them: base64, all of one length. */
const blockId = (id) => Buffer.from(String(id).padStart(12, '0')).toString('base64')

const blockList = (ids) =>
  Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${blockId(id)}</Latest>`).join('')}</BlockList>`)

/** Saves an entry by a single Put Blob; fails where any step is refused. Returns the finalize answer. */
export async function store(job, key, content) {
  const created = await create(job, key)
  if (created.status !== 200) throw new Error(`create: ${created.status} ${JSON.stringify(created.json)}`)
  const put = await putBlob(created.json.signed_upload_url, content)
  if (put.status !== 201) throw new Error(`put blob: ${put.status} ${put.body}`)
  const finalized = await finalize(job, key, content.length)
  if (finalized.status !== 200) throw new Error(`finalize: ${finalized.status} ${JSON.stringify(finalized.json)}`)
  return finalized
}

/** Looks a key up and downloads the hit. */
export async function fetchEntry(job, key) {
  const found = await lookup(job, key)
  if (!found.json.ok) throw new Error(`lookup of ${key} missed: ${found.status} ${JSON.stringify(found.json)}`)
  return send('GET', found.json.signed_download_url)
}

/** Sends a PUT whose body breaks off after the first half, by closing the connection. */
export async function putHalf(url, body) {
  const target = new URL(url)
  const socket = net.connect(Number(target.port), target.hostname)
  await once(socket, 'connect')
  socket.on('error', () => {})
  const head = `PUT ${target.pathname}${target.search} HTTP/1.1\r\nhost: ${target.host}\r\ncontent-length: ${body.length}\r\n\r\n`
  const half = body.subarray(0, Math.floor(body.length / 2))
  await within(REQUEST_LIMIT_MS, 'half a body', new Promise((resolve) => socket.write(Buffer.concat([Buffer.from(head), half]), resolve)))
  socket.destroySoon()
  await within(REQUEST_LIMIT_MS, 'closing', once(socket, 'close'))
}

/** Sends the first half of a PUT; returns `{ half, finish }`: a promise of that, and a function that sends the rest and returns the answer. */
export function beginPut(url, body) {
  const middle = Math.floor(body.length / 2)
  const request = http.request(url, { method: 'PUT', agent: false, headers: { 'content-length': body.length } })
  const answered = once(request, 'response')
  // A failure is told by `finish`.
  answered.catch(() => {})
  const half = new Promise((resolve) => request.write(body.subarray(0, middle), resolve))
  const finish = async () => {
    request.end(body.subarray(middle))
    const [response] = await within(REQUEST_LIMIT_MS, `PUT ${url}`, answered)
    return { status: response.statusCode, body: await readAll(response) }
  }
  return { half: within(REQUEST_LIMIT_MS, 'half a body', half), finish }
}

/**
 * Begins a download and stops reading after its head and first bytes. Returns `{ announced, finish }`: the announced length, and
 * a function that reads the rest and tells `{ received, clean }`, the bytes and whether the announced length was reached.
 */
export async function beginDownload(url) {
  const request = http.get(url, { agent: false })
  const [response] = await within(REQUEST_LIMIT_MS, `GET ${url}`, once(request, 'response'))
  if (response.statusCode !== 200) throw new Error(`GET ${url}: ${response.statusCode}`)
  const pieces = [await within(REQUEST_LIMIT_MS, 'the first bytes', firstPiece(response))]
  const finish = async () => {
    let clean = true
    try {
      await within(REQUEST_LIMIT_MS, 'the rest of the download', (async () => {
        for await (const piece of response) pieces.push(piece)
      })())
    } catch (error) {
      if (error.code !== 'ECONNRESET') throw error
      clean = false
    }
    return { received: Buffer.concat(pieces), clean }
  }
  return { announced: Number(response.headers['content-length']), finish }
}

async function firstPiece(stream) {
  await once(stream, 'readable')
  return stream.read(1)
}
