// Why a restore missed, with the real client: the word in the log line of its look-up, for each cause.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe } from 'node:test'
import { create, finalize, putBlob, send } from '../harness/protocol.mjs'
import { cannotLimit } from '../harness/server.mjs'
import { objectsOfEntry, wipe } from '../harness/stored-objects.mjs'
import { newJob, newKey, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { restore, save } from '../harness/toolkit.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, MIB, writePayload } from '../harness/workspace.mjs'

const MAIN = 'refs/heads/main'
const PULL = 'refs/pull/7/merge'
const WRITE = 2
const QUOTA_MIB = 4
const SECRET = 'a secret of the platform'
const LOG_LIMIT_MS = 20_000
const KEY = 'the key of an administrator'
/** Longer than a URL is good for. */
const TWO_HOURS_MS = 2 * 3_600_000

const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-misses-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const file = path.join(folder, 'larder.toml')
writeFileSync(
  file,
  `[capacity]\nrepository_max_bytes = ${QUOTA_MIB * MIB}\nevict_at_percent = 100\n` +
    '[retention]\nmax_age_days = 1\nkeep_newest = [{ prefix = "superseded-", keep = 1 }]\n',
)

/** What a case is made with: a repository of its own, and its jobs. */
class Case {
  constructor(larder, workspace) {
    this.larder = larder
    this.workspace = workspace
    this.repository = newRepository()
    this.run = newRepository()
    this.main = this.job([[MAIN, READ_WRITE]])
    this.pull = this.job([[PULL, READ_WRITE], [MAIN, READ]])
  }

  job(scopes) {
    return newJob(this.larder, { repository: this.repository, scopes, claims: { run_id: this.run } })
  }

  async saved(key, job = this.main) {
    writePayload(this.workspace, MIB)
    const saved = await save(job, this.workspace, key)
    assert.ok(saved.result > 0, saved.output)
  }

  /** Makes all entries older: nobody waits for days. */
  age = (ms) => this.larder.inDatabase(`UPDATE entries SET created_ms = created_ms - ${ms}, used_ms = used_ms - ${ms}`)

  /** Asks the management API. */
  async manage(method, target) {
    const headers = { authorization: `Bearer ${KEY}` }
    const answer = await send(method, `${await managementUrl(this.larder)}/api/v1/${target}`, { headers, body: Buffer.alloc(0) })
    assert.ok(answer.status < 300, `${method} ${target}: ${answer.status} ${answer.body}`)
    return answer
  }

  /** The entries of a key, as the management API lists them. */
  entries = async (key) => JSON.parse((await this.manage('GET', `entries?key=${key}`)).body).entries

  /** The entry of a key. */
  async entry(key) {
    const entries = await this.entries(key)
    assert.equal(entries.length, 1, JSON.stringify(entries))
    return entries[0]
  }

  revoke = (...more) => this.larder.command(['revoke', '-R', this.repository, '--run', this.run, ...more])
}

/** Each cause: makes it for a key, and returns the job that misses; without one it is a pull request. */
const CAUSES = {
  'never-saved': async () => {},
  'other-scope': async (one, key) => one.saved(key, one.job([['refs/heads/other', READ_WRITE]])),
  'other-version': async (one, key) => {
    const url = (await create(one.main, key)).json.signed_upload_url
    assert.equal((await putBlob(url, Buffer.alloc(10))).status, 201)
    assert.equal((await finalize(one.main, key, 10)).json.ok, true)
  },
  stale: async (one, key) => wipe(one.larder, await objectsOfEntry(one.larder, () => one.saved(key))),
  evicted: async (one, key) => {
    await one.saved(key)
    for (let n = 0; n < QUOTA_MIB; n += 1) await one.saved(newKey('filler'))
  },
  revoked: async (one, key) => {
    await one.saved(key)
    await one.revoke()
  },
  quarantined: async (one, key) => {
    await one.saved(key)
    await one.revoke('--quarantine')
  },
  'closed-scope': async (one, key) => {
    await one.saved(key, one.pull)
    const body = JSON.stringify({ action: 'closed', number: 7, repository: { id: Number(one.repository), full_name: 'octo/hello' } })
    const signature = createHmac('sha256', SECRET).update(body).digest('hex')
    const headers = { 'x-github-event': 'pull_request', 'x-hub-signature-256': `sha256=${signature}`, 'content-type': 'application/json' }
    const delivered = await send('POST', `${one.larder.url}/_larder/webhooks/github`, { headers, body: Buffer.from(body) })
    assert.equal(delivered.status, 200, delivered.body.toString())
  },
  deleted: async (one, key) => {
    await one.saved(key)
    await one.manage('DELETE', `entries/${(await one.entry(key)).id}`)
  },
  // Of another save with the same version, which nobody but the client knows.
  uploading: async (one, key) => {
    const other = newKey('filler')
    await one.saved(other)
    const { version } = await one.entry(other)
    assert.equal((await create(one.main, key, version)).json.ok, true)
  },
  superseded: async (one, key) => {
    await one.saved(key)
    await one.age(TWO_HOURS_MS)
    await one.saved(newKey('superseded'))
    await one.manage('POST', 'sweep')
    await eventually(LOG_LIMIT_MS, 'the sweep', async () => (await one.entries(key)).length === 0)
  },
  expired: async (one, key) => {
    await one.saved(key)
    await one.age(24 * TWO_HOURS_MS)
  },
  denied: async (one, key) => {
    await one.saved(key)
    return one.job([[PULL, READ_WRITE], [MAIN, WRITE]])
  },
}

describe('why a restore missed', { skip: cannotLimit }, () => {
  const server = useServer({ environment: { LARDER_CONFIG: file, LARDER_WEBHOOK_SECRET: SECRET, MANAGEMENT_API_KEY: KEY, LARDER_MANAGEMENT_LISTEN: '127.0.0.1:0' } })

  for (const [cause, make] of Object.entries(CAUSES)) {
    scenario(cause, server, async (larder) => {
      await inWorkspace(async (workspace) => {
        const one = new Case(larder, workspace)
        const key = newKey(cause)
        const job = (await make(one, key)) ?? one.pull
        const missed = await restore(job, workspace, key)
        assert.equal(missed.result ?? null, null, missed.output)
        assert.deepEqual(missed.warnings, [])
        assert.equal(await causeOf(larder, key), cause)
      })
    })
  }
})

/** The origin of the management API's own listener. */
async function managementUrl(larder) {
  const line = () => larder.log().match(/the management API listens.*address=(\S+)/)
  return `http://${(await eventually(LOG_LIMIT_MS, 'the log line', line))[1]}`
}

/** The word in the last line of the log about a look-up of the key that missed. */
async function causeOf(larder, key) {
  const missed = () => larder.log().split('\n').filter((line) => line.includes(key) && /\bmiss=/.test(line)).at(-1)
  const line = await eventually(LOG_LIMIT_MS, `a miss of ${key} in the log`, missed)
  return line.match(/\bmiss="?([a-z-]+)/)[1]
}
