// The page of the management listener. All it shows comes from /api/v1, with the key that the user has entered; texts of
// clients are only ever set as text. The page's own address may be below a path, so all addresses here are relative.

const API = new URL('api/v1/', document.baseURI)
const KEY = 'larder-key'
const REFRESH_MS = 10_000
const PAGE = 50
/** Most rows of entries at once: a browser lays all of them out again for each that is added. */
const MAX_ROWS = 500

const $ = (id) => document.getElementById(id)
const state = { role: 'read', tenant: null, filter: {}, tenants: [], sort: 'created_at', order: 'desc', cursor: null, shown: 0, dropped: 0, asked: 0 }

// --- requests ---

class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** Calls the API; returns the JSON of its answer, or null if it has none. */
async function call(path, { method = 'GET', query = {} } = {}) {
  const url = new URL(path, API)
  for (const [name, value] of Object.entries({ ...(state.tenant ? { tenant: state.tenant } : {}), ...query })) {
    for (const each of [value].flat()) if (each !== '' && each !== null && each !== undefined) url.searchParams.append(name, each)
  }
  let response
  try {
    response = await fetch(url, { method, headers: { 'X-Api-Key': sessionStorage.getItem(KEY) ?? '' }, cache: 'no-store' })
  } catch {
    throw new Refused(0, 'The server cannot be reached.')
  }
  const body = parsed(await response.text())
  if (!response.ok) throw new Refused(response.status, body?.error?.message ?? `The server answered ${response.status}.`)
  return body
}

/** What is no JSON was answered by something before the server. */
function parsed(text) {
  try {
    return text ? JSON.parse(text) : null
  } catch {
    return null
  }
}

/**
 * Runs an action; a failure is shown, and a key that counts no more ends the session. What the page does by itself takes back only what
 * it has said itself: the failure of an action stays until the user's next one.
 */
async function attempt(action, { byItself = false } = {}) {
  const failure = $('failure')
  try {
    await action()
    if (!byItself || failure.dataset.by === 'page') failure.hidden = true
  } catch (error) {
    if (error.status === 401) return logOut('The key is not valid any more.')
    if (byItself && !failure.hidden && failure.dataset.by !== 'page') return
    failure.textContent = error.message
    failure.dataset.by = byItself ? 'page' : 'user'
    failure.hidden = false
  }
}

// --- texts ---

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const SPANS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]]

function bytes(count) {
  let [value, unit] = [count, 0]
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`
}

function span(ms) {
  const [name, length] = SPANS.find(([, length]) => ms >= length) ?? ['s', 1000]
  return `${Math.floor(Math.max(ms, 0) / length)} ${name}`
}

function time(ms) {
  const element = document.createElement('time')
  element.dateTime = new Date(ms).toISOString()
  element.title = new Date(ms).toLocaleString()
  element.textContent = `${span(Date.now() - ms)} ago`
  return element
}

/** Characters that are not seen, or turn the text around them, by their numbers. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
const seen = (text) => text.replace(UNSEEN, (unseen) => `\u{27e8}U+${unseen.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}\u{27e9}`)

/** A text of a client, which neither hides nor turns anything. */
const clients = (text) => Object.assign(document.createElement('bdi'), { textContent: seen(text) })

const repositoryName = ({ repository, repository_name, name }) => repository_name ?? name ?? repository

// --- elements ---

function cell(content, className = '') {
  const td = document.createElement('td')
  td.className = className
  td.append(typeof content === 'string' ? clients(content) : content)
  return td
}

/** A cell of several parts. */
function cells(contents, className = '') {
  const td = cell(new DocumentFragment(), className)
  td.append(...contents)
  return td
}

function button(text, label, onclick, className = '') {
  const element = document.createElement('button')
  Object.assign(element, { type: 'button', textContent: seen(text), onclick, className })
  element.setAttribute('aria-label', seen(label))
  return element
}

function rows(table, list, make, none) {
  const body = $(table).tBodies[0]
  if (list.length) return replaceRows(body, list.map(make))
  const row = document.createElement('tr')
  const td = cell(none, 'empty')
  td.colSpan = $(table).tHead.rows[0].cells.length
  row.append(td)
  body.replaceChildren(row)
}

/** Replaces rows. Who was on a button by keyboard stays on that of the same label. */
function replaceRows(body, made) {
  const label = body.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : null
  body.replaceChildren(...made)
  if (label) [...body.querySelectorAll('button')].find((each) => each.getAttribute('aria-label') === label)?.focus({ preventScroll: true })
}

function row(...cells) {
  const element = document.createElement('tr')
  element.append(...cells)
  return element
}

function pairs(list, entries) {
  const parts = entries.filter(([, value]) => value !== null && value !== undefined && value !== '')
  list.replaceChildren(
    ...parts.map(([name, value]) => {
      const group = document.createElement('div')
      group.append(Object.assign(document.createElement('dt'), { textContent: name }), Object.assign(document.createElement('dd')))
      group.lastChild.append(typeof value === 'string' ? clients(value) : value)
      return group
    }),
  )
}

// --- space, repositories, uploads ---

async function showStatus() {
  const status = await call('status')
  $('server').textContent = `${status.version} · ${status.storage} and ${status.database}`
  $('server').hidden = false
  $('used').textContent = bytes(status.bytes ?? 0)
  $('limit').textContent = status.limit_bytes ? `of ${bytes(status.limit_bytes)}` : 'no limit'
  $('gauge').hidden = !status.limit_bytes
  $('gauge').value = status.limit_bytes ? (status.bytes ?? 0) / status.limit_bytes : 0
  const { sweep } = status
  pairs($('facts'), [
    ['Reaches back', status.longest_idle_ms === undefined || status.longest_idle_ms === null ? 'no entries' : span(status.longest_idle_ms)],
    ['Requests in flight', String(status.requests ?? '')],
    ['Connections', String(status.connections ?? '')],
    ['Up for', status.started_ms ? span(status.time_ms - status.started_ms) : null],
    ['Last sweep', sweep?.succeeded_ms ? time(sweep.succeeded_ms) : 'none yet'],
    ['Last failure of a sweep', sweep?.error ?? null],
  ])
}

// --- history ---

const HOUR_MS = 3_600_000
const percent = (ratio) => (ratio === null || ratio === undefined ? '–' : `${(ratio * 100).toFixed(1)} %`)

/** Hours in groups of some, the earliest first; a group without a look-up has no hit ratio. */
function groups(rows, fromMs, hours, size) {
  const list = Array.from({ length: hours / size }, (_, at) => ({ at: fromMs + at * size * HOUR_MS, hits: 0, lookups: 0, served: 0, saved: 0 }))
  for (const row of rows) {
    const group = list[Math.floor((row.start_ms - fromMs) / HOUR_MS / size)]
    if (!group) continue
    group.hits += row.hits
    group.lookups += row.lookups
    group.served += row.served_bytes
    group.saved += row.saved_bytes
  }
  return list
}

/** Charts are pictures, so each has its content in words. */
function chart(kind, id, labels, series, options, words) {
  $(id).setAttribute('aria-label', words)
  const axis = { showGrid: false, labelInterpolationFnc: (label, at) => (at % Math.ceil(labels.length / 6) === 0 ? label : null) }
  return new globalThis.Chartist[kind](`#${id}`, { labels, series }, { fullWidth: true, chartPadding: { top: 16, right: 44, bottom: 4, left: 8 }, axisX: axis, ...options })
}

function showCharts(list, size) {
  const format = size === 1 ? { hour: '2-digit', minute: '2-digit' } : { weekday: 'short', hour: '2-digit' }
  const labels = list.map(({ at }) => new Date(at).toLocaleString([], format))
  const ratios = list.map(({ hits, lookups }) => (lookups ? (hits / lookups) * 100 : null))
  const known = ratios.filter((ratio) => ratio !== null)
  const range = known.length ? `${Math.min(...known).toFixed(0)} to ${Math.max(...known).toFixed(0)} percent` : 'no look-ups'
  chart('LineChart', 'ratio-chart', labels, [ratios], { low: 0, high: 100, lineSmooth: false }, `Hit ratio by time: ${range}`)
  const most = Math.max(...list.map(({ served, saved }) => Math.max(served, saved)))
  const unit = Math.min(Math.max(Math.floor(Math.log2(Math.max(most, 1)) / 10), 0), UNITS.length - 1)
  $('bytes-unit').textContent = UNITS[unit]
  const scaled = (name) => list.map((group) => group[name] / 1024 ** unit)
  const sum = (name) => bytes(list.reduce((all, group) => all + group[name], 0))
  const words = `Bytes by time: ${sum('served')} served and ${sum('saved')} saved in all`
  chart('BarChart', 'bytes-chart', labels, [scaled('served'), scaled('saved')], { low: 0, seriesBarDistance: 6 }, words)
}

async function showHistory() {
  const hours = Number($('history-hours').value)
  const repository = $('history-repository').value
  const [history, tools] = await Promise.all(['hour', 'tool'].map((by) => call('history', { query: { by, hours, repository, limit: by === 'hour' ? 1000 : 50 } })))
  const size = hours === 24 ? 1 : 6
  const list = groups(history.rows, history.from_ms, hours, size)
  const sum = (name) => history.rows.reduce((all, row) => all + row[name], 0)
  pairs($('history-facts'), [
    ['Hit ratio', percent(sum('lookups') ? sum('hits') / sum('lookups') : null)],
    ['Look-ups', sum('lookups').toLocaleString()],
    ['Served from here', bytes(sum('served_bytes'))],
    ['Saved', bytes(sum('saved_bytes'))],
    ['Evicted', bytes(sum('evicted_bytes'))],
  ])
  const nothing = !history.rows.length
  $('history-none').hidden = !nothing
  $('charts').hidden = nothing
  if (!nothing) showCharts(list, size)
  // `name` is the tool's here, and not the repository's.
  const make = ({ name: tool, ...counts }) =>
    row(
      cell(repositoryName(counts)),
      cell(tool, 'code'),
      cell(counts.lookups.toLocaleString(), 'number'),
      cell(percent(counts.hit_ratio), 'number'),
      cell(bytes(counts.served_bytes), 'number'),
      cell(bytes(counts.saved_bytes), 'number'),
    )
  rows('tools', tools.rows, make, 'Nothing in this time.')
}

async function showSavings() {
  const { windows } = await call('savings', { query: { repository: $('history-repository').value } })
  const { with_more } = windows.at(-1)
  const make = (more) =>
    row(cell(`+${more.more_bytes / 1e9} GB`), cell(more.more_hits.toLocaleString(), 'number'), cell(percent(more.hit_ratio), 'number'))
  rows('with-more', with_more, make, 'Nothing in this time.')
}

// --- policy and rules ---

const RULES = { access: 'Access', restore: 'Restore', save: 'Save', retention: 'Retention' }
const VERSIONED = [['Policy', 'policies'], ['Rules', 'rules/versions'], ['Rules in the shadow', 'rules/shadow']]

/** The first characters of a digest; all of them where it is pointed at. */
const short = (digest) => Object.assign(element('span', digest.slice(0, 12)), { title: digest })

function versionRow(what, { in_force: now, previous }) {
  const before = previous ? [clients(previous.name), ' ', short(previous.digest)] : ['–']
  if (!now) return row(cell(what), cell('none'), cell('–'), cell('–'), cell('–'), cells(before, 'code'))
  return row(
    cell(what),
    cell(now.name || 'not named', 'code'),
    cell(short(now.digest), 'code'),
    cell(now.source ?? 'not known'),
    cell(now.since_ms ? time(now.since_ms) : 'not known'),
    cells(before, 'code'),
  )
}

async function showVersions() {
  const told = await Promise.all(VERSIONED.map(([, path]) => call(path)))
  $('versions').tBodies[0].replaceChildren(...VERSIONED.map(([what], at) => versionRow(what, told[at])))
  const refused = VERSIONED.flatMap(([what], at) => (told[at].chosen?.refused ? [`${what}: ${told[at].chosen.name} is chosen, and not used: ${told[at].chosen.refused}`] : []))
  $('versions-refused').textContent = refused.join(' ')
  $('versions-refused').hidden = !refused.length
}

async function showRules() {
  const [{ active, shadow }] = await Promise.all([call('rules'), showVersions()])
  const answered = ({ interfaces }) => interfaces.map((each) => `${RULES[each.interface] ?? each.interface}: ${each.asked} asked, ${each.failed} failed`).join('; ')
  pairs($('rules-facts'), [
    ['Rules', active ? answered(active) : null],
    ['Shadow', shadow ? `${shadow.answered} answered, ${shadow.differ} differ` : null],
  ])
  $('differences-region').hidden = !shadow
  const make = (each) =>
    row(cell(RULES[each.interface] ?? each.interface), cell(each.active), cell(each.shadow), cell(each.count.toLocaleString(), 'number'))
  rows('differences', shadow?.differences ?? [], make, 'No differences.')
}

async function showRepositories() {
  const stats = await call('stats')
  const whole = Math.max(stats.limit_bytes ?? 0, stats.bytes, 1)
  const make = (part) => {
    const share = Object.assign(document.createElement('meter'), { min: 0, max: 1, value: part.bytes / whole })
    share.setAttribute('aria-label', `Share of ${repositoryName(part)}`)
    const name = button(repositoryName(part), `Entries of ${repositoryName(part)}`, () => filterBy(repositoryName(part)))
    return row(cell(name), cell(bytes(part.bytes), 'number'), cell(share))
  }
  rows('repositories', stats.parts, make, 'Nothing is stored.')
  const chosen = $('history-repository').value
  const options = stats.parts.map((part) => new Option(seen(repositoryName(part)), part.repository))
  $('history-repository').replaceChildren(new Option('All', ''), ...options)
  if (options.some(({ value }) => value === chosen)) $('history-repository').value = chosen
}

// --- tenants ---

/** More are not shown: each is asked about by itself. */
const MAX_TENANTS = 50

async function tenantRow({ name, hosts }) {
  const query = { tenant: name }
  const choose = button(name, `Show ${name}`, () => chooseTenant(name))
  try {
    const [status, { rows: hours }] = await Promise.all([call('status', { query }), call('history', { query: { ...query, by: 'hour', hours: 24 } })])
    const sum = (count) => hours.reduce((all, hour) => all + hour[count], 0)
    const [lookups, hits] = [sum('lookups'), sum('hits')]
    return row(
      cell(choose),
      cell(hosts.join(', ')),
      cell(bytes(status.bytes ?? 0), 'number'),
      cell(status.limit_bytes ? bytes(status.limit_bytes) : 'none', 'number'),
      cell(typeof status.longest_idle_ms === 'number' ? span(status.longest_idle_ms) : 'no entries', 'number'),
      cell(lookups.toLocaleString(), 'number'),
      cell(percent(lookups ? hits / lookups : null), 'number'),
    )
  } catch (error) {
    if (error.status === 401) throw error
    const why = cell(error.message)
    why.colSpan = 5
    return row(cell(choose), cell(hosts.join(', ')), why)
  }
}

async function showTenants() {
  $('tenants-section').hidden = state.tenants.length < 2
  if (state.tenants.length < 2) return
  const made = []
  for (const tenant of state.tenants.slice(0, MAX_TENANTS)) made.push(await tenantRow(tenant))
  replaceRows($('tenants').tBodies[0], made)
}

function chooseTenant(name) {
  state.tenant = name
  $('tenant').value = name
  showLive()
  return refreshAll()
}

// --- live ---

const LIVE_ROWS = 100
const LIVE_PAUSE_MS = 2000
const live = { events: [], waiting: 0, isPaused: false, isDrawing: false, stop: null }

const nameOf = ({ facts, repository }) => facts?.repository ?? repository ?? ''
const took = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`)

function liveRow(event) {
  const when = element('time', new Date(event.time_ms).toLocaleTimeString())
  when.dateTime = new Date(event.time_ms).toISOString()
  const outcome = [event.outcome, event.cause, event.reason].filter(Boolean).join(': ')
  const key = event.matched_key ? [clients(event.key), ' → ', clients(event.matched_key)] : [clients(event.key ?? '')]
  const size = event.bytes_out || event.bytes_in || event.size || 0
  return row(
    cell(when),
    cell(event.kind),
    cell(outcome),
    cell(nameOf(event)),
    cells(key, 'code'),
    cell(size ? bytes(size) : '', 'number'),
    cell(event.status ? took(event.duration_ms ?? 0) : '', 'number'),
  )
}

/** Draws what has come, a few times a second at most. */
function drawLive() {
  if (live.isDrawing) return
  live.isDrawing = true
  setTimeout(() => {
    live.isDrawing = false
    if (!live.isPaused) rows('live', live.events, liveRow, 'Nothing yet.')
  }, 250)
}

function sayLive() {
  if (live.stop) $('live-state').textContent = live.isPaused ? `Paused; ${live.waiting} more` : 'Requests and decisions as they happen'
}

function receive(line) {
  const event = line.lagged ? { time_ms: Date.now(), kind: 'missing', outcome: `${line.lagged} events came too fast` } : line
  if (!event.kind) return
  live.events.unshift(event)
  live.events.length = Math.min(live.events.length, LIVE_ROWS)
  if (live.isPaused) live.waiting += 1
  sayLive()
  drawLive()
}

/** Reads a stream to its end. */
async function follow(path, signal) {
  const url = new URL(path, API)
  if (state.tenant) url.searchParams.set('tenant', state.tenant)
  const response = await fetch(url, { headers: { 'X-Api-Key': sessionStorage.getItem(KEY) ?? '' }, cache: 'no-store', signal })
  if (!response.ok) throw new Refused(response.status, (await response.json())?.error?.message)
  sayLive()
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let text = ''; ; ) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (text + value).split('\n')
    text = lines.pop()
    for (const line of lines) receive(JSON.parse(line))
  }
}

/** Follows a stream until it is told to stop: each ends after some minutes. */
async function stayWith(path, signal) {
  while (!signal.aborted) {
    try {
      await follow(path, signal)
    } catch (error) {
      if (signal.aborted) return
      if (error.status === 401) return logOut('The key is not valid any more.')
      if (error.status) {
        $('live-state').textContent = error.message
        return
      }
      $('live-state').textContent = 'The connection is lost; trying again.'
    }
    await new Promise((resolve) => setTimeout(resolve, LIVE_PAUSE_MS))
  }
}

/** Begins anew. A tab that nobody sees has no stream: a browser has few connections to a server. */
function showLive() {
  stopLive()
  if ($('inside').hidden || document.hidden) return
  live.stop = new AbortController()
  Object.assign(live, { events: [], waiting: 0 })
  drawLive()
  for (const path of ['requests', 'decisions']) stayWith(path, live.stop.signal)
}

function stopLive() {
  live.stop?.abort()
  live.stop = null
}

async function showErrors() {
  const { errors } = await call('errors')
  const make = (event) =>
    row(
      cell(time(event.time_ms)),
      cell(event.kind),
      cell(String(event.status ?? ''), 'number'),
      cell([event.outcome, event.reason].filter(Boolean).join(': ')),
      cell(nameOf(event)),
      cell(event.key ?? '', 'code'),
      cell(event.request ?? '', 'code'),
    )
  rows('errors', errors, make, 'None since the server started.')
}

async function showUploads() {
  const { uploads } = await call('uploads')
  const make = (upload) =>
    row(
      cell(upload.key, 'code'),
      cell(repositoryName(upload)),
      cell(upload.scope, 'code'),
      cell(time(upload.created_ms)),
      cell(time(upload.last_activity_ms)),
    )
  rows('uploads', uploads, make, 'No uploads.')
}

// --- entries ---

const mayDelete = () => state.role !== 'read'

function entryRow(entry) {
  const key = cell(entry.key, 'code')
  if (entry.quarantined_ms) {
    key.append(' ', Object.assign(document.createElement('span'), { className: 'held', textContent: '(in quarantine)' }))
  }
  const actions = document.createElement('div')
  actions.className = 'buttons'
  actions.append(button('Details', `Details of ${entry.key}`, () => showDetails(entry)))
  if (mayDelete()) {
    const [word, method] = entry.quarantined_ms ? ['Release', 'DELETE'] : ['Quarantine', 'POST']
    actions.append(button(word, `${word} ${entry.key}`, () => hold(entry, method)))
    actions.append(button('Delete', `Delete ${entry.key}`, () => deleteEntry(entry), 'danger'))
  }
  const made = row(
    key,
    cell(repositoryName(entry)),
    cell(entry.scope, 'code'),
    cell(bytes(entry.size_bytes), 'number'),
    cell(time(entry.created_ms)),
    cell(time(entry.last_used_ms)),
    cell(String(entry.uses ?? ''), 'number'),
    cell(actions),
  )
  made.dataset.id = entry.id
  return made
}

const rowOf = ({ id }) => $('entries').tBodies[0].querySelector(`tr[data-id="${Number(id)}"]`)

/** Holds an entry back, or releases it. Its row alone changes. */
const hold = (entry, method) =>
  attempt(async () => {
    await call(`entries/${entry.id}/quarantine`, { method })
    const changed = entryRow({ ...entry, quarantined_ms: method === 'POST' ? Date.now() : null })
    rowOf(entry)?.replaceWith(changed)
    changed.querySelectorAll('button')[1]?.focus({ preventScroll: true })
  })

/** Takes the row of an entry away that is gone. Who works by keyboard goes on at the next one. */
function takeRow(entry) {
  const gone = rowOf(entry)
  if (!gone) return
  const next = gone.nextElementSibling ?? gone.previousElementSibling
  gone.remove()
  state.shown -= 1
  if (state.total) state.total -= 1
  sayFound()
  const buttons = next?.querySelectorAll('button')
  if (buttons?.length) [...buttons].at(-1).focus({ preventScroll: true })
  else $('entries').parentElement.focus({ preventScroll: true })
}

/** The first rows go where there would be too many; the order from its beginning is a click on a column. */
function appendRows(made) {
  const { rows } = $('entries').tBodies[0]
  $('entries').tBodies[0].append(...made)
  for (; rows.length > MAX_ROWS; state.dropped += 1) rows[0].remove()
}

function sayFound() {
  const from = state.dropped ? `${state.dropped + 1} to ` : ''
  $('found').textContent = `${from}${state.shown} of ${state.total ?? state.shown} entries`
}

async function showEntries({ append = false } = {}) {
  const { sort, order, filter } = state
  const cursor = append ? state.cursor : null
  const query = { ...filter, sort, order, cursor, limit: PAGE, total: !append }
  state.asked += 1
  const asked = state.asked
  const page = await call('entries', { query })
  // Meanwhile something else was asked for, whose answer may have come before.
  if (asked !== state.asked) return
  state.cursor = page.next ?? null
  const made = append ? page.entries.map(entryRow) : []
  if (append) appendRows(made)
  else rows('entries', page.entries, entryRow, 'No entries.')
  // The button was where the keyboard is, and goes with the last page.
  if (append && !state.cursor && document.activeElement === $('more')) made[0]?.querySelector('button')?.focus()
  $('more').hidden = !state.cursor
  state.shown = (append ? state.shown : 0) + page.entries.length
  if (!append) Object.assign(state, { total: page.total, dropped: 0 })
  sayFound()
  for (const head of $('entries').tHead.querySelectorAll('[data-sort]')) {
    if (head.dataset.sort === sort) head.setAttribute('aria-sort', order === 'desc' ? 'descending' : 'ascending')
    else head.removeAttribute('aria-sort')
  }
}

function filterBy(repository) {
  $('filter').reset()
  $('filter-repository').value = repository
  $('filter').requestSubmit()
  $('entries-title').scrollIntoView()
}

/** Asks first. Resolves to whether the user has confirmed. */
function confirmed(title, ...text) {
  $('confirm-title').textContent = title
  $('confirm-text').replaceChildren(...text)
  $('confirm').returnValue = ''
  $('confirm').showModal()
  return new Promise((resolve) => $('confirm').addEventListener('close', () => resolve($('confirm').returnValue === 'confirm'), { once: true }))
}

async function deleteEntry(entry) {
  const [key, repository, scope] = [entry.key, repositoryName(entry), entry.scope].map(clients)
  const text = [key, ' of ', repository, ', ', scope, '. Jobs will miss it until one saves it again.']
  if (!(await confirmed('Delete this entry?', ...text))) return
  await attempt(async () => {
    try {
      await call(`entries/${entry.id}`, { method: 'DELETE' })
    } catch (error) {
      // Somebody else was faster, or another tab.
      if (error.status !== 404) throw error
    }
    takeRow(entry)
    await Promise.all([showStatus(), showRepositories()])
  })
}

function showDetails(entry) {
  $('details-title').replaceChildren(clients(entry.key))
  pairs($('details').querySelector('dl'), [
    ['Number', String(entry.id)],
    ['Repository', `${repositoryName(entry)} (${entry.repository})`],
    ['Scope', entry.scope],
    ['Version', entry.version],
    ['Size', `${entry.size_bytes} bytes`],
    ['Made', new Date(entry.created_ms).toLocaleString()],
    ['Last used', new Date(entry.last_used_ms).toLocaleString()],
    ['Uses', String(entry.uses ?? 'not counted')],
    ['Trust', entry.trust],
    ...Object.entries(entry.facts ?? {}).map(([name, value]) => [`Saver's ${name}`, value]),
  ])
  $('details').showModal()
}

// --- explain ---

const CAUSES = {
  'never-saved': 'Nothing of this key was ever saved.',
  'other-scope': 'It was saved in a scope that this job does not look in.',
  'other-version': 'It was saved under another version: other paths, another compression, or another system.',
  uploading: 'It is being uploaded.',
  stale: 'Its content is gone.',
  quarantined: 'It is in quarantine.',
  expired: 'It was deleted, because it was too old.',
  evicted: 'It was deleted to make room.',
  superseded: 'It was deleted, because newer ones of its kind are kept.',
  revoked: 'It was revoked.',
  'closed-scope': 'It was deleted, because its branch or pull request was closed.',
  deleted: 'Somebody deleted it.',
  denied: 'It is in a scope that the token may not read.',
  rule: 'A rule of this server does not let this job have it.',
}

const element = (name, ...content) => {
  const made = document.createElement(name)
  made.append(...content)
  return made
}

async function explain(event) {
  event.preventDefault()
  const form = new FormData($('explain'))
  const lines = (name) => form.get(name).split('\n').map((line) => line.trim()).filter(Boolean)
  const query = { repository: form.get('repository').trim(), ref: lines('ref'), key: lines('key'), version: form.get('version').trim() }
  await attempt(async () => {
    const { attempts, near, cause } = await call('explain', { query })
    const verdict = cause
      ? [element('strong', `A miss: ${cause}. `), CAUSES[cause] ?? '']
      : [element('strong', 'A hit. '), 'A job that looks now gets it.']
    const tried = attempts.map((each) =>
      element(
        'li',
        element('code', clients(each.key), each.is_prefix ? '*' : ''),
        ' in ',
        clients(each.scope),
        `: ${each.found}`,
        ...(each.finding ? [' (', clients(each.finding.key), ')'] : []),
      ),
    )
    const close = near.map((each) => {
      const deleted = each.deleted ? `, deleted ${span(Date.now() - each.deleted.at_ms)} ago: ${each.deleted.cause}` : ''
      return element('li', element('code', clients(each.key)), ' in ', clients(each.scope), `, ${each.cause}${deleted}`)
    })
    $('explanation').replaceChildren(
      element('p', ...verdict),
      element('h3', 'Tried, in order'),
      element('ol', ...tried),
      ...(close.length ? [element('h3', 'What came near'), element('ul', ...close)] : []),
    )
  })
}

// --- session ---

async function logIn() {
  const { role, tenant } = await call('whoami')
  state.role = role
  const tenants = await call('tenants')
  state.tenants = tenants
  $('tenant').replaceChildren(...tenants.map(({ name }) => new Option(name, name)))
  $('tenant-form').hidden = tenants.length < 2
  state.tenant = tenant ?? null
  $('login').hidden = true
  $('inside').hidden = false
  $('log-out').hidden = false
  showLive()
  await refreshAll()
}

/** Nothing of what was shown stays behind. `keepsKey`: the server is gone, and the key may be good. */
function logOut(why = '', { keepsKey = false } = {}) {
  if (!keepsKey) sessionStorage.removeItem(KEY)
  stopLive()
  live.events = []
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close('cancel')
  for (const id of ['inside', 'log-out', 'server', 'tenant-form', 'failure']) $(id).hidden = true
  for (const list of document.querySelectorAll('#inside tbody, dl, #explanation, #confirm-text, #details-title, .chart, #tenant')) list.replaceChildren()
  for (const form of ['filter', 'explain']) for (const field of $(form).querySelectorAll('input, textarea')) field.value = ''
  $('filter-never-used').checked = false
  $('filter-never-used').value = 'true'
  state.filter = {}
  $('login').hidden = false
  $('login-failure').textContent = why
  $('login-failure').hidden = !why
  $('key').value = ''
  $('key').focus()
}

const refreshAll = () => attempt(() => Promise.all([showStatus(), showRepositories(), showEntries(), showUploads(), showHistory(), showSavings(), showRules(), showErrors(), showTenants()]))

$('login-form').onsubmit = async (event) => {
  event.preventDefault()
  const key = $('key').value.trim()
  // What no field of a request can carry is no key.
  if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(key)) return logOut('This key is not valid.')
  sessionStorage.setItem(KEY, key)
  try {
    await logIn()
    $('content').focus({ preventScroll: true })
  } catch (error) {
    logOut(error.status === 401 ? 'This key is not valid.' : error.message)
  }
}
$('log-out').onclick = () => logOut()
$('tenant').onchange = () => chooseTenant($('tenant').value)
$('history-form').onchange = () => attempt(() => Promise.all([showHistory(), showSavings()]))
$('filter').onsubmit = (event) => {
  event.preventDefault()
  state.filter = Object.fromEntries([...new FormData($('filter'))].map(([name, value]) => [name, value.trim()]))
  attempt(showEntries)
}
$('filter').onreset = () => {
  state.filter = {}
  attempt(showEntries)
}
$('more').onclick = () => attempt(() => showEntries({ append: true }))
$('explain').onsubmit = explain
for (const head of $('entries').tHead.querySelectorAll('[data-sort]')) {
  head.firstElementChild.onclick = () => {
    const same = state.sort === head.dataset.sort
    state.order = same && state.order === 'desc' ? 'asc' : 'desc'
    state.sort = head.dataset.sort
    attempt(showEntries)
  }
}

$('live-pause').onclick = () => {
  live.isPaused = !live.isPaused
  live.waiting = 0
  $('live-pause').setAttribute('aria-pressed', String(live.isPaused))
  sayLive()
  drawLive()
}
document.addEventListener('visibilitychange', showLive)

const THEME = 'larder-theme'
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme
}
setTheme(localStorage.getItem(THEME))
$('theme').onclick = () => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const now = document.documentElement.dataset.theme ?? (dark ? 'dark' : 'light')
  const next = now === 'dark' ? 'light' : 'dark'
  localStorage.setItem(THEME, next)
  setTheme(next)
}

setInterval(() => {
  if (!$('inside').hidden && !document.hidden) attempt(() => Promise.all([showStatus(), showUploads(), showErrors()]), { byItself: true })
}, REFRESH_MS)
if (sessionStorage.getItem(KEY)) logIn().catch((error) => logOut(error.status === 401 ? '' : error.message, { keepsKey: error.status !== 401 }))
