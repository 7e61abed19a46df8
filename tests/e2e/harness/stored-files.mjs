// The files that the filesystem storage keeps for entries, for the cases that take them away or cut them short.
import { existsSync, readdirSync, statSync, truncateSync, unlinkSync } from 'node:fs'
import path from 'node:path'

const objectsDir = (server) => path.join(server.dataDir, 'storage', 'objects')

/** All regular files below a directory. */
export function filesBelow(directory) {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true })
    .map((name) => path.join(directory, name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
}

const BLOCK_BYTES = 512

/** The disk space of all files below the storage's directory, staged ones too. Holes in files take none. */
export const occupiedBytes = (server) =>
  filesBelow(path.join(server.dataDir, 'storage'))
    .map((file) => (statSync(file, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES)
    .reduce((sum, size) => sum + size, 0)

/** Runs `store`, which saves one entry, and returns the files that belong to it. No other entry may be made meanwhile. */
export async function filesOfEntry(server, store) {
  const old = new Set(filesBelow(objectsDir(server)))
  await store()
  const files = filesBelow(objectsDir(server)).filter((file) => !old.has(file))
  if (files.length === 0) throw new Error(`the save left no new file in ${objectsDir(server)}`)
  return files
}

export const wipe = (files) => files.forEach((file) => unlinkSync(file))
export const wipeOne = (files) => unlinkSync(files[Math.floor(files.length / 2)])
export const cutInHalf = (files) => truncateSync(files.at(-1), Math.floor(statSync(files.at(-1)).size / 2))
export const cutToNothing = (files) => truncateSync(files.at(-1), 0)
