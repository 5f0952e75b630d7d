/** Pipes, devices and sockets where a command expects a file: an error at once, and a signal ends every command. */

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import Database from 'better-sqlite3'
import { beforeEach, describe, expect, test } from 'vitest'
import { IS_ROOT } from '../conformance/served.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { dir, failure, names, path, record, run } from './ltx-command.ts'

const UID = 65_534
let file = ''

beforeEach(async () => {
  file = (await record()).files[0] ?? ''
  const database = new Database(path('app.db'))
  database.exec('CREATE TABLE t (v)')
  database.close()
})

/** Each with `input` in the place of one of its files. */
const commands = (input: string): string[][] => [
  ['list', input],
  ['dump', input],
  ['verify', input],
  ['verify', file, input],
  ['hexdump', input],
  ['checksum', input],
  ['encode-db', input, '-o', 'out.ltx'],
  ['compact', file, input, '-o', 'out.ltx'],
  ['apply', '-o', 'out.db', input],
  ['apply', '--db', 'new.db', input],
  ['apply', '--db', input, file],
]

async function expectErrors(input: string, kind: RegExp): Promise<void> {
  const before = await names()
  for (const command of commands(input)) {
    const { code, stdout, stderr } = await run(...command)
    expect({ command, code }, stdout + stderr).toEqual({ command, code: 1 })
    expect(stdout + stderr).toMatch(kind)
    expect(stdout + stderr).not.toMatch(/unexpected|proc\/self/)
  }
  expect(await names()).toEqual(before)
}

describe('in the place of a file of ltxd ltx', () => {
  test('a named pipe is an error at once', { timeout: 120_000 }, async () => {
    execFileSync('mkfifo', [path('pipe')])
    await expectErrors('pipe', /is a named pipe/)
  })

  test('a device is an error at once', { timeout: 120_000 }, async () => {
    symlinkSync('/dev/zero', path('device'))
    await expectErrors('device', /is a device/)
  })

  test('a socket is an error at once', { timeout: 120_000 }, async () => {
    const server = createServer().listen(path('socket'))
    await once(server, 'listening')
    await expectErrors('socket', /is a socket/)
    server.close()
  })

  test.each(['-journal', '-wal'])('a named pipe as %s of a database is an error at once', async (suffix) => {
    execFileSync('mkfifo', [path(`app.db${suffix}`)])
    for (const command of [
      ['checksum', 'app.db'],
      ['encode-db', 'app.db', '-o', 'out.ltx'],
      ['apply', '--force', '--db', 'app.db', file],
    ]) {
      expect(failure(await run(...command))).toMatch(new RegExp(`app\\.db${suffix}.* is a named pipe`))
    }
  })
})

test.each([
  ['verify', 'IN'],
  ['apply', '-o', 'out.db', 'IN'],
  ['apply', '--db', 'app.db', 'IN'],
])('SIGTERM ends `ltx %s %s %s %s`, which reads a pipe that nobody writes to', async (...args) => {
  const given = args.filter((arg) => typeof arg === 'string').map((arg) => (arg === 'IN' ? '/dev/fd/3' : arg))
  const child = spawn(
    'bash',
    ['-c', 'exec 3< <(exec sleep 60); echo $!; exec "$@"', 'bash', process.execPath, LTXD_CLI, 'ltx', ...given],
    {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = once(child, 'exit')
  const [writer] = (await once(child.stdout, 'data')) as [Buffer]
  // Until it has the pipe open a second time.
  const descriptors = () =>
    readdirSync(`/proc/${child.pid}/fd`).flatMap(
      (fd) => attempt(() => readlinkSync(`/proc/${child.pid}/fd/${fd}`)) ?? [],
    )
  const pipe = readlinkSync(`/proc/${child.pid}/fd/3`)
  await until('the pipe is read', HANG_MS, () => descriptors().filter((target) => target === pipe).length > 1)
  const before = performance.now()
  child.kill('SIGTERM')
  await ended
  expect(performance.now() - before).toBeLessThan(10_000)
  process.kill(Number(writer.toString()))
  expect((await names()).includes('out.db')).toBe(false)
})

function attempt<T>(step: () => T): T | undefined {
  try {
    return step()
  } catch {
    return undefined
  }
}

describe.runIf(IS_ROOT)('through a link of another user', () => {
  test('no database is changed, or read', async () => {
    const before = readFileSync(path('app.db'))
    mkdirSync(path('theirs'))
    symlinkSync(path('app.db'), path('theirs/x.db'))
    execFileSync('chown', ['-h', `${UID}:${UID}`, path('theirs/x.db'), path('theirs')])
    chmodSync(dir, 0o755)
    for (const command of [
      ['apply', '--force', '--db', 'theirs/x.db', file],
      ['encode-db', 'theirs/x.db', '-o', 'out.ltx'],
      ['checksum', 'theirs/x.db'],
    ]) {
      expect(failure(await run(...command))).toMatch(/symbolic link of the user with id 65534/)
    }
    expect(readFileSync(path('app.db')).equals(before)).toBe(true)
  })

  test('of root’s own, it is changed and read', async () => {
    symlinkSync('app.db', path('link.db'))
    expect(await run('apply', '--force', '--db', 'link.db', file)).toMatchObject({ code: 0 })
    expect(await run('checksum', 'link.db')).toMatchObject({ code: 0 })
    expect(statSync(path('app.db')).size).toBeGreaterThan(0)
  })
})
