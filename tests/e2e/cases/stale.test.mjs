// Entries whose stored objects are gone or damaged: the client sees a plain miss, or the next best match, at once; the operator
// sees one warning for each look-up; and the key can be saved again.
import assert from 'node:assert/strict'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { cannotWipe } from '../harness/server.mjs'
import { assertPrompt, CLIENTS, restore, save } from '../harness/toolkit.mjs'
import { beginDownload, lookup, send, store } from '../harness/protocol.mjs'
import { cutInHalf, cutToNothing, largest, objectsOfEntry, storedObjects, wipe, wipeOne } from '../harness/stored-objects.mjs'
import { useWarnings } from '../harness/warnings.mjs'
import { inWorkspace, MIB, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer()
const expectWarnings = useWarnings(server)
const stale = (name, body) => scenario(name, server, body, { skip: cannotWipe })

const [NEWEST, OLDER] = CLIENTS

// An entry that the toolkit uploads in one request, and one that it uploads in three blocks (over 128 MiB).
const ONE_REQUEST = { label: 'uploaded whole', size: MIB }
const MANY_BLOCKS = { label: 'uploaded in blocks', size: 136 * MIB }

const DAMAGES = [
  { name: 'all objects wiped before the first restore', damage: wipe },
  { name: 'all objects wiped after a restore', damage: wipe, restoredFirst: true },
  { name: 'the object with its content wiped', damage: wipeOne },
  { name: 'an object cut in half', damage: cutInHalf },
  { name: 'an object cut to nothing', damage: cutToNothing, restoredFirst: true },
]

// Where the suite runs many times (LARDER_TEST_SIZES=few), large uploads are damaged in two ways only.
const OF_LARGE_ONES = process.env.LARDER_TEST_SIZES === 'few' ? [DAMAGES[1], DAMAGES[3]] : DAMAGES

const WHO_AND_WHAT = [
  { client: NEWEST, ...ONE_REQUEST, damages: DAMAGES },
  { client: NEWEST, ...MANY_BLOCKS, damages: OF_LARGE_ONES },
  { client: OLDER, ...ONE_REQUEST, damages: DAMAGES.slice(0, 2) },
]

for (const { client, label, size, damages } of WHO_AND_WHAT) {
  for (const { name, damage, restoredFirst } of damages) {
    stale(`${client}, entry ${label}, ${name}: a miss twice, then saved anew`, async (larder) => {
      const job = newJob(larder)
      const key = newKey('stale')
      const objects = await objectsOfEntry(larder, () => saveFresh(job, key, size, client))
      if (restoredFirst) await restoreInto(job, key, client)
      await damage(larder, objects)
      await missOnce(job, key, client)
      await missOnce(job, key, client)
      const digest = await saveFresh(job, key, ONE_REQUEST.size, client)
      assert.equal(await restoreInto(job, key, client), digest)
    })
  }
}

for (const client of [NEWEST, OLDER]) {
  stale(`${client}: the next best match is offered in place of a stale one, twice`, async (larder) => {
    const job = newJob(larder)
    const older = await saveFresh(job, 'deps-older', 1000, client)
    const objects = await objectsOfEntry(larder, () => saveFresh(job, 'deps-newer', 1000, client))
    await wipe(larder, objects)
    for (const [key, restoreKeys] of [['deps-newer', ['deps-']], ['deps-', []]]) {
      await inWorkspace(async (workspace) => {
        const restored = await expectWarnings(1, () => restore(job, workspace, key, { client, restoreKeys }))
        assert.equal(restored.result, 'deps-older')
        assert.deepEqual([...restored.warnings, ...restored.errors], [])
        assertPrompt(restored)
        assert.equal(await payloadDigest(workspace), older)
      })
    }
  })
}

stale('wiped between look-up and download: 404 with an XML error, twice, and one warning each', async (larder) => {
  const job = newJob(larder)
  const objects = await objectsOfEntry(larder, () => store(job, 'raced', Buffer.alloc(MIB, 'x')))
  const url = (await lookup(job, 'raced')).json.signed_download_url
  await wipe(larder, objects)
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const answer = await expectWarnings(1, () => send('GET', url))
    assert.equal(answer.status, 404)
    assert.match(answer.headers['content-type'], /^application\/xml/)
    assert.match(String(answer.body), /<Error>.*<Code>\w+<\/Code>/s)
    assert.ok(answer.headers['x-ms-error-code'])
    assert.ok(answer.headers['x-ms-request-id'])
  }
})

stale('cut short between look-up and download: 404, never a part of the content', async (larder) => {
  const job = newJob(larder)
  const objects = await objectsOfEntry(larder, () => store(job, 'raced-cut', Buffer.alloc(MIB, 'x')))
  const url = (await lookup(job, 'raced-cut')).json.signed_download_url
  await cutInHalf(larder, objects)
  assert.equal((await expectWarnings(1, () => send('GET', url))).status, 404)
})

const WIPED = 'the object is wiped'
const IN_THE_MIDDLE = {
  [WIPED]: (objects, name) => objects.remove([name]),
  'the object is cut in half': (objects, name, size) => objects.cut(name, size / 2),
  'the object is cut to nothing': (objects, name) => objects.cut(name, 0),
  'the object is wiped and cut to nothing': async (objects, name) => {
    await objects.cut(name, 0)
    await objects.remove([name])
  },
}

for (const [event, damage] of Object.entries(IN_THE_MIDDLE)) {
  stale(`${event} in the middle of a download: cut off or whole, never a clean end with wrong bytes`, async (larder) => {
    const job = newJob(larder)
    const key = newKey('midway')
    const content = patterned(64 * MIB)
    const objects = await objectsOfEntry(larder, () => store(job, key, content))
    const download = await beginDownload((await lookup(job, key)).json.signed_download_url)
    assert.equal(download.announced, content.length)
    await damage(storedObjects(larder), await largest(larder, objects), content.length)
    const { received, clean } = await download.finish()
    if (clean) {
      assert.ok(received.equals(content), 'a clean end with wrong bytes')
      // A file is one and the same under its readers; in object storage a reader may have the old object to its end.
      if (larder.storage === 'filesystem') assert.equal(event, WIPED, 'bytes that were cut off cannot all have been sent')
    } else {
      assert.ok(received.length < content.length)
      assert.ok(received.equals(content.subarray(0, received.length)), 'wrong bytes before the cut')
    }
    assert.equal((await send('GET', `${larder.url}/health`)).status, 200)
  })
}

/** Content in which every 8 bytes differ, so that bytes in a wrong place are seen. */
function patterned(size) {
  const content = Buffer.allocUnsafe(size)
  for (let at = 0; at < size; at += 8) content.writeDoubleLE(at + 0.5, at)
  return content
}

async function saveFresh(job, key, size, client) {
  return inWorkspace(async (workspace) => {
    const digest = writePayload(workspace, size)
    const saved = await save(job, workspace, key, client)
    assert.ok(saved.result > 0, saved.output)
    return digest
  })
}

async function restoreInto(job, key, client) {
  return inWorkspace(async (workspace) => {
    const restored = await restore(job, workspace, key, { client })
    assert.equal(restored.result, key, restored.output)
    return payloadDigest(workspace)
  })
}

async function missOnce(job, key, client) {
  await inWorkspace(async (workspace) => {
    const missed = await expectWarnings(1, () => restore(job, workspace, key, { client }))
    assert.equal(missed.result, null)
    assert.deepEqual([...missed.warnings, ...missed.errors], [], missed.output)
    assertPrompt(missed)
  })
}
