// The same rules in the four ways to write them: as `larder rules new` writes them, built with the commands that it prints, by the
// toolchains themselves. All give the same answers to the same cases.
import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, succeed } from '../harness/processes.mjs'
import { binary, cannotLimit } from '../harness/server.mjs'
import { newJob, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { save } from '../harness/toolkit.mjs'
import { client } from '../harness/tools.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, writePayload } from '../harness/workspace.mjs'

const server = useServer()
const python = client('componentize-py')
const root = (file) => fileURLToPath(new URL(`../../../${file}`, import.meta.url))

/** How the files of a language become rules: the commands that are printed, but for what installs; and the file that comes of it. */
const WAYS = {
  js: { build: async () => {}, file: 'rules.js' },
  npm: {
    build: async (cwd) => {
      await succeed('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd, limitMs: 180_000 })
      await succeed('npm', ['run', 'build'], { cwd, limitMs: 120_000 })
    },
    file: 'rules.wasm',
  },
  py: {
    build: (cwd) =>
      succeed(
        path.join(python.dir, 'componentize-py'),
        ['-d', 'wit', '-w', 'rules', 'componentize', '--stub-wasi', 'app', '-o', 'rules.wasm'],
        { cwd, limitMs: 180_000 },
      ),
    file: 'rules.wasm',
  },
  rust: {
    build: (cwd) => {
      // Of the crates those versions that the server is built with.
      copyFileSync(root('Cargo.lock'), path.join(cwd, 'Cargo.lock'))
      return succeed(root('tests/scripts/cargo-wasm.sh'), [], { cwd, limitMs: 400_000 })
    },
    file: 'target/wasm32-unknown-unknown/release/rules.wasm',
  },
}
/** Those that are also put in force. Nothing else is new to a server: a component, and a core module. */
const USED = ['npm', 'rust']

scenario(
  'rules of each language are built as they are written, pass their check, and answer the same',
  server,
  async (larder) => {
    const options = { cwd: larder.home, env: { PATH: process.env.PATH, HOME: larder.home }, limitMs: 180_000 }
    const command = (...parameters) => succeed(binary(), ['rules', ...parameters], options)
    const repository = newRepository()
    const main = newJob(larder, { repository })
    const pullRequest = newJob(larder, { repository, scopes: [['refs/pull/1/merge', READ_WRITE], ['refs/heads/main', READ]] })
    const answers = {}
    for (const [language, { build, file }] of Object.entries(WAYS)) {
      const said = await command('new', language, '--lang', language)
      assert.match(said, new RegExp(`^larder rules check ${file}$`, 'm'), said)
      const folder = path.join(larder.home, language)
      await build(folder)
      const rules = path.join(language, file)
      assert.match(await command('check', rules), /^exports access\n/)
      const cases = path.join(language, 'cases.toml')
      const results = JSON.parse(await command('test', '--json', rules, cases))
      assert.ok(results.length >= 3 && results.every(({ fault }) => !fault), JSON.stringify(results))
      // Where every case fails it says what came.
      const { status, output } = await run(binary(), ['rules', 'test', '--json', rules, impossible(folder)], options)
      assert.equal(status, 1, output)
      answers[language] = JSON.parse(output.slice(0, output.lastIndexOf(']') + 1)).map(({ name, fault }) => [name, fault.got])
      assert.deepEqual(answers[language], answers.js, language)

      if (!USED.includes(language)) continue
      await inWorkspace(async (workspace) => {
        writePayload(workspace, 1000)
        // A running server follows in its own time.
        let saves = 0
        const saved = async (job) => (await save(job, workspace, `${language}-${(saves += 1)}`)).result > 0
        await command('use', rules, '--cases', cases)
        await eventually(20_000, `${language}: a pull request is denied`, async () => !(await saved(pullRequest)))
        assert.ok(await saved(main))
        await command('use', '--configured')
        await eventually(20_000, `${language}: a pull request saves again`, () => saved(pullRequest))
      })
    }
  },
  // Toolchains are installed and run; a standard library may be built.
  { skip: cannotLimit || python.skip, limitMs: 900_000 },
)

/** Writes cases in which no answer is the expected one. */
function impossible(folder) {
  const cases = readFileSync(path.join(folder, 'cases.toml'), 'utf8')
  const file = path.join(folder, 'impossible.toml')
  writeFileSync(file, cases.replaceAll(/^expect = .*$/gm, 'expect = "deny"'))
  return file
}
