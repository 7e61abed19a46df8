// Version 1 of the protocol (`/_apis/artifactcache`), by the clients that speak it: old packages, and newer ones on GitHub Enterprise.
// Its entries are the same as those of version 2.
import assert from 'node:assert/strict'
import { cannotControl, cannotWipe } from '../harness/server.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { objectsOfEntry, wipe } from '../harness/stored-objects.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { assertPrompt, NEWEST, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const DEFAULT_REPOSITORY = '77'
const server = useServer({ environment: { LARDER_DEFAULT_REPOSITORY: DEFAULT_REPOSITORY } })

// These clients upload in chunks of 32 MiB, four at once, without telling a length.
const SIZES = [['1 B', 1], ['2 MiB', 2 * MIB], ['100 MiB', 100 * MIB]]

for (const client of VERSION_1_CLIENTS) {
  for (const [label, size] of SIZES) {
    scenario(`${client} (version 1) restores the ${label} that it saved`, server, async (larder) => {
      const job = newJob(larder)
      const key = newKey('content')
      const digest = await saveFresh(job, key, size, client)
      await assertRestored(job, key, digest, client)
      if (larder.hasLog) assert.match(larder.log(), /\/_apis\/artifactcache\/caches/, 'it spoke version 2')
    })
  }

  scenario(`${client} (version 1) is refused an existing key politely, and the first content stays`, server, async (larder) => {
    const job = newJob(larder)
    const digest = await saveFresh(job, 'taken', 1000, client)
    await inWorkspace(async (workspace) => {
      writePayload(workspace, 2000)
      const again = await save(job, workspace, 'taken', client)
      assert.equal(again.result, -1)
      assert.match(again.output, /another job may be creating this cache/)
      assertQuiet(again)
    })
    await assertRestored(job, 'taken', digest, client)
  })

  scenario(`${client} (version 1) takes an unknown key as a plain miss, with step debugging, too`, server, async (larder) => {
    for (const environment of [{}, { RUNNER_DEBUG: '1' }]) {
      await inWorkspace(async (workspace) => {
        const job = { ...newJob(larder), environment }
        const missed = await restore(job, workspace, newKey('never'), { client, restoreKeys: ['nev'] })
        assert.equal(missed.result, null)
        assertQuiet(missed)
        assertPrompt(missed)
      })
    }
  })

  scenario(`${client} (version 1) finds the newest entry by a restore key`, server, async (larder) => {
    const job = newJob(larder)
    await saveFresh(job, 'deps-a', 100, client)
    const newest = await saveFresh(job, 'deps-b', 100, client)
    await saveFresh(job, 'other', 100, client)
    await inWorkspace(async (workspace) => {
      const restored = await restore(job, workspace, 'deps-z', { client, restoreKeys: ['none-', 'deps-'] })
      assert.equal(restored.result, 'deps-b')
      assert.equal(await payloadDigest(workspace), newest)
    })
  })

  scenario(`${client} (version 1) with a read-only token is refused the save with one warning at most, and still restores`, server, async (larder) => {
    const repository = newRepository()
    const digest = await saveFresh(newJob(larder, { repository }), 'readable', 100, client)
    const reader = newJob(larder, { repository, scopes: [['refs/heads/main', READ]] })
    await inWorkspace(async (workspace) => {
      writePayload(workspace, 10)
      const refused = await save(reader, workspace, 'unwritable', client)
      assert.equal(refused.result, -1)
      assert.ok(refused.warnings.length <= 1, refused.output)
      assert.deepEqual(refused.errors, [])
      assert.match(refused.output, /cache write denied:|another job may be creating this cache/)
    })
    await assertRestored(reader, 'readable', digest, client)
  })

  scenario(`${client} (version 1) takes an entry whose objects are gone as a plain miss, and saves it anew`, server, async (larder) => {
    const job = newJob(larder)
    const objects = await objectsOfEntry(larder, () => saveFresh(job, 'stale', MIB, client))
    await wipe(larder, objects)
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await inWorkspace(async (workspace) => {
        const missed = await restore(job, workspace, 'stale', { client })
        assert.equal(missed.result, null)
        assertQuiet(missed)
        assertPrompt(missed)
      })
    }
    await assertRestored(job, 'stale', await saveFresh(job, 'stale', MIB, client), client)
  }, { skip: cannotWipe })

  scenario(`${client} (version 1) and ${NEWEST} (version 2) have the same entries`, server, async (larder) => {
    const job = newJob(larder)
    await assertRestored(job, 'of-1', await saveFresh(job, 'of-1', 70 * MIB, client), NEWEST)
    await assertRestored(job, 'of-2', await saveFresh(job, 'of-2', 70 * MIB, NEWEST), client)
  })

  scenario(`${client} (version 1) with a token as Gitea makes it: no repository, a scope without a name`, server, async (larder) => {
    const claims = { repository_id: undefined, scp: 'Actions.Results:1:2', TaskID: 1, RunID: 1, JobID: 2 }
    const job = newJob(larder, { scopes: [['', READ_WRITE]], claims })
    const key = newKey('gitea')
    await assertRestored(job, key, await saveFresh(job, key, 3 * MIB, client), client)
  }, { skip: cannotControl })
}

async function saveFresh(job, key, size, client) {
  return inWorkspace(async (workspace) => {
    const digest = writePayload(workspace, size)
    const saved = await save(job, workspace, key, client)
    assert.ok(saved.result > 0, saved.output)
    assertQuiet(saved)
    return digest
  })
}

async function assertRestored(job, key, digest, client) {
  await inWorkspace(async (workspace) => {
    const restored = await restore(job, workspace, key, { client })
    assert.equal(restored.result, key, restored.output)
    assertQuiet(restored)
    assert.equal(await payloadDigest(workspace), digest)
  })
}

/** No warning and no error stands at the job. */
function assertQuiet(answer) {
  assert.deepEqual([...answer.warnings, ...answer.errors], [])
}
