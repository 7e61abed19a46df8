// The page of the management listener in a real browser: log in, filter, delete, explain, in both themes, on a narrow screen and by
// keyboard alone. No error in the browser's console, nothing serious that axe finds, nothing loaded from elsewhere.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { after, before, describe } from 'node:test'
import { chromium } from 'playwright-core'
import { cannotControl } from '../harness/server.mjs'
import { create, finalize, lookup, putBlob } from '../harness/protocol.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { eventually } from '../harness/waiting.mjs'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const CHROMIUM = process.env.LARDER_TEST_CHROMIUM ?? '/usr/bin/chromium'
const KEY = 'management-key-of-the-page-tests'

let browser

/** What a key may hold that a page must not take for more than text. */
const HOSTILE = '<img src=x onerror=alert(1)>'

async function save(job, key, bytes) {
  const created = await create(job, key)
  assert.equal(created.status, 200)
  assert.equal((await putBlob(created.json.signed_upload_url, Buffer.alloc(bytes, 'x'))).status, 201)
  assert.equal((await finalize(job, key, bytes)).json.ok, true)
}

/** Opens the page in a context of its own; what goes wrong in it is collected in `problems`. */
async function open(larder, { theme = 'light', viewport = { width: 1280, height: 900 } } = {}) {
  // The last one: it has another port after a restart.
  const address = [...larder.log().matchAll(/the management API listens.* address=(\S+)/g)].at(-1)?.[1]
  assert.ok(address, 'the management listener is in the log')
  const context = await browser.newContext({ colorScheme: theme, viewport })
  const page = await context.newPage()
  const problems = []
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('dialog', (dialog) => problems.push(`a dialog: ${dialog.message()}`))
  page.on('request', (request) => new URL(request.url()).host === address || problems.push(`loaded ${request.url()}`))
  await page.goto(`http://${address}/`)
  return { page, problems, address, close: () => context.close() }
}

async function logIn(page, key = KEY) {
  await page.getByLabel('API key').fill(key)
  await page.getByRole('button', { name: 'Log in' }).click()
}

/** What axe finds that is serious or worse. */
async function accessibility(page) {
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

describe('the page', { skip: cannotControl }, () => {
  const server = useServer({
    environment: { LARDER_MANAGEMENT_LISTEN: '127.0.0.1:0', MANAGEMENT_API_KEY: KEY, CACHE_MAX_SIZE_BYTES: String(64 * 1024 * 1024) },
  })
  before(async () => {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
    browser = await chromium.launch({ executablePath: CHROMIUM, args })
  })
  after(() => browser?.close())

  scenario('a wrong key is refused in words, and a right one shows what is stored', server, async (larder) => {
    const job = newJob(larder)
    const key = newKey('npm-linux')
    await save(job, key, 3 * 1024 * 1024)
    const { page, problems, close } = await open(larder)
    await logIn(page, 'wrong')
    await page.getByText('This key is not valid.').waitFor()
    // The browser itself reports the 401.
    problems.length = 0
    await logIn(page)
    await page.getByRole('cell', { name: key, exact: true }).waitFor()
    assert.match(await page.locator('#limit').innerText(), /of 64 MiB/)
    assert.equal((await page.locator('#repositories tbody meter').count()) > 0, true)
    assert.deepEqual(await accessibility(page), [])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('entries are filtered and sorted', server, async (larder) => {
    const [one, other] = [newJob(larder), newJob(larder)]
    const [small, large, foreign] = ['filter-small', 'filter-large', 'filter-foreign'].map(newKey)
    await save(one, small, 1000)
    await save(one, large, 200_000)
    await save(other, foreign, 1000)
    const { page, problems, close } = await open(larder)
    await logIn(page)
    await page.getByRole('cell', { name: foreign, exact: true }).waitFor()
    await page.locator('#filter-repository').fill(one.repository)
    await page.locator('#filter-key').fill('filter-')
    await page.getByRole('button', { name: 'Filter', exact: true }).click()
    await page.getByText('2 of 2 entries').waitFor()
    await page.getByRole('button', { name: /^Size/ }).click()
    await page.locator('th[aria-sort=descending]', { hasText: 'Size' }).waitFor()
    const keys = () => page.locator('#entries tbody tr td:first-child').allInnerTexts()
    assert.deepEqual(await keys(), [large, small])
    await page.getByRole('button', { name: /^Size/ }).click()
    await page.locator('th[aria-sort=ascending]', { hasText: 'Size' }).waitFor()
    assert.deepEqual(await keys(), [small, large])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('an entry is deleted after a question, by keyboard alone, and its next lookup is explained', server, async (larder) => {
    const job = newJob(larder)
    const key = newKey('delete-me')
    await save(job, key, 1000)
    const { page, problems, close } = await open(larder)
    await page.getByLabel('API key').focus()
    await page.keyboard.type(KEY)
    await page.keyboard.press('Enter')
    const remove = page.getByRole('button', { name: `Delete ${key}` })
    await remove.waitFor()
    await remove.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Delete this entry?' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('cell', { name: key, exact: true }).waitFor()
    await remove.focus()
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('cell', { name: key, exact: true }).waitFor({ state: 'detached' })
    await page.locator('#explain-repository').fill(job.repository)
    await page.locator('#explain-refs').fill('refs/heads/main')
    await page.locator('#explain-keys').fill(`${key}\ndelete-`)
    await page.getByRole('button', { name: 'Explain', exact: true }).click()
    await page.getByText(/A miss: (deleted|never-saved|other-version)/).waitFor()
    assert.deepEqual(await accessibility(page), [])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('what jobs found is drawn and listed, and survives a restart', server, async (larder) => {
    const job = newJob(larder)
    const key = newKey('cargo')
    await save(job, key, 100_000)
    const found = await lookup(job, key)
    assert.equal((await (await fetch(found.json.signed_download_url)).arrayBuffer()).byteLength, 100_000)
    await lookup(job, newKey('cargo-missing'))
    // What was counted is written once a minute, and at the end.
    larder.signal('SIGTERM')
    await larder.ended
    await larder.start()
    const { page, problems, close } = await open(larder)
    await logIn(page)
    await page.locator('#history-repository').selectOption(job.repository)
    const listed = page.locator('#tools tbody tr', { hasText: 'cargo' })
    await listed.getByRole('cell', { name: '50.0 %' }).waitFor()
    assert.match(await listed.innerText(), /\b2\b.*50\.0 %.*98 KiB.*98 KiB/s)
    for (const hours of ['168', '24']) {
      await page.locator('#history-hours').selectOption(hours)
      await page.getByRole('img', { name: 'Hit ratio by time: 50 to 50 percent' }).waitFor()
      assert.equal(await page.locator('#ratio-chart svg .ct-point').count(), 1)
      await page.getByRole('img', { name: '98 KiB served and 98 KiB saved' }).waitFor()
    }
    assert.equal(await page.locator('#with-more tbody tr').count(), 3)
    assert.deepEqual(await accessibility(page), [])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('requests are shown as they happen, until they are paused, and those that fail stay', server, async (larder) => {
    const { page, problems, close } = await open(larder)
    await logIn(page)
    await page.getByText('Requests and decisions as they happen').waitFor()
    const [job, key] = [newJob(larder), newKey('live')]
    await save(job, key, 1000)
    await page.locator('#live tbody tr', { hasText: 'finalize' }).getByRole('cell', { name: key, exact: true }).waitFor()
    // By keyboard.
    await page.getByRole('button', { name: 'Pause' }).focus()
    await page.keyboard.press('Space')
    await page.locator('#live-pause[aria-pressed=true]').waitFor()
    const later = newKey('paused')
    await lookup(job, later)
    await page.getByText('Paused; 1 more').waitFor()
    assert.equal(await page.locator('#live tbody').getByText(later).count(), 0)
    await page.keyboard.press('Space')
    await page.locator('#live tbody').getByText(later).waitFor()
    const denied = await fetch(`${larder.url}/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
    assert.equal(denied.status, 401)
    // The page asks for these every ten seconds.
    await page.locator('#errors tbody tr', { hasText: '401' }).first().waitFor()
    assert.deepEqual(await accessibility(page), [])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('the policy and the rules in force are shown, with what was before', server, async (larder) => {
    const { page, problems, address, close } = await open(larder)
    await logIn(page)
    const listed = (what) => page.locator('#versions tbody tr').filter({ has: page.getByRole('cell', { name: what, exact: true }) })
    await listed('Policy').getByRole('cell', { name: 'built in' }).waitFor()
    await listed('Rules').getByRole('cell', { name: 'none' }).waitFor()
    const change = async (method, target, body) => {
      const response = await fetch(`http://${address}/api/v1/${target}`, { method, body, headers: { 'X-Api-Key': KEY } })
      assert.equal(response.status, 200, await response.clone().text())
      return response.json()
    }
    const text = 'export const access = { admit: () => ({ tag: "default" }) }'
    const used = await change('POST', 'rules/use?name=first.js', text)
    const later = await change('POST', 'rules/use?name=second.js', `${text} // again`)
    await change('POST', 'rules/shadow?name=shadow.js', text)
    await page.reload()
    await listed('Rules').getByRole('cell', { name: 'second.js', exact: true }).waitFor()
    assert.match(await listed('Rules').innerText(), new RegExp(`${later.digest.slice(0, 12)}\\s+chosen\\s+\\d+ \\w+ ago\\s+first\\.js ${used.digest.slice(0, 12)}`))
    await listed('Rules in the shadow').getByRole('cell', { name: 'shadow.js', exact: true }).waitFor()
    assert.deepEqual(await accessibility(page), [])
    assert.deepEqual(problems, [])
    await change('DELETE', 'rules/use')
    await change('DELETE', 'rules/shadow')
    await close()
  })

  scenario('entries that were never read again are found', server, async (larder) => {
    const job = newJob(larder)
    const [used, unused] = [newKey('used'), newKey('unused')]
    await save(job, used, 1000)
    await save(job, unused, 1000)
    const { page, problems, close } = await open(larder)
    await logIn(page)
    await page.locator('#filter-repository').fill(job.repository)
    await page.getByRole('button', { name: 'Filter', exact: true }).click()
    await page.getByText('2 of 2 entries').waitFor()
    assert.equal((await lookup(job, used)).json.ok, true)
    await page.getByLabel('Never read again').check()
    // A use is written in a batch.
    const isFound = async () => {
      await page.getByRole('button', { name: 'Filter', exact: true }).click()
      await page.locator('#found').waitFor()
      return (await page.locator('#found').innerText()) === '1 of 1 entries'
    }
    await eventually(60_000, 'the use is written', isFound)
    assert.deepEqual(await page.locator('#entries tbody tr td:first-child').allInnerTexts(), [unused])
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('a key of a stranger is text and no HTML', server, async (larder) => {
    const key = `${HOSTILE}-${newKey('hostile')}`
    await save(newJob(larder), key, 10)
    const { page, problems, close } = await open(larder)
    await logIn(page)
    await page.getByRole('cell', { name: key, exact: true }).waitFor()
    assert.equal(await page.locator('img').count(), 0)
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('names of any length and kind are shown for what they are, and turn nothing around', server, async (larder) => {
    const job = newJob(larder)
    const long = `${'x'.repeat(475)}${newKey('')}`
    assert.equal(long.length, 512)
    // An override of the direction, a character without a width, and a script that is written from the right.
    const id = newKey('')
    const names = [[`a\u202Egnp.${id}`, `a\u27e8U+202E\u27e9gnp.${id}`], [`b\u200Bc${id}`, `b\u27e8U+200B\u27e9c${id}`], [`\u05D0\u05D1${id}`, `\u05D0\u05D1${id}`]]
    for (const key of [long, `${HOSTILE}${id}`, ...names.map(([key]) => key)]) await save(job, key, 10)
    const { page, problems, close } = await open(larder, { viewport: { width: 320, height: 640 } })
    await logIn(page)
    await page.locator('#filter-repository').fill(job.repository)
    await page.getByRole('button', { name: 'Filter', exact: true }).click()
    await page.getByText('5 of 5 entries').waitFor()
    for (const [, shown] of names) await page.locator('#entries').getByRole('cell', { name: shown, exact: true }).waitFor()
    const overflow = () => page.evaluate(() => {
      const of = document.querySelector('dialog[open]') ?? document.documentElement
      return Math.max(of.scrollWidth - of.clientWidth, Math.ceil(of.getBoundingClientRect().right) - innerWidth)
    })
    assert.ok((await overflow()) <= 0, `the page is ${await overflow()} px too wide`)
    for (const what of ['Details of', 'Delete']) {
      await page.locator('#entries').getByRole('button', { name: `${what} ${long}` }).click()
      await page.locator('dialog[open]').getByText(long, { exact: true }).waitFor()
      assert.ok((await overflow()) <= 0, `${what}: the dialog is ${await overflow()} px too wide`)
      assert.deepEqual(await accessibility(page), [], what)
      await page.keyboard.press('Escape')
    }
    await page.locator('#entries').getByRole('button', { name: `Delete ${names[0][1]}` }).click()
    await page.getByText(`${names[0][1]} of ${job.repository}, refs/heads/main. Jobs will miss it until one saves it again.`).waitFor()
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('a long list is worked through by keyboard, which stays where it is', server, async (larder) => {
    const job = newJob(larder)
    for (let at = 0; at < 53; at += 1) await save(job, `listed-${String(at).padStart(2, '0')}`, 1)
    const { page, problems, close } = await open(larder)
    await page.getByLabel('API key').focus()
    await page.keyboard.type(KEY)
    await page.keyboard.press('Enter')
    await page.locator('#filter-repository').waitFor()
    await page.locator('#filter-repository').focus()
    await page.keyboard.type(job.repository)
    await page.keyboard.press('Enter')
    await page.getByText('50 of 53 entries').waitFor()
    const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id)
    const isFocused = (label) => eventually(10_000, `the focus on "${label}"`, async () => (await focused()) === label)
    await page.getByRole('button', { name: 'More entries' }).focus()
    await page.keyboard.press('Enter')
    await page.getByText('53 of 53 entries').waitFor()
    // The newest are first, and the button is gone.
    await isFocused('Details of listed-02')
    await page.getByRole('button', { name: 'Quarantine listed-02' }).focus()
    await page.keyboard.press('Enter')
    await isFocused('Release listed-02')
    await page.keyboard.press('Tab')
    await isFocused('Delete listed-02')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('52 of 52 entries').waitFor()
    await isFocused('Delete listed-01')
    assert.equal(await page.locator('#entries tbody tr').count(), 52)
    // Of very many rows the first make room: a browser would take seconds for each further page.
    const copied = 'tenant, repository, scope, version, object, size_bytes, created_ms, used_ms'
    await larder.inDatabase(
      `INSERT INTO entries (key, ${copied}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
       SELECT CAST('copy-' || i AS BLOB), ${copied} FROM n, (SELECT * FROM entries WHERE repository = CAST('${job.repository}' AS BLOB) LIMIT 1)`,
    )
    await page.locator('#filter-key').focus()
    await page.keyboard.press('Enter')
    await page.getByText('50 of 552 entries').waitFor()
    await page.getByRole('button', { name: 'More entries' }).focus()
    for (const found of [...Array.from({ length: 9 }, (_, at) => `${100 + 50 * at} of 552 entries`), '51 to 550 of 552 entries']) {
      await page.keyboard.press('Enter')
      await page.locator('#found').getByText(found, { exact: true }).waitFor()
    }
    assert.equal(await page.locator('#entries tbody tr').count(), 500)
    assert.deepEqual(problems, [])
    await close()
  })

  scenario('what another tab has deleted is gone here, too', server, async (larder) => {
    const [job, key] = [newJob(larder), newKey('twice')]
    await save(job, key, 10)
    const tabs = [await open(larder), await open(larder)]
    for (const { page } of tabs) {
      await logIn(page)
      await page.getByRole('cell', { name: key, exact: true }).first().waitFor()
    }
    for (const { page } of tabs) {
      await page.getByRole('button', { name: `Delete ${key}` }).click()
      await page.locator('dialog[open]').getByRole('button', { name: 'Delete' }).click()
      await page.locator('#entries').getByRole('cell', { name: key, exact: true }).waitFor({ state: 'detached' })
      assert.equal(await page.locator('#failure').isVisible(), false)
    }
    // The browser itself reports the 404.
    assert.deepEqual(tabs[0].problems, [])
    for (const { close } of tabs) await close()
  })

  scenario('a lost server is said where the user is, and is back when it is back', server, async (larder) => {
    const { page, close } = await open(larder)
    await logIn(page)
    await page.locator('#explain-repository').fill('nobody/nothing')
    await page.locator('#explain-refs').fill('refs/heads/main')
    await page.locator('#explain-keys').fill('k')
    const explain = page.getByRole('button', { name: 'Explain', exact: true })
    for (const [offline, text] of [[true, 'The server cannot be reached.'], [false, null]]) {
      await page.context().setOffline(offline)
      await explain.click()
      if (text) await page.locator('#failure').getByText(text).waitFor()
      else await page.getByText(text ?? /A miss|no repository/).first().waitFor()
      if (!text) continue
      const seen = await page.locator('#failure').evaluate((element) => {
        const { top, bottom } = element.getBoundingClientRect()
        return top >= 0 && bottom <= innerHeight
      })
      assert.ok(seen, 'it is on the screen, though the form is far down')
    }
    await close()
  })

  scenario('a key that is revoked ends the session, and nothing of what was shown stays', server, async (larder) => {
    const [job, key] = [newJob(larder), newKey('secret-name')]
    await save(job, key, 10)
    const { page, address, close } = await open(larder)
    const manage = (method, target, body) =>
      fetch(`http://${address}/api/v1/${target}`, { method, body, headers: { 'X-Api-Key': KEY, 'content-type': 'application/json' } })
    const name = newKey('of-the-page')
    const made = await (await manage('POST', 'keys', JSON.stringify({ name, role: 'delete' }))).json()
    await logIn(page, made.key)
    await page.getByRole('button', { name: `Details of ${key}` }).click()
    await page.locator('dialog[open]').getByText(key).first().waitFor()
    assert.equal((await manage('DELETE', `keys/${name}`)).status, 204)
    await page.getByText('The key is not valid any more.').waitFor()
    assert.equal(await page.locator('dialog[open]').count(), 0)
    assert.equal((await page.content()).includes(key), false)
    assert.equal(await page.evaluate(() => sessionStorage.length), 0)
    // What no request can carry is no key, and the server is not blamed.
    await logIn(page, 'кlюч')
    await page.getByText('This key is not valid.').waitFor()
    await close()
  })

  scenario('both themes and a narrow screen can be read', server, async (larder) => {
    await save(newJob(larder), newKey('themes'), 1000)
    for (const [theme, viewport] of [['light', undefined], ['dark', undefined], ['dark', { width: 320, height: 640 }]]) {
      const { page, problems, close } = await open(larder, { theme, viewport })
      assert.deepEqual(await accessibility(page), [], `${theme}: log in`)
      // Also before what they show is there.
      assert.equal(await page.locator('[role=img]:not([aria-label])').count(), 0)
      await logIn(page)
      await page.locator('#entries tbody tr').first().waitFor()
      assert.deepEqual(await accessibility(page), [], theme)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(overflow <= 0, `${theme}: the page is ${overflow} px wider than the screen`)
      if (viewport) {
        const remove = page.locator('#entries tbody tr').first().getByRole('button', { name: /^Delete/ })
        await remove.focus()
        const [key, button] = await Promise.all([page.locator('#entries tbody td').first(), remove].map((each) => each.boundingBox()))
        assert.ok(key.x >= 0 && key.x + key.width <= button.x, 'it is seen whose button has the focus')
      }
      assert.deepEqual(problems, [])
      await close()
    }
  })
})
