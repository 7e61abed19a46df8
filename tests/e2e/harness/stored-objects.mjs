// The objects that the storage under the server keeps for entries, for the cases that take them away or cut them short.
// The storage is reached by its own means, past the server.
import { readdirSync, readFileSync, existsSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/**
 * The stored objects of a server: `list()` names them, `size(name)`, `remove(names)`, `cut(name, size)`, after which only the first
 * `size` bytes are left, and `change(name, how)`, where `how` changes a buffer with all bytes in place.
 */
export const storedObjects = (server) => server.backend?.objects ?? new Files(server.dataDir)

/** The folders of the native server, of a tenant (tests/scripts/larder-tenant.sh), and of the component under wasmtime. */
const FOLDERS = ['storage/objects', 'storage/tenants/among-many/objects', 'objects', 'blocks']

class Files {
  constructor(dataDir) {
    this.folders = FOLDERS.map((folder) => path.join(dataDir, folder))
  }
  list = async () => this.folders.flatMap(filesBelow)
  size = async (name) => statSync(name).size
  remove = async (names) => names.forEach((name) => unlinkSync(name))
  cut = async (name, size) => truncateSync(name, size)
  change = async (name, how) => {
    const content = readFileSync(name)
    how(content)
    writeFileSync(name, content)
  }
}

/** All regular files below a directory. */
export function filesBelow(directory) {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true })
    .map((name) => path.join(directory, name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
}

const BLOCK_BYTES = 512

/** The disk space of all files below the filesystem storage's directory, staged ones too. Holes in files take none. */
export const occupiedBytes = (server) =>
  filesBelow(path.join(server.dataDir, 'storage'))
    .map((file) => (statSync(file, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES)
    .reduce((sum, size) => sum + size, 0)

/**
 * The disk space that the same files certainly took at one moment. A walk is none: what is deleted behind it and what is written
 * before it would both count. So it walks twice, and of each file that is there both times the smaller size counts.
 */
export function occupiedBytesAtOnce(server) {
  const walk = () =>
    new Map(
      filesBelow(path.join(server.dataDir, 'storage'))
        .map((file) => statSync(file, { throwIfNoEntry: false }))
        .filter((found) => found)
        .map(({ ino, blocks }) => [ino, blocks * BLOCK_BYTES]),
    )
  const [before, after] = [walk(), walk()]
  return [...before].reduce((sum, [ino, bytes]) => sum + Math.min(bytes, after.get(ino) ?? 0), 0)
}

/** Runs `store`, which saves one entry, and returns the names of the objects that belong to it. No other entry may be made meanwhile. */
export async function objectsOfEntry(server, store) {
  const objects = storedObjects(server)
  const old = new Set(await objects.list())
  await store()
  const fresh = (await objects.list()).filter((name) => !old.has(name))
  if (fresh.length === 0) throw new Error('the save left no new object in the storage')
  return fresh
}

/** The largest of the objects: that with the content, where others tell of it. */
export async function largest(server, names) {
  const objects = storedObjects(server)
  const sizes = await Promise.all(names.map((name) => objects.size(name)))
  return names[sizes.indexOf(Math.max(...sizes))]
}

// Damages: each takes the server and the names of one entry's objects.
export const wipe = (server, names) => storedObjects(server).remove(names)
export const wipeOne = async (server, names) => storedObjects(server).remove([await largest(server, names)])
export const cutToNothing = async (server, names) => storedObjects(server).cut(await largest(server, names), 0)
export async function flipBit(server, names) {
  const flip = (content) => { content[Math.floor(content.length / 2)] ^= 1 }
  await storedObjects(server).change(await largest(server, names), flip)
}
export async function cutInHalf(server, names) {
  const [objects, name] = [storedObjects(server), await largest(server, names)]
  await objects.cut(name, Math.floor((await objects.size(name)) / 2))
}
