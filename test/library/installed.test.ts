/**
 * The package as a new user meets it: packed from a clone without a build, installed by npm in an empty directory
 * without a compiler, and used, on every supported line of Node.js. `npm run smoke` runs only this file.
 */

import { execFile, spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool, NODE_LINES } from '../../infra/test-tools.ts'
import { type Outcome, program } from '../cli/run.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { User } from '../harness/as-user.ts'
import { runLimited } from '../harness/limited.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach, isMounted } from '../harness/mounts.ts'
import { until, within } from '../harness/wait.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const LIMIT_MS = 240_000
/** `npm run` passes its own settings on, such as its log level. */
const OUTSIDE = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))

let dir: string
let tarball: string

beforeAll(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-installed-')))
  await chmod(dir, 0o755)
  const clone = join(dir, 'clone')
  // A clone has only the files that git tracks.
  const left = new Set(['.git', 'coverage', 'dist', 'node_modules'])
  await cp(ROOT, clone, { recursive: true, filter: (path) => path === ROOT || !left.has(basename(path)) })
  await mkdir(join(clone, 'node_modules'))
  // The build writes into node_modules, so that directory belongs to the clone, and the packages in it are links.
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (name !== '.bin' && name !== '.cache') {
      await symlink(join(ROOT, 'node_modules', name), join(clone, 'node_modules', name))
    }
  }
  await runLimited(LIMIT_MS, 'npm', ['pack', '--silent', '--pack-destination', dir], { cwd: clone, env: OUTSIDE })
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  tarball = join(dir, `ltxd-${version}.tgz`)
}, LIMIT_MS)

afterAll(() => rm(dir, { recursive: true, force: true }))

describe.each(NODE_LINES)('on Node.js %s', (line) => {
  const node = findTool(`node-${line}`)
  describe.skipIf(node === undefined)('installed', () => installed(line, node ?? ''))
})

function installed(line: string, node: string): void {
  let app: string
  let backup: string
  /** A PATH with this Node.js and the programs of any system. */
  let env: NodeJS.ProcessEnv

  beforeAll(async () => {
    app = join(dir, `node-${line}`)
    backup = `file://${app}/backup`
    const bin = await toolchain(app, node)
    const options = ['--engine-strict', '--prefer-offline', '--no-audit', '--no-fund']
    printed = await all('npm', ['install', ...options, tarball], { cwd: app, env: { ...OUTSIDE, PATH: bin } })
    env = { ...OUTSIDE, PATH: `${bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin` }
  }, LIMIT_MS)
  let printed: string

  const ltxd = (...args: string[]): Promise<Outcome> =>
    program(join(app, 'node_modules/.bin/ltxd'), args, { cwd: app, env: { ...env, HOME: app } })

  test('npm installs it without a warning or a build', () => {
    expect(printed).not.toMatch(/EBADENGINE|gyp ERR|npm error/)
    expect(existsSync(join(app, 'node_modules/better-sqlite3'))).toBe(false)
  })

  test('ltxd version shows its Node.js', async () => {
    expect((await ltxd('version')).stdout).toMatch(new RegExp(`\\(node v${line}\\.`))
  })

  test('commits on the mount are in the backup after a clean stop, and can be restored', async () => {
    const mount = join(app, 'mnt')
    const served = LtxdNode.start({
      ...{ node, cli: join(app, 'node_modules/.bin/ltxd'), mount, backup },
      ...{ data: join(app, 'data'), logFile: join(app, 'log') },
    })
    try {
      await served.mounted()
      const sql = 'PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)'
      await runLimited(LIMIT_MS, 'sqlite3', [join(mount, 'app.db'), sql], { cwd: app, env })
      expect(await served.stop()).toEqual({ code: 0, signal: null })
    } finally {
      await served.destroy()
    }
    expect(isMounted(mount)).toBe(false)
    expect(await ltxd('restore', backup, 'app.db', '-o', 'restored.db')).toMatchObject({ code: 0, stderr: '' })
    const rows = await runLimited(LIMIT_MS, 'sqlite3', ['restored.db', 'SELECT sum(x) FROM t'], { cwd: app, env })
    expect(rows).toBe('6\n')
  })

  const hasSqlite = Number(line) >= 22
  if (hasSqlite) test('restore --check uses the SQLite of Node.js without a warning', checksInSilence)
  else test('restore --check says that no SQLite is installed, until one is', checksWithPeer)

  async function checksInSilence(): Promise<void> {
    const outcome = await ltxd('restore', backup, 'app.db', '-o', 'checked.db', '--check')
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    expect(outcome.stdout).toMatch(/integrity_check ok$/m)
  }

  async function checksWithPeer(): Promise<void> {
    const check = (output: string) => ltxd('restore', backup, 'app.db', '-o', output, '--check')
    const unchecked = await check('unchecked.db')
    expect(unchecked.code).toBe(1)
    expect(unchecked.stderr).toMatch(/unchecked\.db was restored and could not be checked: .*has no node:sqlite/)
    expect(existsSync(join(app, 'unchecked.db'))).toBe(true)
    const peer = join(app, 'node_modules/better-sqlite3')
    await mkdir(peer)
    await writeFile(join(peer, 'index.js'), 'throw new Error("compiled against a different Node.js version")')
    const broken = await check('broken.db')
    expect(broken.code).toBe(1)
    expect(broken.stderr).toMatch(/could not be checked: .*compiled against a different Node\.js version/)
    expect(existsSync(join(app, 'broken.db'))).toBe(true)
    await rm(peer, { recursive: true })
    // This project's better-sqlite3 was built for the Node.js that runs the tests.
    if (process.versions.node.split('.')[0] !== line) return
    await symlink(join(ROOT, 'node_modules/better-sqlite3'), peer)
    expect((await check('checked.db')).stdout).toMatch(/integrity_check ok$/m)
    await rm(peer)
  }

  test('the libraries can be imported and required', async () => {
    const names = ['ltxd', 'ltxd/ltx', 'ltxd/workers']
    const imports = names.map((name) => `Object.keys(await import('${name}')).length > 2`)
    await writeFile(join(app, 'import.mjs'), `console.log(${imports.join(', ')})`)
    const requires = names.map((name) => `Object.keys(require('${name}')).length > 2`)
    await writeFile(join(app, 'require.cjs'), `console.log(${requires.join(', ')})`)
    for (const file of ['import.mjs', 'require.cjs']) {
      expect(await runLimited(LIMIT_MS, node, [file], { cwd: app, env })).toBe('true true true\n')
    }
  })

  test('a program starts a node', async () => {
    const mount = join(app, 'library')
    await writeFile(
      join(app, 'program.mjs'),
      `import { startNode } from 'ltxd'
      const node = await startNode({ mount: ${JSON.stringify(mount)}, data: 'library-data' })
      console.log((await node.status()).role)
      await node.stop()`,
    )
    try {
      expect(await runLimited(LIMIT_MS, node, ['program.mjs'], { cwd: app, env })).toBe('primary\n')
      expect(isMounted(mount)).toBe(false)
    } finally {
      await detach(mount)
    }
  })

  test('a node that npx started stops when npx receives a signal', async () => {
    const mount = join(app, 'npx')
    const args = ['--no-install', 'ltxd', 'mount', mount, '--data', 'npx-data', '--http', '127.0.0.1:0']
    const npx = spawn('npx', args, { cwd: app, env, stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    npx.stderr.setEncoding('utf8').on('data', (text: string) => (log += text))
    const closed = new Promise((resolve) => npx.once('close', resolve))
    try {
      await until('a node', LIMIT_MS, () => {
        if (npx.exitCode !== null) throw new Error(log)
        return log.includes('serving')
      })
      npx.kill('SIGTERM')
      // The node holds its standard error until it ends.
      await within('end of the node', LIMIT_MS, closed)
      expect(log).not.toMatch(/at once/)
      expect(isMounted(mount)).toBe(false)
    } finally {
      await detach(mount)
    }
  })

  describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined)('as a user other than root', () => {
    test('all of this works through fusermount3', async () => {
      const user = new User()
      try {
        const cwd = user.directory('work')
        const own = user.seen(realpathSync(node))
        const cli = join(app, 'node_modules/ltxd/dist/cli.js')
        const sql = 'CREATE TABLE t(x); INSERT INTO t VALUES (42)'
        const script = `cd '${cwd}'
          '${own}' '${cli}' mount mnt --data data --backup 'file://${cwd}/backup' --http 127.0.0.1:0 --log-level warn -- sqlite3 mnt/app.db '${sql}'
          '${own}' '${cli}' restore 'file://${cwd}/backup' app.db -o restored.db >/dev/null
          sqlite3 restored.db 'SELECT x FROM t'; id -u; findmnt -n mnt || true`
        const [file, args] = user.command(['sh', '-euc', script])
        const minimal = { ...OUTSIDE, PATH: '/usr/bin:/bin:/usr/sbin:/sbin' }
        expect(await runLimited(LIMIT_MS, file, args, { cwd: app, env: minimal })).toBe(`42\n${user.uid}\n`)
      } finally {
        user.remove()
      }
    })
  })
}

/** Makes an empty project, and a directory with this Node.js, npm and a shell, but no compiler. */
async function toolchain(app: string, node: string): Promise<string> {
  const bin = join(app, '.toolchain')
  await mkdir(bin, { recursive: true })
  await writeFile(join(app, 'package.json'), '{ "private": true }')
  await symlink(realpathSync(node), join(bin, 'node'))
  for (const tool of ['npm', 'npx', 'sh'] as const) {
    const found = (process.env.PATH ?? '')
      .split(':')
      .map((place) => join(place, tool))
      .find(existsSync)
    await symlink(realpathSync(found ?? ''), join(bin, tool))
  }
  return bin
}

/** Runs a program and returns its stdout and stderr. Rejects if it fails. */
async function all(file: string, args: string[], options: { cwd: string; env: NodeJS.ProcessEnv }): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(file, args, { ...options, timeout: LIMIT_MS })
  return stdout + stderr
}
