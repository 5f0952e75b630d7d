import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { COMMANDS } from '../../src/cli/commands.ts'
import { ltxd } from './run.ts'

let cwd: string

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'ltxd-cli-'))
})

afterEach(() => rm(cwd, { recursive: true }))

/** Loading libraries is what makes a start slow: most take longer than this answer. */
test('version loads no library but the one that reads the command line', async () => {
  const coverage = join(cwd, 'coverage')
  const { stdout, code } = await ltxd(['version'], { cwd, env: { NODE_V8_COVERAGE: coverage } })
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ltxd \d+\.\d+\.\d+ /)

  const [report = 'none'] = await readdir(coverage)
  const { result } = JSON.parse(await readFile(join(coverage, report), 'utf8')) as { result: { url: string }[] }
  const loaded = result.map(({ url }) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1])
  expect(new Set(loaded.filter((name) => name !== undefined))).toEqual(new Set(['commander']))
})

test('version as JSON has version, Node.js and platform', async () => {
  const { stdout } = await ltxd(['version', '--json'], { cwd })
  expect(JSON.parse(stdout)).toMatchObject({ node: process.version, platform: 'linux', arch: process.arch })
})

test('the help lists every command, and each command has its own help', async () => {
  const { stdout, code } = await ltxd(['--help'], { cwd })
  expect(code).toBe(0)
  for (const { name, summary } of COMMANDS) {
    expect(stdout).toMatch(new RegExp(`^  ${name} +${summary.slice(0, 12)}`, 'm'))
    const own = await ltxd([name, '--help'], { cwd })
    expect(own, name).toMatchObject({ code: 0, stderr: '' })
    expect(own.stdout).toContain('--config <file>')
  }
})

test.each([
  [[], 'Usage: ltxd'],
  [['nonsense'], "ltxd: unknown command 'nonsense'"],
  [['version', '--nonsense'], "ltxd: unknown option '--nonsense'"],
  [['mount'], 'ltxd: no mount point: name a directory'],
  [['mount', './m', '--'], 'ltxd: "--" must be followed by a command to run'],
  [['mount', './m', '--http', '0.0.0.0:80'], 'ltxd: --http: http.addr: "0.0.0.0:80" would let other machines in'],
  [['mount', './m', '--backup', 'gs://bucket'], 'ltxd: --backup: backup.url: scheme "gs:" is not known'],
  [['mount', './m', '--data', './m/data'], 'ltxd: --data: data.dir: the data directory'],
  [['config', '--config', 'nope.yml'], 'ltxd: nope.yml: there is no such file'],
])('wrong usage, %j, is exit code 2 and says what is wrong', async (args, message) => {
  const { code, stderr, stdout } = await ltxd(args, { cwd })
  expect(stderr).toContain(message)
  expect(stderr).not.toMatch(/^ {4}at /m)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})

test('init writes a configuration that config accepts, and never overwrites a file', async () => {
  expect((await ltxd(['init'], { cwd })).code).toBe(0)
  const effective = await ltxd(['config'], { cwd })
  expect(effective).toMatchObject({ code: 0, stderr: '' })
  expect(effective.stdout).toMatch(/^# from ltxd\.yml\n/)
  expect(parse(effective.stdout)).toMatchObject({ fuse: { dir: join(cwd, 'mnt') }, log: { level: 'info' } })

  await writeFile(join(cwd, 'ltxd.yml'), 'mine: true\n')
  const again = await ltxd(['init'], { cwd })
  expect(again.code).toBe(1)
  expect(again.stderr).toContain('ltxd.yml already exists')
  expect(await readFile(join(cwd, 'ltxd.yml'), 'utf8')).toBe('mine: true\n')
})

test('an invalid ltxd.yml is exit code 2, and the message has line and key', async () => {
  await writeFile(join(cwd, 'ltxd.yml'), 'fuse:\n  dir: ./m\n\ndata:\n  dri: ./d\n')
  const { code, stderr } = await ltxd(['mount'], { cwd })
  expect(stderr).toContain('ltxd: ltxd.yml:5: data.dri: unknown key; known here: dir, mode, retention, segment-size')
  expect(code).toBe(2)
})

test('status without a running node is exit code 1, and the message says so', async () => {
  const data = await ltxd(['status', '--data', './data'], { cwd })
  expect(data).toMatchObject({ code: 1, stdout: '' })
  expect(data.stderr).toContain(`no node is running on the data directory ${join(cwd, 'data')}`)
  const address = await ltxd(['status', '--http', '127.0.0.1:1'], { cwd })
  expect(address).toMatchObject({ code: 1, stdout: '' })
  expect(address.stderr).toContain('no node answers at http://127.0.0.1:1')
})
