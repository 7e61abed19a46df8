// Calls of the toolkit's packages, each in a process of its own: a package reads its environment when it is loaded
// and speaks to a runner by its standard output.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { mkdirSync } from 'node:fs'
import path from 'node:path'

/** The clients, by the npm aliases of package.json. */
export const CLIENTS = ['actions-cache-6', 'actions-cache-5', 'actions-cache-4']
export const NEWEST = CLIENTS[0]
/** The clients that speak version 1: old ones know nothing else, newer ones do it for a server of GitHub Enterprise. */
export const VERSION_1_CLIENTS = ['actions-cache-3', 'actions-cache-6@ghes', 'actions-cache-5@ghes']
const PLATFORMS = { ghes: { GITHUB_SERVER_URL: 'https://github.company.example' } }
const CALL_LIMIT_MS = 60_000
const child = fileURLToPath(new URL('./toolkit-call.mjs', import.meta.url))

/** What every call saves and restores: this directory of the workspace. */
export const PAYLOAD = 'payload'

/** What a package prints that calls again. Its own start may take seconds on a busy machine, so time says little. */
const REPEATED = /Attempt \d+ of \d+/
const HANG_MS = 30_000

/** The first call was answered, and nothing was waited for. */
export function assertPrompt({ output, elapsedMs }) {
  assert.doesNotMatch(output, REPEATED)
  assert.ok(elapsedMs < HANG_MS, `took ${elapsedMs} ms`)
}

/** Saves the workspace's payload. Returns `{ result: <entry id, or -1> }` and what the client printed. */
export const save = (job, workspace, key, client = NEWEST) =>
  call(job, workspace, client, { call: 'saveCache', arguments: [[PAYLOAD], key] })

/** Restores into the workspace. Returns `{ result: <matched key, or null> }` and what the client printed. */
export const restore = (job, workspace, key, { restoreKeys = [], client = NEWEST, lookupOnly = false } = {}) =>
  call(job, workspace, client, { call: 'restoreCache', arguments: [[PAYLOAD], key, restoreKeys, { lookupOnly }] })

/**
 * Runs one call of the cache package. Returns `{ result, elapsedMs, output, warnings, errors }`: the time is that of the call alone,
 * warnings and errors are the annotations that a user would see at the job. Fails where the call throws or takes too long.
 */
function call(job, workspace, client, request) {
  const [name, platform] = client.split('@')
  return callPackage(workspace, { package: name, ...request }, { ...environmentOf(job), ...PLATFORMS[platform] })
}

/** What tells a client where the service is, as the runner sets it, and as a later variable may override. */
const environmentOf = (job) => ({
  ACTIONS_RESULTS_URL: `${job.url}/`,
  ACTIONS_CACHE_URL: `${job.url}/`,
  ACTIONS_RUNTIME_TOKEN: job.token,
  ACTIONS_CACHE_SERVICE_V2: 'True',
  GITHUB_SERVER_URL: 'https://github.com',
  ...job.environment,
})

/** Calls `request.call` of an npm package as a step of a job would, in a process of its own. */
export async function callPackage(workspace, request, environment) {
  const runnerTemp = path.join(workspace, '.runner-temp')
  mkdirSync(runnerTemp, { recursive: true })
  const { PATH, HOME } = process.env
  const env = {
    PATH,
    HOME,
    GITHUB_WORKSPACE: workspace,
    RUNNER_TEMP: runnerTemp,
    ...environment,
    CALL: JSON.stringify(request),
  }
  const process_ = spawn(process.execPath, [child], { cwd: workspace, env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const killer = setTimeout(() => process_.kill('SIGKILL'), CALL_LIMIT_MS)
  const [output, errorOutput, answer, status] = await Promise.all([
    collect(process_.stdio[1]),
    collect(process_.stdio[2]),
    collect(process_.stdio[3]),
    new Promise((resolve) => process_.once('close', (code, signal) => resolve(signal ?? code))),
  ])
  clearTimeout(killer)
  if (status !== 0 || answer === '') {
    throw new Error(`${request.package} ${request.call} ended with ${status}\n${output}${errorOutput}`)
  }
  const annotations = (level) => output.split('\n').filter((line) => line.startsWith(`::${level}::`))
  return { ...JSON.parse(answer), output, warnings: annotations('warning'), errors: annotations('error') }
}

async function collect(stream) {
  let text = ''
  stream.setEncoding('utf8')
  for await (const piece of stream) text += piece
  return text
}
