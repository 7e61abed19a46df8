// wireit, which speaks https only, behind a TLS front: a script's output is cached, and restored where it is missing.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { succeed } from '../harness/processes.mjs'
import { cannotControl, logTail, startServer } from '../harness/server.mjs'
import { newJob, newRepository } from '../harness/suite.mjs'
import { startTlsFront } from '../harness/tls-front.mjs'
import { MIB } from '../harness/workspace.mjs'

const RUN_LIMIT_MS = 60_000
const packages = fileURLToPath(new URL('../node_modules', import.meta.url))

let front
let server
before(async () => {
  if (cannotControl) return
  front = await startTlsFront()
  server = await startServer({ environment: { API_BASE_URL: front.url } })
  front.passTo(server.url)
})
after(async () => {
  await server?.stop()
  await front?.stop()
})

// wireit sends blocks of 32 MiB: the larger output takes two.
for (const [label, size] of [['1 KiB', 1024], ['40 MiB', 40 * MIB]]) {
  building(`wireit caches a script's output of ${label}; a fresh checkout restores it and does not run the script`, async (folder) => {
    const job = { ...newJob(server), url: front.url }
    assert.match(await runScript(job, folder, size), /Executed successfully/)
    const digest = outputDigest(folder)
    assert.equal(runs(folder), 1)
    clean(folder)
    assert.match(await runScript(job, folder, size), /Restored from cache/)
    assert.equal(runs(folder), 1, 'the script ran again')
    assert.equal(outputDigest(folder), digest)

    writeFileSync(path.join(folder, 'input.txt'), 'other input')
    await runScript(job, folder, size)
    assert.equal(runs(folder), 2, 'the script did not run for its other input')
  })
}

building('wireit of another job of the repository restores it, too; that of another repository does not', async (folder) => {
  const repository = newRepository()
  const job = (options) => ({ ...newJob(server, options), url: front.url })
  await runScript(job({ repository }), folder, 10)
  clean(folder)
  await runScript(job({ repository, validForSeconds: 1800 }), folder, 10)
  assert.equal(runs(folder), 1)
  clean(folder)
  await runScript(job(), folder, 10)
  assert.equal(runs(folder), 2)
})

function building(name, body) {
  test(name, { skip: cannotControl, timeout: 90_000 }, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-wireit-'))
    try {
      await body(folder)
    } catch (error) {
      console.error(`--- log of the server\n${logTail(server)}\n---`)
      throw error
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

/** Runs the project's only script by wireit; it notes its runs, and makes an output of so many bytes. Returns what wireit printed. */
async function runScript(job, folder, size) {
  const write = `const fs = require('fs'); fs.appendFileSync('runs', 'x'); fs.mkdirSync('out', { recursive: true }); fs.writeFileSync('out/made', require('crypto').randomBytes(${size}))`
  writeFileSync(path.join(folder, 'make.js'), write)
  if (!existsSync(path.join(folder, 'input.txt'))) writeFileSync(path.join(folder, 'input.txt'), 'input')
  const wireit = { make: { command: 'node make.js', files: ['make.js', 'input.txt'], output: ['out/**'] } }
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'project', version: '1.0.0', scripts: { make: 'wireit' }, wireit }))
  const { HOME, PATH } = process.env
  const env = {
    HOME,
    PATH: `${packages}/.bin:${PATH}`,
    CI: 'true',
    WIREIT_CACHE: 'github',
    WIREIT_LOGGER: 'simple',
    ACTIONS_RESULTS_URL: `${job.url}/`,
    ACTIONS_RUNTIME_TOKEN: job.token,
    NODE_EXTRA_CA_CERTS: front.certificateFile,
  }
  const output = await succeed('npm', ['run', 'make'], { cwd: folder, env, limitMs: RUN_LIMIT_MS })
  assert.doesNotMatch(output, /error|disabled/i, output)
  return output
}

const runs = (folder) => readFileSync(path.join(folder, 'runs')).length
const outputDigest = (folder) => createHash('sha256').update(readFileSync(path.join(folder, 'out/made'))).digest('hex')

/** What a fresh checkout lacks: the output, and what wireit remembers of its runs. */
function clean(folder) {
  for (const name of ['out', '.wireit']) rmSync(path.join(folder, name), { recursive: true, force: true })
}
