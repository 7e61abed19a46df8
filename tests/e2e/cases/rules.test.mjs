// The README's section on rules, word for word: its commands, in its order, beside the running server, and what a real client sees of them.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { binary, cannotLimit } from '../harness/server.mjs'
import { newJob, newRepository, scenario, useServer } from '../harness/suite.mjs'
import { restore, save } from '../harness/toolkit.mjs'
import { READ, READ_WRITE } from '../harness/tokens.mjs'
import { eventually } from '../harness/waiting.mjs'
import { inWorkspace, payloadDigest, writePayload } from '../harness/workspace.mjs'

const server = useServer({ environment: { LARDER_TRACE_DIR: 'trace' } })
const run = promisify(execFile)
const MAIN = 'refs/heads/main'

/** The commands of a section of the README: the lines of its indented blocks. */
function commandsOf(section) {
  const text = readFileSync(fileURLToPath(new URL('../../../README.md', import.meta.url)), 'utf8')
  const [, after] = text.split(`\n## ${section}\n`)
  assert.ok(after, `the README has a section ${section}`)
  return after.split('\n## ')[0].split('\n').filter((line) => line.startsWith('    larder ')).map((line) => line.trim())
}

scenario(
  'rules are written, checked, tested, used and rolled back as the README says, and a job sees it',
  server,
  async (larder) => {
    const tools = path.join(larder.home, 'bin')
    mkdirSync(tools)
    symlinkSync(binary(), path.join(tools, 'larder'))
    // As the server's user, with its environment, in its directory.
    const env = { PATH: `${tools}:${process.env.PATH}`, HOME: larder.home }
    const shell = (command) => run('sh', ['-c', command], { cwd: larder.home, env })
    const commands = commandsOf('Rules')
    const using = commands.findIndex((command) => command.startsWith('larder rules use '))
    const back = commands.findIndex((command) => command.startsWith('larder rules rollback'))
    const replaying = commands.findIndex((command) => command.startsWith('larder rules replay '))
    const shadowing = commands.findIndex((command) => command.startsWith('larder rules shadow rules.js'))
    const showing = commands.findIndex((command) => command.startsWith('larder rules status'))
    assert.ok(replaying > 0 && shadowing > replaying && showing > shadowing && using > showing && back > using, commands.join('\n'))

    const repository = newRepository()
    const main = newJob(larder, { repository })
    const pullRequest = newJob(larder, { repository, scopes: [['refs/pull/1/merge', READ_WRITE], [MAIN, READ]] })
    await inWorkspace(async (workspace) => {
      const digest = writePayload(workspace, 1000)
      assert.ok((await save(pullRequest, workspace, 'before')).result > 0)

      for (const command of commands.slice(0, replaying)) await shell(command)
      const { stdout: replayed } = await shell(commands[replaying])
      // By what is built in, by the rules, and by two presets.
      assert.match(replayed, /^saves +1 +0 +1 +1$/m, replayed)
      assert.match(replayed, /^saves refused +0 +1 +0 +0$/m, replayed)
      for (const command of commands.slice(replaying + 1, shadowing + 1)) await shell(command)
      assert.ok((await save(pullRequest, workspace, 'beside-the-shadow')).result > 0, 'the shadow changes nothing')
      const shadow = async () => JSON.parse((await shell('larder rules status --json')).stdout).shadow
      await eventually(60_000, 'the shadow differs', async () => (await shadow())?.differ > 0)
      const { stdout: status } = await shell(commands[showing])
      assert.match(status, /^in the shadow {2}[0-9a-f]{12} {2}rules\.js /m)
      assert.match(status, /^access +default +scopes +\d+$/m)
      assert.match(status, / access: default -> scopes /)

      for (const command of commands.slice(showing + 1, using + 1)) await shell(command)
      const denied = await save(pullRequest, workspace, 'with-rules')
      assert.equal(denied.result, -1, denied.output)
      assert.deepEqual(denied.errors, [], 'the job goes on')
      assert.ok((await save(main, workspace, 'of-main')).result > 0)
      await inWorkspace(async (other) => {
        assert.equal((await restore(pullRequest, other, 'of-main')).result, 'of-main')
        assert.equal(await payloadDigest(other), digest)
      })

      for (const command of commands.slice(using + 1, back)) await shell(command)
      const { stdout } = await shell(commands[back])
      assert.match(stdout, /^in force: /)
      assert.ok((await save(pullRequest, workspace, 'after')).result > 0)
    })
  },
  // Several processes are started, and QuickJS is compiled twice.
  { skip: cannotLimit, limitMs: 300_000 },
)
