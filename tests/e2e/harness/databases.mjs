// Databases for servers under test: one for each, in the database server that runs already, made with its own command.
import path from 'node:path'
import { succeed } from './processes.mjs'
import { told } from './services.mjs'

const nothing = async () => {}

const IN_SQLITE = 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1], 30); c.execute(sys.argv[2]); c.commit()'

/**
 * By driver: makes a database of this name; returns `{ environment, remove, execute }`: the settings of the server that is to use it, and
 * what runs a statement in it, for what no client can bring about (`execute(statement, dataDir)`).
 */
export const databases = {
  sqlite: async () => ({
    environment: {},
    remove: nothing,
    execute: (statement, dataDir) => succeed('python3', ['-c', IN_SQLITE, path.join(dataDir, 'larder.db'), statement]),
  }),
  postgres: async (name) => {
    const url = new URL(told('LARDER_TEST_POSTGRES_URL'))
    const run = (statement, { href } = url) => succeed('psql', ['--quiet', '--no-psqlrc', '--command', statement, href])
    await run(`CREATE DATABASE ${name}`)
    const own = new URL(url)
    own.pathname = `/${name}`
    const environment = { DB_DRIVER: 'postgres', DB_POSTGRES_URL: own.href }
    const execute = (statement) => run(statement, own)
    return { environment, remove: () => run(`DROP DATABASE ${name} WITH (FORCE)`), execute }
  },
  mysql: async (name) => {
    const { hostname, port, username, password } = new URL(told('LARDER_TEST_MYSQL_URL'))
    const access = ['--no-defaults', `--host=${hostname}`, `--port=${port}`, `--user=${username}`, `--password=${password}`]
    const run = (statement, ...more) => succeed('mariadb', [...access, '--execute', statement, ...more])
    await run(`CREATE DATABASE ${name}`)
    const environment = {
      DB_DRIVER: 'mysql',
      DB_MYSQL_HOST: hostname,
      DB_MYSQL_PORT: port,
      DB_MYSQL_USER: username,
      DB_MYSQL_PASSWORD: password,
      DB_MYSQL_DATABASE: name,
    }
    const execute = (statement) => run(statement, name)
    return { environment, remove: () => run(`DROP DATABASE ${name}`), execute }
  },
}
