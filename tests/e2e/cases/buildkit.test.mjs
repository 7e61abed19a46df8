// BuildKit itself, exporting to and importing from the cache (`type=gha`), as `docker buildx build` does in a job.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before } from 'node:test'
import { startBuildkit } from '../harness/buildkit.mjs'
import { cannotLimit, cannotWipe, startServer } from '../harness/server.mjs'
import { largest, storedObjects } from '../harness/stored-objects.mjs'
import { newJob, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { client, missing } from '../harness/tools.mjs'
import { MIB } from '../harness/workspace.mjs'

const buildkit = client('buildkit')
const skip = buildkit.skip || (process.getuid() !== 0 && missing('BuildKit has to be run by root'))
const building = (name, body, reason = false) => scenario(name, server, body, { skip: skip || reason })

// BuildKit's patience with a broken server is 16 minutes for each request; a build on an empty cache takes seconds.
const NO_HANG_MS = 30_000

const server = useServer()
let daemon
let home
before(async () => {
  if (skip) return
  home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-build-'))
  daemon = await startBuildkit(buildkit.dir)
})
after(async () => {
  await daemon?.stop()
  if (home) rmSync(home, { recursive: true, force: true })
})

building('BuildKit exports, and a builder that knows nothing imports: every step CACHED, the same bytes', async (larder) => {
  const job = newJob(larder)
  const context = newContext({ 'first.bin': 3 * MIB, 'second.bin': 300 })
  const exported = await build(job, context, { to: 'main' })
  assertBuilt(exported, context, { 'first.bin': false, 'second.bin': false })
  await daemon.prune()
  assertBuilt(await build(job, context, { from: 'main' }), context, { 'first.bin': true, 'second.bin': true })
})

building('BuildKit exports the same content again: no layer is sent twice, the newer index is taken', async (larder) => {
  const job = newJob(larder)
  const context = newContext({ 'same.bin': 2 * MIB })
  await build(job, context, { to: 'again' })
  const before = await storedBytes(larder)
  await daemon.prune()
  assertBuilt(await build(job, context, { to: 'again' }), context, { 'same.bin': false })
  if (before !== null) assert.ok((await storedBytes(larder)) < before + MIB, 'the layer was stored a second time')
  await daemon.prune()
  assertBuilt(await build(job, context, { from: 'again' }), context, { 'same.bin': true })
})

building('BuildKit with one changed layer: the step before it is CACHED, the rest is built and exported', async (larder) => {
  const job = newJob(larder)
  const context = newContext({ 'kept.bin': 2 * MIB, 'changed.bin': MIB })
  await build(job, context, { to: 'changing' })
  await daemon.prune()
  writeFileSync(path.join(context, 'changed.bin'), randomBytes(MIB))
  const changed = await build(job, context, { from: 'changing', to: 'changing' })
  assertBuilt(changed, context, { 'kept.bin': true, 'changed.bin': false })
  await daemon.prune()
  assertBuilt(await build(job, context, { from: 'changing' }), context, { 'kept.bin': true, 'changed.bin': true })
})

building('BuildKit, two exports at once to one scope: both succeed, and an import finds one of them whole', async (larder) => {
  const repository = newRepository()
  const [one, two] = [newJob(larder, { repository }), newJob(larder, { repository, validForSeconds: 1800 })]
  const contexts = [newContext({ 'a.bin': MIB }), newContext({ 'b.bin': MIB })]
  const built = await Promise.all([build(one, contexts[0], { to: 'shared' }), build(two, contexts[1], { to: 'shared' })])
  built.forEach((answer, n) => assertBuilt(answer, contexts[n], { [n ? 'b.bin' : 'a.bin']: false }))
  await daemon.prune()
  const imported = []
  for (const context of contexts) imported.push(await build(one, context, { from: 'shared' }))
  imported.forEach((answer, n) => assertBuilt(answer, contexts[n]))
  const cached = imported.map(({ steps }) => Object.values(steps)[0])
  assert.equal(cached.filter(Boolean).length, 1, `of two indexes the newest is imported: ${JSON.stringify(cached)}`)
})

building('BuildKit on a wiped store: the build goes on at once, exports again, and that is imported', async (larder) => {
  const job = newJob(larder)
  const context = newContext({ 'lost.bin': 2 * MIB, 'too.bin': 1000 })
  await build(job, context, { to: 'wiped' })
  await daemon.prune()
  const objects = storedObjects(larder)
  await objects.remove(await objects.list())
  const rebuilt = await build(job, context, { from: 'wiped', to: 'wiped', limitMs: NO_HANG_MS })
  assertBuilt(rebuilt, context, { 'lost.bin': false, 'too.bin': false })
  await daemon.prune()
  assertBuilt(await build(job, context, { from: 'wiped' }), context, { 'lost.bin': true, 'too.bin': true })
}, cannotWipe)

building('BuildKit where one layer is gone: told so at once, it builds that step again, and exports it again', async (larder) => {
  const job = newJob(larder)
  const context = newContext({ 'whole.bin': 1000, 'gone.bin': 2 * MIB })
  const objects = storedObjects(larder)
  const old = await objects.list()
  await build(job, context, { to: 'holed' })
  await daemon.prune()
  const fresh = (await objects.list()).filter((name) => !old.includes(name))
  await objects.remove([await largest(larder, fresh)])
  // It believes the index, fetches the layer late, and has to be told that it is not there, not to try again.
  const rebuilt = await build(job, context, { from: 'holed', limitMs: NO_HANG_MS })
  assert.match(rebuilt.output, /gone\.bin.*not found/)
  assertBuilt(rebuilt, context)
  await daemon.prune()
  assertBuilt(await build(job, context, { to: 'holed' }), context)
  await daemon.prune()
  assertBuilt(await build(job, context, { from: 'holed' }), context, { 'whole.bin': true, 'gone.bin': true })
}, cannotWipe)

building('BuildKit where there is no room: the export does not fail, and no index names what is missing', async () => {
  const environment = { CACHE_MAX_SIZE_BYTES: `${8 * MIB}`, DISABLE_CLEANUP_JOBS: 'true' }
  const tight = await startServer({ environment })
  try {
    const job = newJob(tight)
    const small = newContext({ 'small.bin': MIB })
    assertBuilt(await build(job, small, { to: 'tight' }), small)
    await daemon.prune()
    const large = newContext({ 'fits.bin': MIB, 'large.bin': 12 * MIB, 'later.bin': 1000 })
    const other = newJob(tight, { repository: job.repository, validForSeconds: 1800 })
    assertBuilt(await build(other, large, { to: 'tight', limitMs: NO_HANG_MS }), large)
    assert.match(tight.log(), /accepted in words/)
    await daemon.prune()
    // The index of before is still the newest one, and whole.
    const third = newJob(tight, { repository: job.repository, validForSeconds: 1700 })
    assertBuilt(await build(third, small, { from: 'tight' }), small, { 'small.bin': true })
    await daemon.prune()
    assertBuilt(await build(third, large, { from: 'tight', limitMs: NO_HANG_MS }), large)
  } finally {
    await tight.stop()
  }
}, cannotLimit)

/** A folder with a Dockerfile that copies each of these files, random content of the size given, in a step of its own. */
function newContext(files) {
  const folder = mkdtempSync(path.join(home, 'context-'))
  for (const [name, size] of Object.entries(files)) writeFileSync(path.join(folder, name), randomBytes(size))
  const steps = Object.keys(files).map((name) => `COPY ${name} /${name}\n`)
  writeFileSync(path.join(folder, 'Dockerfile'), `FROM scratch\n${steps.join('')}`)
  return folder
}

async function build(job, context, { to, from, limitMs }) {
  const where = (scope) => `type=gha,version=2,url_v2=${job.url}/,token=${job.token},scope=${scope}`
  const destination = path.join(mkdtempSync(path.join(home, 'result-')), 'files')
  const options = { destination, limitMs, cacheTo: to && `${where(to)},mode=max`, cacheFrom: from && where(from) }
  return { ...(await daemon.build(context, options)), destination }
}

/** The build succeeded with the context's files in it; the steps were taken from the cache as told. */
function assertBuilt({ status, output, steps, destination }, context, cached = null) {
  assert.equal(status, 0, `${output}\n${daemon.log()}`)
  const expected = cached && Object.fromEntries(Object.entries(cached).map(([name, taken]) => [`${name} /${name}`, taken]))
  if (expected) assert.deepEqual(steps, expected, output)
  for (const step of Object.keys(steps)) {
    const [name] = step.split(' ')
    assert.equal(digest(path.join(destination, name)), digest(path.join(context, name)), `${name} differs`)
  }
}

const digest = (file) => createHash('sha256').update(readFileSync(file)).digest('hex')

async function storedBytes(larder) {
  if (cannotWipe) return null
  const objects = storedObjects(larder)
  const sizes = await Promise.all((await objects.list()).map((name) => objects.size(name)))
  return sizes.reduce((sum, size) => sum + size, 0)
}
