// Docker's daemon with the BuildKit in it, started by hand in a temporary directory: no network, no images from elsewhere, nothing of
// the system's own Docker touched. Builds are `FROM scratch` and `COPY` only, so nothing runs in a container.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { keepRunning, plainEnvironment, run, succeed, untilReady } from './processes.mjs'

const START_LIMIT_MS = 60_000
const BUILD_LIMIT_MS = 80_000

/** Starts a daemon of the programs in `dir`. Its cache of builds is empty. */
export async function startBuildkit(dir) {
  const buildkit = new Buildkit(dir)
  try {
    await buildkit.start()
  } catch (error) {
    error.message += `\n${buildkit.log()}`
    await buildkit.stop()
    throw error
  }
  return buildkit
}

class Buildkit {
  #bin
  #home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-docker-'))
  #daemon = null

  constructor(dir) {
    this.#bin = path.join(dir, 'bin')
    this.#environment = {
      ...plainEnvironment(),
      PATH: `${this.#bin}:${process.env.PATH}`,
      LD_LIBRARY_PATH: path.join(dir, 'lib'),
      HOME: this.#home,
      DOCKER_CONFIG: path.join(this.#home, 'client'),
      DOCKER_HOST: `unix://${this.#socket}`,
    }
  }

  #environment
  get #socket() {
    return path.join(this.#home, 'socket')
  }
  get #logFile() {
    return path.join(this.#home, 'log')
  }

  log() {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8').split('\n').slice(-60).join('\n') : ''
  }

  async start() {
    const configuration = path.join(this.#home, 'daemon.json')
    writeFileSync(configuration, JSON.stringify({ features: { 'containerd-snapshotter': true } }))
    const parameters = [
      `--config-file=${configuration}`, '--bridge=none', '--iptables=false', '--ip6tables=false', '--userland-proxy=false',
      `--data-root=${path.join(this.#home, 'data')}`, `--exec-root=${path.join(this.#home, 'run')}`,
      `--pidfile=${path.join(this.#home, 'pid')}`, `--host=unix://${this.#socket}`,
    ]
    const options = { cwd: this.#home, env: this.#environment }
    this.#daemon = keepRunning(path.join(this.#bin, 'dockerd'), parameters, this.#logFile, options)
    await untilReady(START_LIMIT_MS, "Docker's daemon", this.#daemon, () => this.#buildx(['du']).then(({ status }) => status === 0))
  }

  async stop() {
    await this.#daemon?.stop()
    rmSync(this.#home, { recursive: true, force: true })
  }

  /**
   * Builds the folder; the result is unpacked into `destination`, so every layer has to be there. Returns `{ status, output, elapsedMs, steps }`:
   * `steps` tells of each COPY whether it was taken from a cache.
   */
  async build(folder, { cacheTo, cacheFrom, destination, limitMs = BUILD_LIMIT_MS }) {
    const parameters = ['build', '--progress=rawjson', '--provenance=false', `--output=type=local,dest=${destination}`]
    if (cacheTo) parameters.push(`--cache-to=${cacheTo}`)
    if (cacheFrom) parameters.push(`--cache-from=${cacheFrom}`)
    mkdirSync(destination, { recursive: true })
    const built = await this.#buildx([...parameters, folder], limitMs)
    const { vertexes, text } = readProgress(built.output)
    return { ...built, output: text, steps: copySteps(vertexes) }
  }

  /**
   * Bakes: builds several targets at once. `targets` is name → `{ context, dockerfile, cacheTo, cacheFrom, destination }`, the Dockerfile as
   * text. Returns what `build` does.
   */
  async bake(folder, targets) {
    const target = Object.fromEntries(Object.entries(targets).map(([name, one]) => [name, bakeTarget(one)]))
    const file = path.join(folder, 'bake.json')
    writeFileSync(file, JSON.stringify({ group: { default: { targets: Object.keys(targets) } }, target }))
    const baked = await this.#buildx(['bake', '--progress=rawjson', '--provenance=false', '--allow=fs=*', `--file=${file}`], BUILD_LIMIT_MS)
    const { vertexes, text } = readProgress(baked.output)
    return { ...baked, output: text, steps: copySteps(vertexes) }
  }

  /** Forgets all that was built. */
  prune() {
    return succeed(path.join(this.#bin, 'docker-buildx'), ['prune', '--all', '--force'], { env: this.#environment })
  }

  #buildx(parameters, limitMs) {
    return run(path.join(this.#bin, 'docker-buildx'), parameters, { env: this.#environment, limitMs })
  }
}

const bakeTarget = ({ context, dockerfile, cacheTo, cacheFrom, destination }) => ({
  context,
  'dockerfile-inline': dockerfile,
  output: [`type=local,dest=${destination}`],
  ...(cacheTo && { 'cache-to': [cacheTo] }),
  ...(cacheFrom && { 'cache-from': [cacheFrom] }),
})

/** What buildx told of its progress, a line for each event that says something of a step, and what else it printed. */
function readProgress(output) {
  const lines = output.split('\n')
  const vertexes = lines.filter((line) => line.startsWith('{')).flatMap((line) => JSON.parse(line).vertexes ?? [])
  const events = vertexes.filter(({ completed }) => completed).map(({ name, cached, error }) => [name, cached && 'CACHED', error].filter(Boolean).join(' '))
  const others = lines.filter((line) => !line.startsWith('{'))
  return { vertexes, text: [...events, ...others].join('\n') }
}

/** The COPY steps: what each copied → whether it was taken from a cache. A step is told of again while its layer is unpacked. */
function copySteps(vertexes) {
  const steps = {}
  for (const { name, cached, completed } of vertexes) {
    const [, copied] = name.match(/\] COPY (.*)$/) ?? []
    if (copied && completed) steps[copied] ||= Boolean(cached)
  }
  return steps
}
