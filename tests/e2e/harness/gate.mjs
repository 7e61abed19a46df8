// A gate before a service, a database or an object store: it can be open, refuse whoever comes (the service is stopped), or be silent
// (the service hangs). Bytes only: it knows nothing of what passes.
import { once } from 'node:events'
import net from 'node:net'
import { listen } from './processes.mjs'

/** What can be wrong with a service. */
export const OUTAGES = ['stopped', 'hanging']

/** Starts a gate before what listens at `target`, a URL. It is open. */
export async function startGate(target) {
  const { hostname, port } = new URL(target)
  const gate = new Gate({ host: hostname, port: Number(port) })
  await gate.open()
  return gate
}

class Gate {
  #target
  #listener = null
  #port = 0
  #hangs = false
  #connections = new Set()

  constructor(target) {
    this.#target = target
  }

  /** The same URL, through the gate. */
  through(url) {
    const own = new URL(url)
    Object.assign(own, { hostname: '127.0.0.1', port: String(this.#port) })
    return own.href.replace(/\/$/, '')
  }

  /** Begins an outage, one of `OUTAGES`. */
  async close(outage) {
    if (outage === 'hanging') {
      this.#hangs = true
      for (const socket of this.#connections) socket.pause()
    } else {
      this.cut()
      await this.stop()
    }
  }

  /** Ends the outage. What was sent to a service that hung arrives now, as after SIGCONT, also when its sender has given up. */
  async open() {
    this.#hangs = false
    for (const socket of this.#connections) socket.resume()
    if (this.#listener) return
    this.#listener = net.createServer((client) => this.#connect(client))
    if (this.#port === 0) this.#port = await listen(this.#listener)
    else await once(this.#listener.listen(this.#port, '127.0.0.1'), 'listening')
  }

  /**
   * Cuts all connections: by a reset, but for those whose end is being sent. To reset these fails inside Node and leaves them open
   * for ever, and the process then spins when it should end.
   */
  cut() {
    for (const socket of this.#connections) socket.writableEnded ? socket.destroy() : socket.resetAndDestroy()
  }

  /** Stops for good, or until it is opened again. */
  async stop() {
    this.cut()
    const listener = this.#listener
    this.#listener = null
    if (listener) await new Promise((resolve) => listener.close(resolve))
  }

  #connect(client) {
    const service = net.connect(this.#target)
    for (const [from, to] of [[client, service], [service, client]]) {
      this.#connections.add(from)
      from.on('data', (piece) => to.write(piece) || from.pause())
      to.on('drain', () => this.#hangs || from.resume())
      from.on('error', () => to.destroy())
      from.on('end', () => to.end())
      from.on('close', () => {
        this.#connections.delete(from)
        if (!this.#hangs) to.destroySoon()
      })
      if (this.#hangs) from.pause()
    }
  }
}
