/** `ltxd restore` and `ltxd backup` as commands: output, exit codes, and the files left behind. */

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatMetadata } from '../../src/backup/history/metadata.ts'
import { encodeDatabaseName } from '../../src/log/database-name.ts'
import { encode } from '../../src/ltx/file.ts'
import { foldChecksum, pageChecksum } from '../../src/ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../../src/ltx/format/types.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { ltxd } from './run.ts'

const PAGE_SIZE = 4096
const FIRST_MS = Date.UTC(2026, 0, 31, 12)

let cwd: string
let url: string

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'ltxd-cli-'))
  url = `file://${join(cwd, 'backup')}`
})

afterEach(() => rm(cwd, { recursive: true }))

/** Puts states of a database into a backup as transactions 1, 2, …, an hour apart, and returns their bytes. */
async function backUp(name: string, contents: readonly string[]): Promise<Buffer[]> {
  const store = new DirectoryStore(join(cwd, 'backup'))
  const images: Buffer[] = []
  for (const [i, content] of contents.entries()) {
    const path = join(cwd, `source-${i}.db`)
    const database = new Database(path)
    database.exec('CREATE TABLE t (content TEXT)')
    database.prepare('INSERT INTO t VALUES (?)').run(content)
    database.close()
    const image = await readFile(path)
    images.push(image)
    await putState(store, encodeDatabaseName(name), i + 1, image)
  }
  return images
}

async function putState(store: DirectoryStore, name: string, number: number, image: Buffer): Promise<void> {
  const txid = toTXID(number)
  const commit = image.length / PAGE_SIZE
  const pages = Array.from(
    { length: commit },
    (_, i) => [i + 1, image.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE)] as const,
  )
  let postApplyChecksum: Checksum = EMPTY_CHECKSUM
  for (const [pgno, page] of pages) postApplyChecksum = foldChecksum(postApplyChecksum, pageChecksum(pgno, page))
  const timestampMs = FIRST_MS + (number - 1) * 3_600_000
  const wal = { walOffset: 0, walSize: 0, walSalt1: 0, walSalt2: 0, nodeId: 0n }
  const header = {
    flags: 2,
    pageSize: PAGE_SIZE,
    commit,
    minTXID: txid,
    maxTXID: txid,
    timestampMs,
    preApplyChecksum: 0n,
    ...wal,
  } as const
  const hex = number.toString(16).padStart(16, '0')
  await store.put(`${name}/ltx/0/${hex}-${hex}.ltx`, encode(header, pages, 0n), {
    timestampMs,
    metadata: formatMetadata(txid, txid, { timestampMs, postApplyChecksum, pageSize: PAGE_SIZE, commit }),
  })
}

/**
 * A module that leaves Node.js without a working SQLite: none is built in, and better-sqlite3 was built for another
 * version.
 */
async function withoutSqlite(): Promise<string> {
  const throwing = `throw Object.assign(new Error('was compiled against a different Node.js version'), { code: 'ERR_DLOPEN_FAILED' })`
  const hooks = `export const resolve = (name, context, next) => name === 'better-sqlite3'
    ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(throwing)}`)}, shortCircuit: true }
    : next(name, context)`
  const path = join(cwd, 'without-sqlite.mjs')
  await writeFile(
    path,
    `import { register } from 'node:module'
    const { getBuiltinModule } = process
    process.getBuiltinModule = (name) => name === 'node:sqlite' ? undefined : getBuiltinModule(name)
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)})`,
  )
  return path
}

test('what is no file in the place of one object’s metadata hides no other database', async () => {
  const [image] = await backUp('app.db', ['one'])
  await putState(new DirectoryStore(join(cwd, 'backup')), 'other.db', 1, image!)
  const key = 'other.db/ltx/0/0000000000000001-0000000000000001.ltx'
  const sidecar = join(cwd, 'backup', `${key}.meta.json`)
  const put = [() => mkdir(sidecar), () => symlink('/dev/zero', sidecar), () => execFileSync('mkfifo', [sidecar])]
  for (const make of put) {
    await rm(sidecar, { recursive: true })
    await make()
    const list = await ltxd(['backup', 'list', url], { cwd })
    expect(list.code).toBe(1)
    expect(list.stdout).toMatch(/^app\.db .*\n(.*\n)*other\.db: .*meta\.json/m)
    const json = JSON.parse((await ltxd(['backup', 'list', url, '--json'], { cwd })).stdout) as { databases: unknown[] }
    expect(json).toMatchObject({ databases: [{ database: 'app.db' }], unreadable: [{ database: 'other.db' }] })
    const verified = await ltxd(['backup', 'verify', url], { cwd })
    expect(verified.code).toBe(1)
    expect(verified.stdout).toMatch(/^app\.db: ok/m)
    expect(verified.stdout).toMatch(/^other\.db: NOT OK/m)
    expect(verified.stdout).toContain(`error: ${key}: cannot look up object`)
  }
})

describe('ltxd restore', () => {
  test('restores the newest state, that of a transaction and that of a moment, and reports each', async () => {
    const images = await backUp('app.db', ['one', 'two', 'three'])
    const restored = async (...args: string[]) => {
      const outcome = await ltxd(['restore', url, 'app.db', '-o', 'out.db', ...args], { cwd })
      expect(outcome).toMatchObject({ code: 0, stderr: '' })
      const bytes = await readFile(join(cwd, 'out.db'))
      await rm(join(cwd, 'out.db'))
      return { ...outcome, bytes }
    }
    const newest = await restored('--check')
    expect(newest.bytes.equals(images[2]!)).toBe(true)
    expect(newest.stdout).toMatch(
      /^restored app\.db as of transaction 0{15}3, 2026-01-31T14:00:00\.000Z, to .*integrity_check ok$/m,
    )
    expect((await restored('--txid', '2')).bytes.equals(images[1]!)).toBe(true)
    expect((await restored('--timestamp', '2026-01-31T14:00:00Z')).bytes.equals(images[1]!)).toBe(true)
    const json = await restored('--json', '--timestamp', '2026-01-31T14:00:00+01:00')
    expect(JSON.parse(json.stdout)).toMatchObject({
      database: 'app.db',
      restored: true,
      txid: '0000000000000001',
      verified: true,
    })
  })

  test('goes round a damaged object and warns; with --strict the exit code is 3', async () => {
    const [, , image] = await backUp('app.db', ['one', 'two', 'three'])
    expect(await ltxd(['snapshot', url, 'app.db'], { cwd })).toMatchObject({ code: 0 })
    const snapshots = join(cwd, 'backup/app.db/ltx/9')
    const [name] = (await readdir(snapshots)).filter((file) => file.endsWith('.ltx'))
    await writeFile(join(snapshots, name!), '<html>')
    for (const [args, code] of [
      [[], 0],
      [['--strict'], 3],
      [['--strict', '--json'], 3],
    ] as const) {
      const outcome = await ltxd(['restore', url, 'app.db', '-o', 'out.db', ...args], { cwd })
      expect(outcome.code).toBe(code)
      expect(outcome.stderr).toMatch(/^ltxd: warning: object app\.db\/ltx\/9\/.* cannot be used: .*Other objects hold/)
      expect((await readFile(join(cwd, 'out.db'))).equals(image!)).toBe(true)
      await rm(join(cwd, 'out.db'))
      if (args.includes('--json' as never)) expect(JSON.parse(outcome.stdout)).toMatchObject({ avoided: [{}] })
    }
  })

  test.each([
    ['/dev/stdout', 'a device, a pipe or a socket'],
    ['/dev/null', 'a device, a pipe or a socket'],
    ['.', 'a directory'],
  ])('writes nothing to %s, and does not say to move it away', async (output, found) => {
    await backUp('app.db', ['one'])
    for (const more of [[], ['--if-not-exists']]) {
      const outcome = await ltxd(['restore', url, 'app.db', '-o', output, ...more], { cwd })
      expect(outcome).toMatchObject({ code: 1, stdout: '' })
      expect(outcome.stderr).toMatch(`it is ${found}, and only a regular file can be written: name another output`)
    }
  })

  test('takes - for no file', async () => {
    const outcome = await ltxd(['restore', url, 'app.db', '-o', '-'], { cwd })
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr).toContain('it cannot be a pipe: name a file')
    expect(await readdir(cwd)).not.toContain('-')
  })

  test('never overwrites a file; with --if-not-exists an existing one is no error', async () => {
    await backUp('app.db', ['one'])
    await writeFile(join(cwd, 'out.db'), 'mine')
    const refused = await ltxd(['restore', url, 'app.db', '-o', 'out.db'], { cwd })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/^ltxd: .*out\.db exists already\. Nothing is ever overwritten/)
    expect(await ltxd(['restore', url, 'app.db', '-o', 'out.db', '--if-not-exists'], { cwd })).toMatchObject({
      code: 0,
    })
    expect(await readFile(join(cwd, 'out.db'), 'utf8')).toBe('mine')
  })

  test('removes a file that fails --check, and says that the database was damaged when it was backed up', async () => {
    const [image] = await backUp('app.db', ['one'])
    const broken = Buffer.from(image!)
    broken.fill(0xff, PAGE_SIZE, PAGE_SIZE + 100)
    await putState(new DirectoryStore(join(cwd, 'backup')), 'app.db', 2, broken)
    const outcome = await ltxd(['restore', url, 'app.db', '-o', 'out.db', '--check'], { cwd })
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(/PRAGMA integrity_check on .*out\.db: .* It was removed/)
    expect((await readdir(cwd)).filter((name) => name.startsWith('out'))).toEqual([])
  })

  test('leaves a file in place if --check cannot run, and calls it neither sound nor damaged', async () => {
    const [image] = await backUp('app.db', ['one'])
    const env = { NODE_OPTIONS: `--import ${await withoutSqlite()}` }
    const outcome = await ltxd(['restore', url, 'app.db', '-o', 'out.db', '--check'], { cwd, env })
    expect(outcome.code).toBe(1)
    expect(outcome.stdout).toMatch(/^restored app\.db as of transaction 0{15}1, .* integrity_check not made\n$/)
    expect(outcome.stderr).toMatch(
      /^ltxd: .*out\.db was restored and could not be checked: .*compiled against a different/,
    )
    expect(outcome.stderr).not.toMatch(/damaged|unexpected|^ {4}at /m)
    expect((await readFile(join(cwd, 'out.db'))).equals(image!)).toBe(true)
  })

  test.each<[string[], number, RegExp]>([
    [['--txid', 'xyz'], 2, /--txid "xyz" is not a transaction number/],
    [['--timestamp', 'yesterday'], 2, /--timestamp "yesterday" is not valid: expected a time with its zone/],
    [['--txid', '1', '--timestamp', '2026-01-01T00:00:00Z'], 2, /cannot be combined/],
    [['--txid', '9'], 1, /restorable are 0{15}1 to 0{15}2/],
    [['--timestamp', '2020-01-01T00:00:00Z'], 1, /the backup begins later, at 2026-01-31T12:00:00/],
  ])('%j is exit code %i, and says what was expected', async (args, code, message) => {
    await backUp('app.db', ['one', 'two'])
    const outcome = await ltxd(['restore', url, 'app.db', '-o', 'out.db', ...args], { cwd })
    expect(outcome.stderr).toMatch(message)
    expect(outcome).toMatchObject({ code, stdout: '' })
    expect(outcome.stderr).not.toMatch(/^ {4}at /m)
  })

  test.each<[string, string, number, RegExp]>([
    ['file:///nonexistent/backup', 'app.db', 1, /has no backup of database app\.db: it holds no database/],
    ['/tmp/backup', 'app.db', 2, /did you mean file:\/\/\/tmp\/backup/],
    ['ftp://host/x', 'app.db', 2, /"ftp:" is not supported; expected .*file:\/\/\/DIR/],
    ['file:///tmp/backup', '../app.db', 2, /not a usable database name/],
  ])('%s %s is exit code %i', async (where, database, code, message) => {
    const outcome = await ltxd(['restore', where, database, '-o', 'out.db'], { cwd })
    expect(outcome.stderr).toMatch(message)
    expect(outcome.code).toBe(code)
  })
})

describe('ltxd backup', () => {
  test('list shows the databases, and the files of one', async () => {
    await backUp('tenants/a b.db', ['one', 'two'])
    const all = await ltxd(['backup', 'list', url], { cwd })
    expect(all).toMatchObject({ code: 0, stderr: '' })
    expect(all.stdout).toMatch(/^tenants\/a b\.db +0{15}2 +2026-01-31T13:00:00\.000Z +2 .* 0{15}1 +live$/m)
    const one = await ltxd(['backup', 'list', url, 'tenants/a b.db'], { cwd })
    expect(one.stdout).toMatch(/^ +0 +0{15}2 +0{15}2 .* 2026-01-31T13:00:00\.000Z$/m)
    expect(one.stdout).toMatch(/^restorable: 0{15}1 to 0{15}2/m)
    const json = await ltxd(['backup', 'list', url, 'tenants/a b.db', '--json'], { cwd })
    expect(JSON.parse(json.stdout)).toMatchObject({ files: [{ level: 0 }, { level: 0, max: '0000000000000002' }] })
    const none = await ltxd(['backup', 'list', url, 'other.db'], { cwd })
    expect(none).toMatchObject({ code: 1, stdout: '' })
    expect(none.stderr).toMatch(/it holds tenants\/a b\.db/)
  })

  test('verify of a directory that is missing or empty fails', async () => {
    await mkdir(join(cwd, 'empty'))
    for (const name of ['missing', 'empty']) {
      const outcome = await ltxd(['backup', 'verify', `file://${join(cwd, name)}`], { cwd })
      expect(outcome).toMatchObject({ code: 1, stdout: '' })
      expect(outcome.stderr).toMatch(/does not exist, or holds no database: there is nothing to verify/)
    }
    await backUp('app.db', ['one', 'two'])
    const sample = await ltxd(['backup', 'verify', url, '--sample', '1', '--since', '2026-01-31T12:00:00Z'], { cwd })
    expect(sample).toMatchObject({ code: 0, stdout: expect.stringMatching(/ 2 files, .*, 1 of them read/) as string })
    for (const wrong of [
      ['--sample', '0'],
      ['--since', 'today'],
    ]) {
      expect(await ltxd(['backup', 'verify', url, ...wrong], { cwd })).toMatchObject({ code: 2 })
    }
  })

  test('verify names a damaged object, with exit code 1', async () => {
    await backUp('app.db', ['one', 'two'])
    const sound = await ltxd(['backup', 'verify', url], { cwd })
    expect(sound).toMatchObject({ code: 0, stderr: '' })
    expect(sound.stdout).toMatch(/^app\.db: ok; 2 files/)
    const path = join(cwd, 'backup/app.db/ltx/0/0000000000000002-0000000000000002.ltx')
    const bytes = await readFile(path)
    bytes[200]! ^= 1
    await writeFile(path, bytes)
    const damaged = await ltxd(['backup', 'verify', url, '--json'], { cwd })
    expect(damaged.code).toBe(1)
    const report = JSON.parse(damaged.stdout) as { ok: boolean; databases: { findings: { key?: string }[] }[] }
    expect(report.ok).toBe(false)
    expect(report.databases[0]?.findings[0]?.key).toBe('app.db/ltx/0/0000000000000002-0000000000000002.ltx')
  })
})
