// The clients that are programs of their own. Each is installed by its script in tests/scripts/clients when a file of cases asks for it.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * Installs a client; returns `{ dir, skip }`: the folder it is in, or why its cases are left out. Under CI nothing is left out: there a
 * client that cannot be had is an error.
 */
export function client(name) {
  const script = fileURLToPath(new URL(`../../scripts/clients/${name}.sh`, import.meta.url))
  const { status, stdout, stderr } = spawnSync(script, { encoding: 'utf8' })
  if (status === 0) return { dir: stdout.trim(), skip: false }
  return { dir: null, skip: missing(`${name} cannot be had here:\n${stderr}`) }
}

/** Turns a missing need into the reason for skipping, or into a failure where nothing may be skipped. */
export function missing(reason) {
  if (process.env.CI) throw new Error(`under CI every client has to be there: ${reason}`)
  return reason
}
