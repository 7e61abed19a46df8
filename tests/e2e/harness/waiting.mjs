// Waiting for what another process does, always with a limit.
const STEP_MS = 15

/** Returns the first truthy value of `probe`, asked again and again; fails after `limitMs`. */
export async function eventually(limitMs, what, probe) {
  const deadline = performance.now() + limitMs
  for (;;) {
    const value = await probe()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, STEP_MS))
  }
}

/** Settles as `promise` does, or fails after `limitMs`. */
export function within(limitMs, what, promise) {
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}
