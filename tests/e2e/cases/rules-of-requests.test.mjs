// Rules about what is restored and saved, as real clients see them: a skipped entry is a miss, a refused save is told.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { cannotControl } from '../harness/server.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { CLIENTS, restore, save, VERSION_1_CLIENTS } from '../harness/toolkit.mjs'
import { inWorkspace, MIB, writePayload } from '../harness/workspace.mjs'

const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-rules-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const rules = path.join(folder, 'rules.js')
writeFileSync(rules, `
export const restore = {
  judgeHit: (caller, { key }) => (key.includes('hidden') ? { tag: 'skip', val: 'hidden' } : { tag: 'accept' }),
};
export const save = {
  judgeSave: (caller, key, version, sizeKib) =>
    key.includes('frozen') || sizeKib > 1500 ? { tag: 'refuse', val: 'not now' } : { tag: 'default' },
};
`)
/** What the job's log has: a warning, or of older clients a line. */
const said = ({ output, warnings }) => [output, ...warnings].join('\n')

const server = useServer({ environment: { LARDER_RULES: rules } })

scenario('a rule that skips an entry makes a miss, and one that refuses a save tells why', server, async (larder) => {
  const job = newJob(larder)
  for (const client of [...CLIENTS, ...VERSION_1_CLIENTS]) {
    await inWorkspace(async (workspace) => {
      writePayload(workspace, 1000)
      const [hidden, open] = [newKey('hidden'), newKey('open')]
      for (const key of [hidden, open]) assert.notEqual((await save(job, workspace, key, client)).result, -1)
      assert.equal((await restore(job, workspace, hidden, { client, lookupOnly: true })).result ?? null, null, client)
      assert.equal((await restore(job, workspace, open, { client, lookupOnly: true })).result, open, client)
      const refused = await save(job, workspace, newKey('frozen'), client)
      assert.match(said(refused), /not now/, client)
      assert.deepEqual(refused.errors, [], client)
      // In version 2 the size is known at the end.
      writePayload(workspace, 2 * MIB)
      const large = await save(job, workspace, newKey('large'), client)
      assert.match(said(large), /not now/, client)
      assert.deepEqual(large.errors, [], client)
    })
  }
}, { skip: cannotControl })
