// Databases for servers under test: one for each, in the database server that runs already, made with its own command.
import { succeed } from './processes.mjs'
import { told } from './services.mjs'

const nothing = async () => {}

/** By driver: makes a database of this name; returns `{ environment, remove }`, the settings of the server that is to use it. */
export const databases = {
  sqlite: async () => ({ environment: {}, remove: nothing }),
  postgres: async (name) => {
    const url = new URL(told('LARDER_TEST_POSTGRES_URL'))
    const run = (statement) => succeed('psql', ['--quiet', '--no-psqlrc', '--command', statement, url.href])
    await run(`CREATE DATABASE ${name}`)
    const own = new URL(url)
    own.pathname = `/${name}`
    const environment = { DB_DRIVER: 'postgres', DB_POSTGRES_URL: own.href }
    return { environment, remove: () => run(`DROP DATABASE ${name} WITH (FORCE)`) }
  },
  mysql: async (name) => {
    const { hostname, port, username, password } = new URL(told('LARDER_TEST_MYSQL_URL'))
    const access = ['--no-defaults', `--host=${hostname}`, `--port=${port}`, `--user=${username}`, `--password=${password}`]
    const run = (statement) => succeed('mariadb', [...access, '--execute', statement])
    await run(`CREATE DATABASE ${name}`)
    const environment = {
      DB_DRIVER: 'mysql',
      DB_MYSQL_HOST: hostname,
      DB_MYSQL_PORT: port,
      DB_MYSQL_USER: username,
      DB_MYSQL_PASSWORD: password,
      DB_MYSQL_DATABASE: name,
    }
    return { environment, remove: () => run(`DROP DATABASE ${name}`) }
  },
}
