// Workspaces of jobs: temporary directories with a payload of random, incompressible content.
import { createHash, randomFillSync } from 'node:crypto'
import { closeSync, createReadStream, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { PAYLOAD } from './toolkit.mjs'

export const MIB = 1024 * 1024
const PIECE_BYTES = 4 * MIB

/** Calls `body` with a fresh workspace and removes that after. */
export async function inWorkspace(body) {
  const workspace = mkdtempSync(path.join(tmpdir(), 'larder-e2e-job-'))
  try {
    return await body(workspace)
  } finally {
    rmSync(workspace, { recursive: true, force: true })
  }
}

const contentFile = (workspace) => path.join(workspace, PAYLOAD, 'content')

/** Fills the workspace's payload with `size` random bytes; returns their SHA-256. */
export function writePayload(workspace, size) {
  mkdirSync(path.join(workspace, PAYLOAD), { recursive: true })
  const file = openSync(contentFile(workspace), 'w')
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(Math.min(size, PIECE_BYTES))
  for (let left = size; left > 0; left -= piece.length) {
    const part = randomFillSync(piece).subarray(0, left)
    hash.update(part)
    writeSync(file, part)
  }
  closeSync(file)
  return hash.digest('hex')
}

/** The SHA-256 of the workspace's payload, or null where there is none. */
export async function payloadDigest(workspace) {
  if (!existsSync(contentFile(workspace))) return null
  const hash = createHash('sha256')
  await pipeline(createReadStream(contentFile(workspace), { highWaterMark: MIB }), hash)
  return hash.digest('hex')
}
