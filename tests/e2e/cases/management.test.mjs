// The management API under the tools that exist: GitHub's command line, Octokit, and schemathesis, which tries each route against
// its description.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Octokit } from '@octokit/rest'
import { plainEnvironment, run } from '../harness/processes.mjs'
import { cannotControl } from '../harness/server.mjs'
import { lookup, store } from '../harness/protocol.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { startTlsFront } from '../harness/tls-front.mjs'
import { client } from '../harness/tools.mjs'
import { eventually } from '../harness/waiting.mjs'

const KEY = 'the key of an administrator'
const server = useServer({ environment: { MANAGEMENT_API_KEY: KEY, LARDER_MANAGEMENT_LISTEN: '127.0.0.1:0' } })
const gh = client('gh')
const schemathesis = client('schemathesis')
/** Names of repositories are written every ten seconds. */
const NAMED_LIMIT_MS = 30_000
/** Lines of the log are written by a thread of their own. */
const LOGGED_LIMIT_MS = 10_000

/** The origin of the management API's own listener. */
async function management(larder) {
  const line = () => larder.log().match(/the management API listens.*address=(\S+)/)
  return `http://${(await eventually(LOGGED_LIMIT_MS, 'the log line', line))[1]}`
}

const ask = async (larder, target) =>
  fetch(`${await management(larder)}${target}`, { headers: { authorization: `Bearer ${KEY}` } })

/** Saves entries of a new repository, and waits until the server knows its name. */
async function filledRepository(larder, keys) {
  const repository = newRepository()
  const name = `acme/${newKey('app')}`
  const job = newJob(larder, { repository, claims: { repository: name } })
  for (const [at, key] of keys.entries()) await store(job, key, Buffer.alloc(10 + at, at))
  const isNamed = async () => (await ask(larder, `/repos/${name}/actions/caches`)).status === 200
  await eventually(NAMED_LIMIT_MS, 'the name of the repository', isNamed)
  return { name, job }
}

/** What `gh` lists; of nothing it prints nothing. */
const parsed = (text) => (text.trim() === '' ? [] : JSON.parse(text))

/** Whether a look-up of the key is a hit. */
const isHit = async (job, key) => (await lookup(job, key)).json.ok === true

scenario('gh lists and deletes caches, without TLS as at github.localhost', server, async (larder) => {
  // A proxy is asked for every host but this machine, so it stands in for the name server.
  await ghManages(larder, { GH_HOST: 'github.localhost', GH_TOKEN: KEY, HTTP_PROXY: await management(larder) })
}, { skip: gh.skip || cannotControl })

scenario('gh lists and deletes caches behind TLS, as at a GitHub Enterprise Server', server, async (larder) => {
  const front = await startTlsFront()
  try {
    front.passTo(await management(larder))
    const host = new URL(front.url).host
    await ghManages(larder, { GH_HOST: host, GH_ENTERPRISE_TOKEN: KEY, SSL_CERT_FILE: front.certificateFile })
  } finally {
    await front.stop()
  }
}, { skip: gh.skip || cannotControl })

async function ghManages(larder, environment) {
  const home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-gh-'))
  const keys = ['linux-1', 'linux-2', 'macos-1', '12345']
  const { name, job } = await filledRepository(larder, keys)
  const env = { ...plainEnvironment(), HOME: home, GH_CONFIG_DIR: home, NO_COLOR: '1', GH_PROMPT_DISABLED: '1', ...environment }
  const call = (...parameters) => run(path.join(gh.dir, 'gh'), ['cache', ...parameters, '-R', name], { env, cwd: home })
  const succeed = async (...parameters) => {
    const { status, output } = await call(...parameters)
    assert.equal(status, 0, output)
    return output
  }
  try {
    const fields = 'id,key,ref,sizeInBytes,createdAt,lastAccessedAt,version'
    const listed = JSON.parse(await succeed('list', '--sort', 'size_in_bytes', '--order', 'asc', '--json', fields))
    assert.deepEqual(listed.map((entry) => [entry.key, entry.sizeInBytes]), keys.map((key, at) => [key, 10 + at]))
    assert.ok(listed.every((entry) => entry.ref === 'refs/heads/main' && Date.parse(entry.createdAt) > 0), JSON.stringify(listed))
    const some = JSON.parse(await succeed('list', '--key', 'linux-', '--limit', '1', '--sort', 'created_at', '--json', 'key'))
    assert.deepEqual(some, [{ key: 'linux-2' }])
    assert.deepEqual(parsed(await succeed('list', '--ref', 'refs/heads/none', '--json', 'key')), [])
    assert.match(await succeed('list'), /macos-1/)
    await succeed('delete', 'linux-1')
    assert.deepEqual([await isHit(job, 'linux-1'), await isHit(job, 'linux-2')], [false, true])
    await succeed('delete', String(listed[1].id))
    assert.deepEqual([await isHit(job, 'linux-2'), await isHit(job, 'macos-1')], [false, true])
    const missing = await call('delete', 'linux-1')
    assert.notEqual(missing.status, 0)
    assert.match(missing.output, /Could not find a cache matching linux-1/)
    await succeed('delete', '--all')
    assert.deepEqual(parsed(await succeed('list', '--json', 'key')), [])
    const denied = await run(path.join(gh.dir, 'gh'), ['cache', 'list', '-R', name], {
      env: { ...env, GH_TOKEN: 'wrong', GH_ENTERPRISE_TOKEN: 'wrong' }, cwd: home,
    })
    assert.notEqual(denied.status, 0)
    assert.match(denied.output, /HTTP 401/)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

scenario('Octokit lists all pages, and deletes by key and by number', server, async (larder) => {
  const keys = Array.from({ length: 5 }, (_, at) => `k-${at}`)
  const { name, job } = await filledRepository(larder, keys)
  const [owner, repo] = name.split('/')
  const origin = await management(larder)
  for (const baseUrl of [origin, `${origin}/api/v3`, larder.url]) {
    const octokit = new Octokit({ baseUrl, auth: KEY, log: { debug() {}, info() {}, warn() {}, error() {} } })
    const all = await octokit.paginate(octokit.rest.actions.getActionsCacheList, { owner, repo, per_page: 2, sort: 'created_at', direction: 'asc' })
    assert.deepEqual(all.map((cache) => cache.key), keys)
  }
  const octokit = new Octokit({ baseUrl: origin, auth: KEY, log: { debug() {}, info() {}, warn() {}, error() {} } })
  const usage = await octokit.rest.actions.getActionsCacheUsage({ owner, repo })
  assert.equal(usage.data.active_caches_count, 5)
  const storage = await octokit.request('GET /repos/{owner}/{repo}/actions/cache/storage-limit', { owner, repo })
  assert.deepEqual(storage.data, {}, 'nothing limits this server')
  const retention = await octokit.request('GET /repos/{owner}/{repo}/actions/cache/retention-limit', { owner, repo })
  assert.equal(retention.data.max_cache_retention_days, 90)
  await assert.rejects(octokit.request('PUT /repos/{owner}/{repo}/actions/cache/retention-limit', { owner, repo, max_cache_retention_days: 7 }), { status: 403 })
  const deleted = await octokit.rest.actions.deleteActionsCacheByKey({ owner, repo, key: 'k-0' })
  assert.deepEqual([deleted.data.total_count, deleted.data.actions_caches[0].key], [1, 'k-0'])
  const [one] = (await octokit.rest.actions.getActionsCacheList({ owner, repo, key: 'k-1' })).data.actions_caches
  const gone = await octokit.rest.actions.deleteActionsCacheById({ owner, repo, cache_id: one.id })
  assert.equal(gone.status, 204)
  await assert.rejects(octokit.rest.actions.deleteActionsCacheById({ owner, repo, cache_id: one.id }), { status: 404 })
  assert.deepEqual([await isHit(job, 'k-0'), await isHit(job, 'k-1'), await isHit(job, 'k-2')], [false, false, true])
}, { skip: cannotControl })

scenario("the known server's routes delete what they name, and no more", server, async (larder) => {
  const [one, two] = [newRepository(), newRepository()].map((repository) => newJob(larder, { repository }))
  for (const job of [one, two]) await store(job, 'key', Buffer.from('content'))
  const call = (method, target) => fetch(`${larder.url}/management-api/cache-entries/${target}`, { method, headers: { 'x-api-key': KEY } })
  const listed = await (await call('GET', `?repoId=${one.repository}`)).json()
  assert.deepEqual([listed.total, listed.items[0].repoId, listed.items[0].key], [1, one.repository, 'key'])
  assert.equal((await call('DELETE', '')).status, 400)
  assert.equal((await call('DELETE', `?repoId=${one.repository}`)).status, 200)
  assert.deepEqual([await isHit(one, 'key'), await isHit(two, 'key')], [false, true])
}, { skip: cannotControl })

scenario('schemathesis finds nothing between the API and its description', server, async (larder) => {
  const { job } = await filledRepository(larder, ['a', 'b', 'c'])
  assert.ok(job)
  const origin = await management(larder)
  // It keeps what it finds in the folder that it runs in.
  const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-schemathesis-'))
  const { status, output } = await run(path.join(schemathesis.dir, 'schemathesis'), [
    '--config-file', fileURLToPath(new URL('../schemathesis.toml', import.meta.url)),
    'run', `${origin}/api/v1/openapi.json`, '--url', `${origin}/api/v1`,
    '--header', `Authorization: Bearer ${KEY}`, '--max-examples', '25', '--seed', '1', '--workers', '1', '--no-color',
    '--request-timeout', '40', '--suppress-health-check', 'all',
  ], { env: plainEnvironment(), cwd: folder, limitMs: 240_000 })
  rmSync(folder, { recursive: true, force: true })
  assert.equal(status, 0, output)
}, { skip: schemathesis.skip || cannotControl, limitMs: 300_000 })
