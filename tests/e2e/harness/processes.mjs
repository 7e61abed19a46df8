// Programs that a case runs or keeps running: always with a limit, and none outlives the suite.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import net from 'node:net'
import { eventually, within } from './waiting.mjs'

const STOP_LIMIT_MS = 20_000

/** What a program needs of this process's environment; everything else is left out. */
export const plainEnvironment = () => {
  const { PATH, HOME, TMPDIR } = process.env
  return { PATH, HOME, ...(TMPDIR ? { TMPDIR } : {}) }
}

/**
 * Runs a program to its end. Returns `{ status, output, elapsedMs }`, standard output and error in one, in the order of arrival.
 * Past the limit it is killed, and that is an error.
 */
export async function run(program, parameters, { limitMs = 60_000, ...options } = {}) {
  const start = performance.now()
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  const stopWithUs = endWithThisProcess(child)
  const pieces = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => pieces.push(piece))
  const output = () => Buffer.concat(pieces).toString()
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
  try {
    const status = await within(limitMs, `${program} ${parameters.join(' ')}`, ended)
    return { status, output: output(), elapsedMs: performance.now() - start }
  } catch (error) {
    child.kill('SIGKILL')
    error.message += `\n${output()}`
    throw error
  } finally {
    stopWithUs()
  }
}

/** Runs a program that has to succeed; returns what it printed. */
export async function succeed(program, parameters, options) {
  const { status, output } = await run(program, parameters, options)
  if (status !== 0) throw new Error(`${program} ${parameters.join(' ')} ended with ${status}\n${output}`)
  return output
}

/** Starts a program that keeps running, its output in `logFile`; returns `{ child, ended, stop }`. */
export function keepRunning(program, parameters, logFile, options = {}) {
  const log = openSync(logFile, 'a')
  const child = spawn(program, parameters, { ...options, stdio: ['ignore', log, log] })
  closeSync(log)
  const stopWithUs = endWithThisProcess(child)
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve({ error }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  }).finally(stopWithUs)
  const stop = async () => {
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
    const status = await ended
    clearTimeout(killer)
    return status
  }
  return { child, ended, stop }
}

/** Kills a child where this process ends first; returns how that is called off. */
export function endWithThisProcess(child) {
  const orphaned = () => child.kill('SIGKILL')
  process.once('exit', orphaned)
  return () => process.off('exit', orphaned)
}

/** A port of the loopback that nobody listens on at this moment. */
export async function freePort() {
  const server = net.createServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Lets a server listen on a free port of the loopback; returns the port. */
export async function listen(server) {
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return server.address().port
}

/** Waits until `program` has ended, or what it serves is there. */
export async function untilReady(limitMs, what, { ended }, probe) {
  let gone = null
  ended.then((status) => (gone = status))
  return eventually(limitMs, what, () => {
    if (gone) throw new Error(`${what}: ended first with ${JSON.stringify(gone)}`)
    return probe()
  })
}
