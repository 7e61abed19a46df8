// A server whose listening socket outlives it: a small supervisor (hold-socket.py) holds it, as systemd does for a unit with a socket.
import { spawn } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'
import { endWithThisProcess, plainEnvironment } from './processes.mjs'
import { binary, SECRET } from './server.mjs'
import { within } from './waiting.mjs'

const SAID_LIMIT_MS = 20_000
const supervisor = fileURLToPath(new URL('./hold-socket.py', import.meta.url))

/** Starts a server by socket activation; `{ url, secret, hasLog, log, restart, stop }`. Requests may come at once: the socket holds them. */
export async function startActivated() {
  const server = new ActivatedServer()
  await server.start()
  return server
}

class ActivatedServer {
  secret = SECRET
  hasLog = true
  #home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-activated-'))
  #logFile = path.join(this.#home, 'log')
  #supervisor
  #said
  #ended

  log = () => readFileSync(this.#logFile, 'utf8').replace(/\x1b\[[0-9;]*m/g, '')

  async start() {
    const log = openSync(this.#logFile, 'a')
    const env = {
      ...plainEnvironment(),
      // Of no effect where the socket is passed.
      LARDER_LISTEN: '127.0.0.1:0',
      LARDER_MANAGEMENT_LISTEN: 'off',
      LARDER_DATA: path.join(this.#home, 'data'),
      LARDER_HS256_SECRET: SECRET,
      DEFAULT_ACTIONS_RESULTS_URL: 'none',
      RUST_LOG: 'info',
    }
    const options = { cwd: this.#home, env, stdio: ['pipe', 'pipe', log] }
    this.#supervisor = spawn('python3', [supervisor, binary(), 'serve'], options)
    this.#ended = new Promise((resolve) => this.#supervisor.once('exit', resolve)).finally(endWithThisProcess(this.#supervisor))
    this.#said = readline.createInterface({ input: this.#supervisor.stdout })[Symbol.asyncIterator]()
    this.url = `http://127.0.0.1:${await this.#told('port')}`
    await this.#told('started')
  }

  /** Asks the server to end, and has it started again; returns its exit status. */
  async restart() {
    this.#supervisor.stdin.write('restart\n')
    const status = Number(await this.#told('ended'))
    await this.#told('started')
    return status
  }

  /** Ends the server and the supervisor; returns the server's exit status. */
  async stop() {
    this.#supervisor.stdin.end()
    const status = Number(await this.#told('ended'))
    await within(SAID_LIMIT_MS, 'the end of the supervisor', this.#ended)
    if (!process.env.LARDER_TEST_KEEP) rmSync(this.#home, { recursive: true, force: true })
    return status
  }

  /** What the supervisor says next, which begins with this word. */
  async #told(word) {
    const { value = 'nothing' } = await within(SAID_LIMIT_MS, `"${word}" of the supervisor`, this.#said.next())
    const [first, rest] = value.split(' ')
    if (first !== word) throw new Error(`the supervisor said "${value}" instead of "${word} …"\n${this.log()}`)
    return rest
  }
}
