// sccache, as a job would use it: a server of its own for each job, on a port of its own, which is stopped after.
import path from 'node:path'
import { mkdirSync } from 'node:fs'
import { freePort, plainEnvironment, run, succeed } from './processes.mjs'

const COMPILE_LIMIT_MS = 60_000

/**
 * Runs `body` beside a fresh sccache server that knows nothing but the job's cache. `body` gets `{ compile, statistics }`: `compile(parameters)`
 * runs the C compiler through it in `folder`; `statistics()` is what the server counted so far.
 */
export async function withSccache(dir, job, folder, body) {
  const program = path.join(dir, 'sccache')
  const home = path.join(folder, '.sccache')
  mkdirSync(home, { recursive: true })
  const env = {
    ...plainEnvironment(),
    HOME: home,
    SCCACHE_SERVER_PORT: String(await freePort()),
    SCCACHE_DIR: path.join(home, 'unused'),
    SCCACHE_CONF: path.join(home, 'no-configuration'),
    SCCACHE_IDLE_TIMEOUT: '60',
    SCCACHE_GHA_ENABLED: 'on',
    ACTIONS_CACHE_SERVICE_V2: 'on',
    ACTIONS_RESULTS_URL: `${job.url}/`,
    ACTIONS_RUNTIME_TOKEN: job.token,
    GITHUB_SERVER_URL: 'https://github.com',
    ...job.environment,
  }
  const options = { cwd: folder, env, limitMs: COMPILE_LIMIT_MS }
  const compile = (parameters) => succeed(program, ['cc', ...parameters], options)
  const statistics = async () => JSON.parse(await succeed(program, ['--show-stats', '--stats-format=json'], options)).stats
  await succeed(program, ['--start-server'], options)
  try {
    return await body({ compile, statistics })
  } finally {
    // Ends the server once what it still writes is written.
    await run(program, ['--stop-server'], options)
  }
}
