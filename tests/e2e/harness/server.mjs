// The server under test: the release binary on a free port with a data directory of its own, or, with LARDER_TEST_URL
// set, a server that runs already (LARDER_TEST_HS256_SECRET is its token secret; LARDER_TEST_DATA its data directory,
// for the cases that take stored objects away). LARDER_TEST_STORAGE and LARDER_TEST_DATABASE say what it keeps its data in.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { DATABASE, newBackend, STORAGE } from './backends.mjs'
import { keepRunning, plainEnvironment, succeed, untilReady } from './processes.mjs'
import { eventually, within } from './waiting.mjs'

const START_LIMIT_MS = 60_000
/** Docker kills what has not ended 10 s after SIGTERM. */
const HANDOVER_LIMIT_MS = 10_000
const LOG_LINES_SHOWN = 120
export const SECRET = 'e2e-secret-of-at-least-thirty-two-bytes'
const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url))

/** Why the cases that restart or stop the server cannot run, or false. */
export const cannotControl = process.env.LARDER_TEST_URL ? 'the server under test runs on its own' : false
/** Why the cases that take stored files away cannot run, or false. */
export const cannotWipe =
  process.env.LARDER_TEST_URL && !process.env.LARDER_TEST_DATA ? 'LARDER_TEST_DATA is not set' : false
/** Why the cases that need limits and evictions cannot run, or false. */
export const cannotLimit =
  cannotControl ||
  (path.basename(process.env.LARDER_TEST_BINARY ?? '') === 'larder-serve' ? 'a component has a cap and no evictions' : false)

/**
 * Starts a server, or returns a handle to the one that runs already. `upstream` is where it forwards to; `environment` are
 * settings for the server on top of the suite's own; `backend` is what several servers share, who started them removes it.
 */
export async function startServer({ upstream = 'http://127.0.0.1:9', environment = {}, backend = null } = {}) {
  const server = process.env.LARDER_TEST_URL ? new RunningServer() : new OwnServer(upstream, environment, backend)
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

class RunningServer {
  storage = 'filesystem'
  url = process.env.LARDER_TEST_URL?.replace(/\/+$/, '')
  secret = process.env.LARDER_TEST_HS256_SECRET
  dataDir = process.env.LARDER_TEST_DATA
  hasLog = false
  log = () => '(the log of a server that runs on its own is not at hand)'
  start = async () => {}
  stop = async () => {}
}

class OwnServer {
  hasLog = true
  secret = SECRET
  #listen = '127.0.0.1:0'
  #process = null
  #upstream
  #environment
  #lastLog = null
  #ownsBackend

  constructor(upstream, environment, backend) {
    this.#ownsBackend = !backend
    this.backend = backend
    this.storage = backend?.storage ?? STORAGE
    this.database = backend?.database ?? DATABASE
    this.#upstream = upstream
    this.#environment = environment
    this.home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-server-'))
    this.dataDir = path.join(this.home, 'data')
    this.logFile = path.join(this.home, 'log')
  }

  /** Everything that the server wrote so far, over all its starts, without colours. */
  log() {
    const text = this.#lastLog ?? (existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '')
    return text.replace(/\x1b\[[0-9;]*m/g, '')
  }

  /** Starts the server; again after `kill`, on the same port and data. */
  async start() {
    this.backend ??= await newBackend()
    const logged = this.log().length
    this.#process = keepRunning(binary(), ['serve'], this.logFile, { cwd: this.home, env: this.#variables() })
    this.ended = this.#process.ended
    const announced = () => this.log().slice(logged).match(/listening on (https?:\/\/(127\.0\.0\.1:\d+))/)
    let line
    try {
      line = await untilReady(START_LIMIT_MS, 'the server', this.#process, announced)
    } catch (error) {
      error.message += `\n${this.log().slice(logged)}`
      throw error
    }
    // A setting that does nothing would let every combination pass.
    // `larder.json` is the index of the component under wasmtime (tests/scripts/larder-serve.sh).
    const embedded = ['larder.db', 'larder.json'].some((file) => existsSync(path.join(this.dataDir, file)))
    if (embedded !== (this.database === 'sqlite')) throw new Error(`the index is not in ${this.database}`)
    this.url = line[1]
    this.#listen = line[2]
  }

  /** Asks the server to drain and end (SIGTERM), kills it past the limit, removes its data; returns its exit status. */
  async stop() {
    const status = await this.#process?.stop()
    this.#lastLog = this.log()
    if (!process.env.LARDER_TEST_KEEP) {
      rmSync(this.home, { recursive: true, force: true })
      if (this.#ownsBackend) await this.backend?.remove()
    }
    return status
  }

  /** Sends a signal and returns at once; `ended` tells when the server has gone. */
  signal(name) {
    this.#process.child.kill(name)
  }

  /**
   * Hands over to a new process, as a deployment does: the new one is started on the same port and data, and once it waits for them the
   * old one is asked to end. Returns how that ended.
   */
  async replace() {
    const old = this.#process
    const logged = this.log().length
    const started = this.start()
    const waits = () => /another Larder is using the data directory/.test(this.log().slice(logged))
    await Promise.race([started, eventually(HANDOVER_LIMIT_MS, 'the new server', waits)])
    old.child.kill('SIGTERM')
    await started
    return within(HANDOVER_LIMIT_MS, 'the end of the replaced server', old.ended)
  }

  /** Runs a command of the program beside the server, with its settings; returns what it prints. */
  command(parameters) {
    return succeed(binary(), parameters, { cwd: this.home, env: this.#variables() })
  }

  /** Runs a statement in the server's database. */
  inDatabase(statement) {
    return this.backend.execute(statement, this.dataDir)
  }

  /** Kills the server as a power cut would, and waits until it is gone. The data stays. */
  async kill() {
    this.signal('SIGKILL')
    await this.ended
  }

  #variables() {
    return {
      ...plainEnvironment(),
      LARDER_LISTEN: this.#listen,
      LARDER_DATA: this.dataDir,
      // Servers of several suites may run at once.
      LARDER_MANAGEMENT_LISTEN: 'off',
      LARDER_HS256_SECRET: this.secret,
      DEFAULT_ACTIONS_RESULTS_URL: this.#upstream,
      RUST_LOG: 'info',
      ...this.backend.environment,
      ...this.#environment,
    }
  }
}

/** The program under test. */
export const binary = () => existing(process.env.LARDER_TEST_BINARY ?? built('larder'))

/** The program of this example, of the folder `examples`. */
export const exampleBinary = (name) => existing(built(`larder-example-${name}`))

const built = (name) =>
  path.join(path.resolve(repositoryRoot, process.env.CARGO_TARGET_DIR ?? 'target'), 'release', name)

function existing(file) {
  if (!existsSync(file)) throw new Error(`no program at ${file}: run 'make e2e', which builds it first`)
  return file
}

/** The last lines of the server's log, for the report of a failed test. */
export const logTail = (server) => server.log().split('\n').slice(-LOG_LINES_SHOWN).join('\n')
