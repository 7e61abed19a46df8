// What everybody does all day: save a directory, restore it elsewhere, find the same bytes.
import assert from 'node:assert/strict'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { CLIENTS, NEWEST, restore, save } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer()

// The toolkit uploads up to 128 MiB in one request and more than that in blocks of 64 MiB, eight at once.
const SMALL = [['1 B', 1], ['2 MiB', 2 * MIB]]
const LARGE = [['64 MiB', 64 * MIB], ['200 MiB', 200 * MIB]]
const IN_BLOCKS = [['136 MiB', 136 * MIB]]

/** What is saved by which client: all sizes, or, where the suite runs many times (LARDER_TEST_SIZES=few), one upload in blocks. */
function sizesOf(client) {
  if (process.env.LARDER_TEST_SIZES === 'few') return client === NEWEST ? [...SMALL, ...IN_BLOCKS] : SMALL
  return client === 'actions-cache-4' ? SMALL : [...SMALL, ...LARGE]
}

for (const client of CLIENTS) {
  for (const [label, size] of sizesOf(client)) {
    scenario(`${client} restores the ${label} that it saved`, server, async (larder) => {
      const job = newJob(larder)
      const key = newKey('content')
      const digest = await inWorkspace(async (workspace) => {
        const written = writePayload(workspace, size)
        const saved = await save(job, workspace, key, client)
        assert.ok(saved.result > 0, saved.output)
        assertQuiet(saved)
        return written
      })
      await inWorkspace(async (workspace) => {
        const restored = await restore(job, workspace, key, { client })
        assert.equal(restored.result, key, restored.output)
        assertQuiet(restored)
        assert.equal(await payloadDigest(workspace), digest)
      })
    })
  }

  scenario(`${client} is refused an existing key politely, and the first content stays`, server, async (larder) => {
    const job = newJob(larder)
    const key = newKey('taken')
    const digest = await inWorkspace(async (workspace) => {
      const first = writePayload(workspace, 1000)
      assert.ok((await save(job, workspace, key, client)).result > 0)
      writePayload(workspace, 2000)
      const again = await save(job, workspace, key, client)
      assert.equal(again.result, -1)
      assert.match(again.output, /another job may be creating this cache/)
      assertQuiet(again)
      return first
    })
    await inWorkspace(async (workspace) => {
      assert.equal((await restore(job, workspace, key, { client })).result, key)
      assert.equal(await payloadDigest(workspace), digest)
    })
  })

  scenario(`${client} takes an unknown key as a plain miss`, server, async (larder) => {
    await inWorkspace(async (workspace) => {
      const missed = await restore(newJob(larder), workspace, newKey('never'), { client, restoreKeys: ['nev'] })
      assert.equal(missed.result, null)
      assertQuiet(missed)
    })
  })
}

scenario('a look-up only names the key and downloads nothing', server, async (larder) => {
  const job = newJob(larder)
  const key = newKey('looked-up')
  await inWorkspace(async (workspace) => {
    writePayload(workspace, 1000)
    await save(job, workspace, key)
  })
  await inWorkspace(async (workspace) => {
    const found = await restore(job, workspace, key, { lookupOnly: true })
    assert.equal(found.result, key)
    assertQuiet(found)
    assert.equal(await payloadDigest(workspace), null)
  })
})

/** No warning and no error stands at the job. */
function assertQuiet(answer) {
  assert.deepEqual([...answer.warnings, ...answer.errors], [])
}
