// sccache (opendal, protobuf): a project compiled twice, the second time by a fresh sccache server that has only the cache to go by.
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { succeed } from '../harness/processes.mjs'
import { withSccache } from '../harness/sccache.mjs'
import { cannotWipe } from '../harness/server.mjs'
import { storedObjects } from '../harness/stored-objects.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { newJob, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { client } from '../harness/tools.mjs'
import { inWorkspace } from '../harness/workspace.mjs'

const sccache = client('sccache')
const server = useServer()
const compiling = (name, body, reason = false) => scenario(name, server, body, { skip: sccache.skip || reason })

const UNITS = 6
const MAIN = 'refs/heads/main'

compiling('sccache compiles a project, and a fresh sccache server has a hit for all of it', async (larder) => {
  await inWorkspace(async (folder) => {
    writeProject(folder)
    const job = newJob(larder)
    const first = await compileAll(job, folder)
    assert.deepEqual(hitsAndMisses(first), [0, UNITS])
    const program = await linkAndRun(folder)
    removeObjects(folder)
    const second = await compileAll(job, folder)
    assert.deepEqual(hitsAndMisses(second), [UNITS, 0], JSON.stringify(second))
    assert.deepEqual([second.cache_errors.counts, second.cache_write_errors], [{}, 0])
    assert.equal(await linkAndRun(folder), program)
  })
})

compiling('sccache compiles what changed, and takes the rest from the cache', async (larder) => {
  await inWorkspace(async (folder) => {
    writeProject(folder)
    const job = newJob(larder)
    await compileAll(job, folder)
    writeFileSync(path.join(folder, 'unit0.c'), 'int unit0(void) { return 1000; }\n')
    const second = await compileAll(job, folder)
    assert.deepEqual(hitsAndMisses(second), [UNITS - 1, 1])
    assert.equal(await linkAndRun(folder), '1015')
  })
})

compiling("sccache of a pull request has hits from the base branch, and with a read-only token it compiles all the same", async (larder) => {
  await inWorkspace(async (folder) => {
    writeProject(folder)
    const repository = newRepository()
    await compileAll(newJob(larder, { repository }), folder)
    const pr = newJob(larder, { repository, scopes: [['refs/pull/1/merge', READ_WRITE], [MAIN, READ]] })
    assert.deepEqual(hitsAndMisses(await compileAll(pr, folder)), [UNITS, 0])
    writeFileSync(path.join(folder, 'unit1.c'), 'int unit1(void) { return 100; }\n')
    const reader = newJob(larder, { repository, scopes: [[MAIN, READ]] })
    assert.deepEqual(hitsAndMisses(await compileAll(reader, folder)), [UNITS - 1, 1])
    assert.equal(await linkAndRun(folder), '114')
  })
})

compiling('sccache where the stored objects are gone compiles anew, without an error', async (larder) => {
  await inWorkspace(async (folder) => {
    writeProject(folder)
    const job = newJob(larder)
    await compileAll(job, folder)
    const objects = storedObjects(larder)
    await objects.remove(await objects.list())
    const again = await compileAll(job, folder)
    assert.deepEqual(hitsAndMisses(again), [0, UNITS])
    assert.deepEqual(again.cache_errors.counts, {})
    assert.deepEqual(hitsAndMisses(await compileAll(job, folder)), [UNITS, 0])
  })
}, cannotWipe)

/** A C program of some units; it prints the sum of their numbers. */
function writeProject(folder) {
  const units = Array.from({ length: UNITS }, (_, n) => n)
  for (const n of units) writeFileSync(path.join(folder, `unit${n}.c`), `int unit${n}(void) { return ${n}; }\n`)
  const declared = units.map((n) => `int unit${n}(void);`).join('\n')
  const sum = units.map((n) => `unit${n}()`).join(' + ')
  const main = `#include <stdio.h>\n${declared}\nint main(void) { printf("%d", ${sum}); return 0; }\n`
  writeFileSync(path.join(folder, 'main.c'), main)
}

/** Compiles every unit through a fresh sccache server; returns what it counted. */
function compileAll(job, folder) {
  return withSccache(sccache.dir, job, folder, async ({ compile, statistics }) => {
    for (let n = 0; n < UNITS; n += 1) await compile(['-O1', '-c', `unit${n}.c`, '-o', `unit${n}.o`])
    return statistics()
  })
}

const total = ({ counts }) => Object.values(counts).reduce((sum, count) => sum + count, 0)
const hitsAndMisses = (statistics) => [total(statistics.cache_hits), total(statistics.cache_misses)]

const objectsOf = (folder) => Array.from({ length: UNITS }, (_, n) => path.join(folder, `unit${n}.o`))
const removeObjects = (folder) => objectsOf(folder).forEach((file) => rmSync(file))

async function linkAndRun(folder) {
  const program = path.join(folder, 'program')
  await succeed('cc', ['-o', program, path.join(folder, 'main.c'), ...objectsOf(folder)])
  return (await succeed(program, [])).trim()
}
