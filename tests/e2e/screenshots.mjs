// Takes the pictures of the page that the README shows: node screenshots.mjs FOLDER. What is in them was saved, looked up and put in force by
// requests to a server of its own; only the hours before this one are written to its database, as nobody can wait for a day.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { create, finalize, lookup, putBlob } from './harness/protocol.mjs'
import { startServer } from './harness/server.mjs'
import { newJob } from './harness/suite.mjs'
import { eventually } from './harness/waiting.mjs'

const KEY = 'the-key-of-the-screenshots'
const MIB = 1024 * 1024
const VIEW = { width: 1280, height: 1360 }
const [folder] = process.argv.slice(2)
const rules = (name) => readFileSync(fileURLToPath(new URL(`../../examples/rules/${name}`, import.meta.url)))

/** Repositories with what their jobs save: the key and its size in MiB. */
const REPOSITORIES = [
  ['1', 'octo/hello', [['npm-linux-4f1c09', 6], ['cargo-linux-stable-81d2', 9]]],
  ['2', 'octo/tools', [['go-mod-linux-1.25-77ab', 5], ['golangci-lint-2.5-77ab', 7]]],
  ['3', 'acme/site', [['playwright-1.56', 8], ['pnpm-store-c0ffee', 4]]],
]

const address = (larder) => larder.log().match(/the management API listens.* address=(\S+)/)?.[1]

async function save(job, key, bytes) {
  const { json } = await create(job, key)
  await putBlob(json.signed_upload_url, Buffer.alloc(bytes, key))
  await finalize(job, key, bytes)
}

async function work(larder) {
  for (const [repository, name, saved] of REPOSITORIES) {
    const job = newJob(larder, { repository, claims: { repository: name, run_id: `10${repository}`, actor: 'octocat' } })
    for (const [key, size] of saved) {
      await save(job, key, size * MIB)
      const found = await lookup(job, key)
      await (await fetch(found.json.signed_download_url)).arrayBuffer()
    }
    await lookup(job, `${saved[0][0]}-next`, [saved[0][0].slice(0, 4)])
    await lookup(job, 'nothing-like-it')
  }
  const pullRequest = newJob(larder, { repository: '1', scopes: [['refs/pull/7/merge', 3], ['refs/heads/main', 1]], claims: { repository: 'octo/hello' } })
  for (const key of ['npm-linux-4f1c09', 'npm-linux-other']) await lookup(pullRequest, key)
}

/** The hours of a day, in which the same was looked up again and again. */
async function remember(larder) {
  const now = Math.floor(Date.now() / 3_600_000)
  const rows = []
  for (let back = 1; back < 24; back += 1) {
    const busy = 1 + Math.round(8 * Math.exp(-(((back - 9) / 5) ** 2)))
    for (const [repository, , saved] of REPOSITORIES) {
      for (const [at, [key, size]] of saved.entries()) {
        const [hits, misses] = [busy * (3 - at), Math.ceil((busy * ((back + at) % 4)) / 3)]
        const tool = key.split('-')[0]
        rows.push(`('default', ${now - back}, 0, CAST('${repository}' AS BLOB), CAST('${tool}' AS BLOB), ${hits}, ${misses}, 0, ${hits * size * MIB}, ${misses * size * MIB}, 0, 0, 0, 0)`)
      }
    }
  }
  await larder.inDatabase(`INSERT INTO history VALUES ${rows.join(', ')}`)
}

const larder = await startServer({ environment: { LARDER_MANAGEMENT_LISTEN: '127.0.0.1:0', MANAGEMENT_API_KEY: KEY, CACHE_MAX_SIZE_BYTES: String(96 * MIB) } })
const browser = await chromium.launch({ executablePath: process.env.LARDER_TEST_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars'] })
try {
  const origin = `http://${await eventually(10_000, 'the management listener', () => address(larder))}`
  const manage = async (method, target, body) => {
    const response = await fetch(`${origin}/api/v1/${target}`, { method, body, headers: { 'X-Api-Key': KEY } })
    if (!response.ok) throw new Error(`${target}: ${response.status} ${await response.text()}`)
    return response.json()
  }
  await manage('POST', 'rules/use?name=nightly.js', rules('nightly.js'))
  await manage('POST', 'rules/use?name=keep-newest.js', rules('keep-newest.js'))
  await manage('POST', 'rules/shadow?name=pull-requests-read.js', rules('pull-requests-read.js'))
  await work(larder)
  await remember(larder)
  await manage('POST', 'sweep')
  const isNamed = async () => (await manage('GET', 'stats')).parts.every(({ name, repository_name }) => (name ?? repository_name ?? '').includes('/'))
  await eventually(30_000, 'the names of the repositories', isNamed)
  for (const theme of ['light', 'dark']) {
    const page = await (await browser.newContext({ colorScheme: theme, viewport: VIEW })).newPage()
    await page.goto(origin)
    await page.getByLabel('API key').fill(KEY)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('#entries tbody tr').nth(5).waitFor()
    await page.locator('#versions').getByText('pull-requests-read.js').waitFor()
    await page.locator('#differences tbody td.number').first().waitFor()
    await page.locator('#ratio-chart svg').waitFor()
    await page.screenshot({ path: path.join(folder, `${theme}.png`) })
  }
} finally {
  await browser.close()
  await larder.stop()
}
