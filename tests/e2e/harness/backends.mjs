// What the servers under test keep their data in: by default a directory and SQLite, which need nothing. LARDER_TEST_STORAGE
// (filesystem, s3, gcs, azblob) and LARDER_TEST_DATABASE (sqlite, postgres, mysql) choose others, whose servers run already:
// tests/scripts/with-services.sh starts them and says where they are. Each server under test gets a key prefix and a database of its own.
import { randomBytes } from 'node:crypto'
import { databases } from './databases.mjs'
import { told } from './services.mjs'

export const STORAGE = process.env.LARDER_TEST_STORAGE || 'filesystem'
export const DATABASE = process.env.LARDER_TEST_DATABASE || 'sqlite'

/**
 * Makes a fresh place for one server's data, or for that of several servers. Returns `{ storage, database, environment, objects, remove,
 * execute }`: what it is on, the server's settings, the stored objects where they are not files, and functions that remove the database and
 * that run a statement in it.
 */
export async function newBackend({ storage = STORAGE, database = DATABASE } = {}) {
  const name = `larder_${randomBytes(6).toString('hex')}`
  const { environment, objects } = await chosen(storages, storage)(name)
  const rows = await chosen(databases, database)(name)
  return { storage, database, environment: { ...environment, ...rows.environment }, objects, remove: rows.remove, execute: rows.execute }
}

const storages = {
  filesystem: async () => ({ environment: {}, objects: null }),
  s3: async (name) => {
    const { S3Objects } = await import('./s3-objects.mjs')
    const s3 = {
      endpoint: told('LARDER_TEST_S3_ENDPOINT'),
      region: 'us-east-1',
      bucket: told('LARDER_TEST_S3_BUCKET'),
      accessKeyId: told('LARDER_TEST_S3_ACCESS_KEY'),
      secretAccessKey: told('LARDER_TEST_S3_SECRET_KEY'),
      prefix: name,
    }
    const environment = {
      STORAGE_DRIVER: 's3',
      LARDER_STORAGE_PREFIX: s3.prefix,
      STORAGE_S3_BUCKET: s3.bucket,
      AWS_ENDPOINT_URL: s3.endpoint,
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    }
    return { environment, objects: new S3Objects(s3) }
  },
  gcs: async (name) => {
    const { GcsObjects } = await import('./gcs-objects.mjs')
    const gcs = { endpoint: told('LARDER_TEST_GCS_ENDPOINT'), bucket: told('LARDER_TEST_GCS_BUCKET'), prefix: name }
    const environment = {
      STORAGE_DRIVER: 'gcs',
      LARDER_STORAGE_PREFIX: gcs.prefix,
      STORAGE_GCS_BUCKET: gcs.bucket,
      STORAGE_GCS_ENDPOINT: gcs.endpoint,
    }
    return { environment, objects: new GcsObjects(gcs) }
  },
  azblob: async (name) => {
    const { AzblobObjects } = await import('./azblob-objects.mjs')
    const azblob = {
      connectionString: told('LARDER_TEST_AZBLOB_CONNECTION_STRING'), container: told('LARDER_TEST_AZBLOB_CONTAINER'), prefix: name,
    }
    const environment = {
      STORAGE_DRIVER: 'azblob',
      LARDER_STORAGE_PREFIX: azblob.prefix,
      STORAGE_AZBLOB_CONTAINER: azblob.container,
      STORAGE_AZBLOB_CONNECTION_STRING: azblob.connectionString,
    }
    return { environment, objects: new AzblobObjects(azblob) }
  },
}

function chosen(drivers, name) {
  if (!(name in drivers)) throw new Error(`'${name}' is none of ${Object.keys(drivers)}`)
  return drivers[name]
}
