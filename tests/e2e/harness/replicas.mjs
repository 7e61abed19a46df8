// Two servers on one database and one bucket, behind a front that gives each request to the other one, whatever connection it comes on.
import http from 'node:http'
import { newBackend } from './backends.mjs'
import { listen } from './processes.mjs'
import { startServer } from './server.mjs'

const HOW_MANY = 2

/** Starts replicas on this storage and database. */
export async function startReplicas(kinds) {
  const backend = await newBackend(kinds)
  const replicas = new Replicas(backend)
  try {
    await replicas.start()
  } catch (error) {
    await replicas.stop()
    throw error
  }
  return replicas
}

class Replicas {
  hasLog = true
  servers = []
  /** How many requests the front gave to each. */
  taken = Array(HOW_MANY).fill(0)
  #backend
  #front = null
  #next = 0

  constructor(backend) {
    this.#backend = backend
  }

  /** They start at the same time, on an empty database: both make the tables, and one key of signed URLs. */
  async start() {
    const starts = await Promise.allSettled(Array.from({ length: HOW_MANY }, () => startServer({ backend: this.#backend })))
    this.servers = starts.filter(({ value }) => value).map(({ value }) => value)
    const failed = starts.find(({ reason }) => reason)
    if (failed) throw failed.reason
    this.secret = this.servers[0].secret
    this.#front = http.createServer((request, answer) => this.#pass(request, answer))
    this.url = `http://127.0.0.1:${await listen(this.#front)}`
  }

  log = () => this.servers.map((server, n) => `(replica ${n})\n${server.log()}`).join('\n')

  async stop() {
    if (this.#front) await new Promise((resolve) => this.#front.close(resolve) && this.#front.closeAllConnections())
    const statuses = []
    for (const server of this.servers) statuses.push(await server.stop())
    await this.#backend.remove()
    return statuses.find((status) => status?.code !== 0) ?? { code: 0 }
  }

  /** Nothing is repeated: an answer that breaks off, or does not come, is one to the client as well. */
  #pass(request, answer) {
    const n = this.#next++ % HOW_MANY
    this.taken[n] += 1
    const { hostname, port } = new URL(this.servers[n].url)
    const passed = http.request({
      hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false, setHost: false,
    })
    passed.on('error', () => answer.destroy())
    passed.on('response', (response) => {
      const { connection, 'keep-alive': _, ...headers } = response.headers
      answer.writeHead(response.statusCode, headers)
      response.on('error', () => answer.destroy()).pipe(answer)
    })
    request.on('error', () => passed.destroy()).pipe(passed)
    answer.on('close', () => answer.writableFinished || passed.destroy())
  }
}
