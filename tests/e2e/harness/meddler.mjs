// A proxy between a client and the server that spoils one exchange: it cuts a request or an answer off at some byte, sends a request
// twice, late, or after those that came later. What a bad network does, at a point that is chosen.
import http from 'node:http'
import net from 'node:net'
import { listen } from './processes.mjs'

const DELAY_MS = 250
const CHUNK_BYTES = 64 * 1024

/** At which byte a request is cut off: from the first one to all but the last one. */
const REQUEST_CUTS = {
  'cut off after its first byte': () => 1,
  'cut off in its head': ({ head }) => Math.floor(head / 2),
  'cut off after its head': ({ head }) => head,
  'cut off in its body': ({ head, all }) => head + Math.floor((all - head) / 2),
  'cut off before its last byte': ({ all }) => all - 1,
}
/** At which byte an answer is cut off. The server did its work. */
const ANSWER_CUTS = {
  'whose answer is lost': () => 0,
  'whose answer is cut off after its first byte': () => 1,
  'whose answer is cut off in the middle': ({ all }) => Math.floor(all / 2),
  'whose answer is cut off before its last byte': ({ all }) => all - 1,
}
const OTHERS = ['sent twice', 'sent twice at once', 'sent again after the next one', 'sent again at the end', 'delayed']

/** All that the meddler can do to a request. */
export const MISHAPS = [...Object.keys(REQUEST_CUTS), ...Object.keys(ANSWER_CUTS), ...OTHERS]

/**
 * Starts a meddler before the server at `target`. `plan(n, { method, url })` names the mishap of the n-th request, counted from 0, or nothing.
 * Returns `{ url, seen, settle, stop }`: `seen` are the requests so far, as "METHOD path"; `settle` sends what is still to be sent late.
 */
export async function startMeddler(target, plan) {
  const meddler = new Meddler(new URL(target), plan)
  const server = http.createServer((request, answer) => meddler.take(request, answer.socket))
  server.on('clientError', (_, socket) => socket.destroy())
  meddler.url = `http://127.0.0.1:${await listen(server)}`
  meddler.stop = () => new Promise((resolve) => server.close(resolve) && server.closeAllConnections())
  return meddler
}

class Meddler {
  seen = []
  #target
  #plan
  #afterNext = []
  #atTheEnd = []

  constructor(target, plan) {
    this.#target = target
    this.#plan = plan
  }

  async settle() {
    for (const bytes of [...this.#afterNext.splice(0), ...this.#atTheEnd.splice(0)]) await this.#exchange(bytes)
  }

  async take(request, client) {
    client.on('error', () => {})
    const message = await serialize(request)
    const mishap = this.#plan(this.seen.length, request)
    this.seen.push(`${request.method} ${request.url.split('?')[0]}`)
    const late = this.#afterNext.splice(0)
    await this.#commit(mishap, message, client)
    for (const bytes of late) await this.#exchange(bytes)
  }

  async #commit(mishap, message, client) {
    const { bytes } = message
    if (mishap in REQUEST_CUTS) {
      await this.#exchange(bytes.subarray(0, REQUEST_CUTS[mishap](message)), { cut: true })
      return client.destroy()
    }
    if (mishap === 'delayed') await new Promise((resolve) => setTimeout(resolve, DELAY_MS))
    if (mishap === 'sent twice') await this.#exchange(bytes)
    if (mishap === 'sent again after the next one') this.#afterNext.push(bytes)
    if (mishap === 'sent again at the end') this.#atTheEnd.push(bytes)
    const twin = mishap === 'sent twice at once' ? this.#exchange(bytes) : null
    const answer = await this.#exchange(bytes)
    await twin
    if (!(mishap in ANSWER_CUTS)) return client.end(answer)
    const length = ANSWER_CUTS[mishap]({ all: answer.length })
    if (length === 0) return client.destroy()
    client.write(answer.subarray(0, length), () => client.destroy())
  }

  /** Sends bytes on a connection of their own; returns all that comes back, which is nothing where the request is cut off. */
  #exchange(bytes, { cut = false } = {}) {
    return new Promise((resolve, reject) => {
      const pieces = []
      const server = net.connect(Number(this.#target.port), this.#target.hostname)
      server.on('data', (piece) => pieces.push(piece))
      // A server may answer and close before it read a body that it does not want.
      server.once('error', (error) => (cut || pieces.length ? resolve(Buffer.concat(pieces)) : reject(error)))
      server.once('close', () => resolve(Buffer.concat(pieces)))
      server.write(bytes, () => cut && server.destroySoon())
    })
  }
}

/** A request as bytes, for a connection that is closed after it. Returns `{ bytes, head, all }`, the lengths of the head and of all. */
async function serialize(request) {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  const body = Buffer.concat(pieces)
  const lines = [`${request.method} ${request.url} HTTP/1.1`]
  for (let n = 0; n < request.rawHeaders.length; n += 2) {
    const [name, value] = request.rawHeaders.slice(n, n + 2)
    if (name.toLowerCase() !== 'connection') lines.push(`${name}: ${value}`)
  }
  const head = Buffer.from(`${lines.join('\r\n')}\r\nconnection: close\r\n\r\n`)
  const chunked = request.headers['transfer-encoding'] === 'chunked'
  const bytes = Buffer.concat([head, chunked ? inChunks(body) : body])
  return { bytes, head: head.length, all: bytes.length }
}

function inChunks(body) {
  const pieces = []
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const piece = body.subarray(at, at + CHUNK_BYTES)
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}
