// What each file of cases stands on: one server for the file, scenarios with a time limit that show the server's log
// when they fail, and jobs (repository, token) that share nothing with one another.
import { randomInt, randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { mintToken, READ_WRITE } from './tokens.mjs'
import { logTail, startServer } from './server.mjs'

const SCENARIO_LIMIT_MS = 90_000
const MAIN = 'refs/heads/main'

/** Declares the file's server; returns a function that gives it to the scenarios. */
export function useServer(options) {
  let server
  before(async () => {
    server = await startServer(options)
  })
  after(async () => {
    const status = await server?.stop()
    if (status && status.code !== 0) throw new Error(`the server ended with ${JSON.stringify(status)}`)
  })
  return () => server
}

/** Declares a scenario. `server` is what `useServer` returned; `skip` is a reason, or false; `limitMs` is for what is done many times. */
export function scenario(name, server, body, { skip = false, limitMs = SCENARIO_LIMIT_MS } = {}) {
  test(name, { timeout: limitMs, skip }, async (t) => {
    const logged = server().log().length
    try {
      await body(server(), t)
    } catch (error) {
      const since = server().hasLog ? server().log().slice(logged) : ''
      console.error(`--- log of the server during "${name}"\n${since || logTail(server())}\n---`)
      throw error
    }
  })
}

/** A repository that nobody else uses. */
export const newRepository = () => String(randomInt(1, 2 ** 47))

/** A key that nobody else uses. */
export const newKey = (name) => `${name}-${randomUUID()}`

/** A job of CI: the server's address and a token of the repository, by default for a push to the main branch. */
export function newJob(server, { repository = newRepository(), scopes = [[MAIN, READ_WRITE]], ...rest } = {}) {
  return { url: server.url, repository, token: mintToken({ secret: server.secret, repository, scopes, ...rest }) }
}
