// Objects in a bucket, and downloads that do not go through the server: on the first hit, for clients that fetch plainly, for as
// many minutes as are configured.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe } from 'node:test'
import { newBackend } from '../harness/backends.mjs'
import { create, finalize, lookup, putBlock, putBlockList, send, store } from '../harness/protocol.mjs'
import { cannotControl } from '../harness/server.mjs'
import { ServiceAccount } from '../harness/service-account.mjs'
import { missing } from '../harness/services.mjs'
import { newJob, newKey, scenario, useServer } from '../harness/suite.mjs'
import { MIB } from '../harness/workspace.mjs'

const MINUTES = 7
const TOOLKIT = '@actions/cache-6.3.0'
const BUILDKIT = 'buildkit/v0.25'

/** The emulator of Google's takes every key. Without one nothing can be signed. */
const BUCKETS = [
  { storage: 's3', at: 'LARDER_TEST_S3_ENDPOINT', signs: true },
  { storage: 'gcs', at: 'LARDER_TEST_GCS_ENDPOINT', signs: false },
  { storage: 'gcs', at: 'LARDER_TEST_GCS_ENDPOINT', signs: true, account: new ServiceAccount() },
  { storage: 'azblob', at: 'LARDER_TEST_AZBLOB_CONNECTION_STRING', signs: true },
]

for (const { storage, at, signs, account } of BUCKETS) {
  describe(account ? `${storage} with the key of a service account` : storage, { skip: cannotControl || missing(at) }, () => {
    const options = { environment: { ENABLE_DIRECT_DOWNLOADS: 'true', LARDER_DIRECT_URL_MINUTES: String(MINUTES) } }
    before(async () => {
      options.backend = await newBackend({ storage, database: 'sqlite' })
      if (account) options.environment.STORAGE_GCS_SERVICE_ACCOUNT_KEY = await account.start()
    })
    after(() => account?.stop())
    const server = useServer(options)
    const urlFor = async (job, key, agent) => (await lookup({ ...job, agent }, key)).json.signed_download_url
    const isOwn = (larder, url) => url.startsWith(larder.url)

    scenario('an entry of three blocks is had from the bucket on its first hit', server, async (larder) => {
      const [job, key, content] = [newJob(larder), newKey('blocks'), randomBytes(20 * MIB)]
      const upload = (await create(job, key)).json.signed_upload_url
      for (const id of [1, 2, 3]) {
        const block = content.subarray((id - 1) * 8 * MIB, id * 8 * MIB)
        assert.equal((await putBlock(upload, id, block)).status, 201)
      }
      assert.equal((await putBlockList(upload, [1, 2, 3])).status, 201)
      assert.equal((await finalize(job, key, content.length)).status, 200)

      const asked = Date.now()
      const url = await urlFor(job, key, TOOLKIT)
      assert.equal(isOwn(larder, url), !signs, url)
      const whole = await send('GET', url)
      assert.equal(whole.status, 200)
      assert.ok(whole.body.equals(content), 'the content differs')
      const range = await send('GET', url, { headers: { range: 'bytes=5-9' } })
      assert.deepEqual([range.status, range.body], [206, content.subarray(5, 10)])
      if (signs) assertLifetime(url, asked)
      if (account) assert.deepEqual([account.hasSigned(url), account.hasSigned(`${url}&x=1`), account.tokens > 0], [true, false, true])
    })

    scenario('BuildKit, which resumes with x-ms-range, is served by the server itself', server, async (larder) => {
      const [job, key, content] = [newJob(larder), newKey('buildkit'), randomBytes(MIB)]
      await store(job, key, content)
      const url = await urlFor(job, key, BUILDKIT)
      assert.ok(isOwn(larder, url), url)
      const rest = await send('GET', url, { headers: { 'x-ms-range': 'bytes=1000-' } })
      assert.deepEqual([rest.status, rest.body.equals(content.subarray(1000))], [206, true])
    })
  })
}

/** The services' own words for how long a URL is good: seconds from now, or a date. */
function assertLifetime(url, askedMs) {
  const query = new URL(url).searchParams
  const seconds = query.get('X-Amz-Expires') ?? query.get('X-Goog-Expires')
  const minutes = seconds ? Number(seconds) / 60 : (Date.parse(query.get('se')) - askedMs) / 60_000
  assert.ok(Math.abs(minutes - MINUTES) < 0.5, `${minutes} minutes: ${url}`)
}
