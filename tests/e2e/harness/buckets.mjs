// The object stores that tests/scripts/with-services.sh starts, as settings for a server: each file of cases in a folder
// of its own.
import { randomUUID } from 'node:crypto'
import { ServiceAccount } from './service-account.mjs'

const has = (name) => process.env[name]

/**
 * What a server needs to keep its objects in each store that is there; `account`, where there is one, has to be started, and what it
 * returns is `STORAGE_GCS_SERVICE_ACCOUNT_KEY`. Under CI all must be there.
 */
export function buckets() {
  const found = [s3(), gcs(), gcsWithKey(), azblob()].filter((bucket) => bucket.environment)
  if (process.env.CI && found.length < 4) throw new Error('under CI every object store must be there (see `make e2e`)')
  return found
}

function s3() {
  if (!has('LARDER_TEST_S3_ENDPOINT')) return {}
  return {
    name: 's3',
    signs: true,
    environment: {
      STORAGE_DRIVER: 's3',
      STORAGE_S3_BUCKET: process.env.LARDER_TEST_S3_BUCKET,
      AWS_ENDPOINT_URL: process.env.LARDER_TEST_S3_ENDPOINT,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: process.env.LARDER_TEST_S3_ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: process.env.LARDER_TEST_S3_SECRET_KEY,
      LARDER_STORAGE_PREFIX: `e2e/${randomUUID()}`,
    },
  }
}

/** Without a key nothing can be signed. */
function gcs() {
  if (!has('LARDER_TEST_GCS_ENDPOINT')) return {}
  return {
    name: 'gcs',
    signs: false,
    environment: {
      STORAGE_DRIVER: 'gcs',
      STORAGE_GCS_BUCKET: process.env.LARDER_TEST_GCS_BUCKET,
      STORAGE_GCS_ENDPOINT: process.env.LARDER_TEST_GCS_ENDPOINT,
      LARDER_STORAGE_PREFIX: `e2e/${randomUUID()}`,
    },
  }
}

/** The emulator takes every key. */
function gcsWithKey() {
  const bucket = gcs()
  return bucket.environment ? { ...bucket, name: 'gcs with the key of a service account', signs: true, account: new ServiceAccount() } : {}
}

function azblob() {
  if (!has('LARDER_TEST_AZBLOB_CONNECTION_STRING')) return {}
  return {
    name: 'azblob',
    signs: true,
    environment: {
      STORAGE_DRIVER: 'azblob',
      STORAGE_AZBLOB_CONTAINER: process.env.LARDER_TEST_AZBLOB_CONTAINER,
      STORAGE_AZBLOB_CONNECTION_STRING: process.env.LARDER_TEST_AZBLOB_CONNECTION_STRING,
      LARDER_STORAGE_PREFIX: `e2e/${randomUUID()}`,
    },
  }
}
