// `docker buildx bake`: several targets at once, which share layers and, as all steps of a job do, one token. Faults 1 and 5: every layer
// that they share is saved by all of them at the same moment. Exactly one wins, no build fails, and what is imported is right.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before } from 'node:test'
import { startBuildkit } from '../harness/buildkit.mjs'
import { rounds } from '../harness/scale.mjs'
import { newJob, scenario, useServer } from '../harness/suite.mjs'
import { client, missing } from '../harness/tools.mjs'
import { MIB } from '../harness/workspace.mjs'

const ROUNDS = rounds({ short: 1, long: 10 })
const ROUND_LIMIT_MS = 60_000
/** In every target, in this order; the large one takes several blocks. */
const SHARED = { 'shared-0.bin': 5 * MIB, 'shared-1.bin': 70_000, 'shared-2.bin': MIB, 'shared-3.bin': 1 }

const buildkit = client('buildkit')
const skip = buildkit.skip || (process.getuid() !== 0 && missing('BuildKit has to be run by root'))
const server = useServer()
let daemon
let home
before(async () => {
  if (skip) return
  home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-bake-'))
  daemon = await startBuildkit(buildkit.dir)
})
after(async () => {
  await daemon?.stop()
  if (home) rmSync(home, { recursive: true, force: true })
})

for (const version of [2, 1]) {
  for (const count of [2, 4]) {
    baking(`bake with ${count} targets, each with a scope of its own, version ${version}: all are exported, all are imported`, async (job) => {
      const project = newProject(count)
      const scopeOf = (n) => `own-${n}`
      await exportAll(job, project, version, scopeOf)
      const { steps, output } = await importAll(job, project, version, scopeOf)
      for (const name of [...Object.keys(SHARED), ...project.own]) assert.equal(steps[name], true, `${name} was built anew\n${output}`)
    })

    baking(`bake with ${count} targets in one scope, version ${version}: all are exported, the newest index is imported`, async (job) => {
      const project = newProject(count)
      const scopeOf = () => 'one'
      await exportAll(job, project, version, scopeOf)
      const { steps, output } = await importAll(job, project, version, scopeOf)
      for (const name of Object.keys(SHARED)) assert.equal(steps[name], true, `${name} was built anew\n${output}`)
      // Each index replaces the one before it, as on GitHub; the last one is that of one target.
      assert.ok(project.own.some((name) => steps[name]), `nothing of any target's own was imported\n${output}`)
    })
  }
}

/** Declares a case that is run as often as the scale says, each time as a job of its own. */
function baking(name, body) {
  scenario(name, server, async (larder) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await daemon.prune()
      await body(newJob(larder))
    }
  }, { skip, limitMs: ROUNDS * ROUND_LIMIT_MS })
}

/** A folder with fresh random files, those that all targets copy and one of each target's own. */
function newProject(count) {
  const folder = mkdtempSync(path.join(home, 'project-'))
  const own = Array.from({ length: count }, (_, n) => `own-${n}.bin`)
  const sizes = { ...SHARED, ...Object.fromEntries(own.map((name, n) => [name, 300_000 + n])) }
  for (const [name, size] of Object.entries(sizes)) writeFileSync(path.join(folder, name), randomBytes(size))
  return { folder, own }
}

const exportAll = (job, project, version, scopeOf) =>
  bake(project, (n) => ({ cacheTo: `${where(job, version, scopeOf(n))},mode=max` }))

/** Bakes again in a builder that knows nothing but the cache. */
async function importAll(job, project, version, scopeOf) {
  await daemon.prune()
  return bake(project, (n) => ({ cacheFrom: where(job, version, scopeOf(n)) }))
}

const where = (job, version, scope) =>
  `type=gha,version=${version},${version === 2 ? 'url_v2' : 'url'}=${job.url}/,token=${job.token},scope=${scope}`

/** Bakes all targets at once; that succeeds, and each result has the right files. Returns `{ steps, output }`, the steps by file name. */
async function bake({ folder, own }, cacheOf) {
  const results = mkdtempSync(path.join(home, 'result-'))
  const targets = Object.fromEntries(own.map((name, n) => [`target-${n}`, {
    context: folder,
    dockerfile: `FROM scratch\n${[...Object.keys(SHARED), name].map((file) => `COPY ${file} /${file}\n`).join('')}`,
    destination: path.join(results, String(n)),
    ...cacheOf(n),
  }]))
  const { status, output, steps } = await daemon.bake(results, targets)
  assert.equal(status, 0, `${output}\n${daemon.log()}`)
  for (const [n, name] of own.entries()) {
    for (const file of [...Object.keys(SHARED), name]) {
      assert.equal(digest(path.join(results, String(n), file)), digest(path.join(folder, file)), `${file} of target ${n} differs`)
    }
  }
  rmSync(results, { recursive: true, force: true })
  return { output, steps: Object.fromEntries(Object.entries(steps).map(([step, cached]) => [step.split(' ')[0], cached])) }
}

const digest = (file) => createHash('sha256').update(readFileSync(file)).digest('hex')
