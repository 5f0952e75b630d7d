/** `ltxd ltx` as it is used: real files, the built CLI, and beside it the reference's own tool where there is one. */
import Database from 'better-sqlite3'
import { spawn } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { decode, encode } from '../../src/ltx/file.ts'
import { NO_CHECKSUM } from '../../src/ltx/header.ts'
import { databaseChecksum, header, pageOf } from '../../src/ltx/testing.ts'
import { formatChecksum, toTXID, type Checksum } from '../../src/ltx/types.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { ltxd, program, type Outcome } from './run.ts'

const reference = process.env.LTX_BIN ?? findTool('ltx')
if (reference === undefined && process.env.CI === 'true')
  throw new Error('the reference tool ltx 0.5.3 is not installed')

let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'ltxd-'))))
afterEach(() => rm(dir, { recursive: true }))

const path = (name: string) => join(dir, name)
const run = (...args: string[]) => ltxd(['ltx', ...args], { cwd: dir })

/** It did what was asked, and said nothing on stderr. */
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args)
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  return stdout
}

/** It failed as a command does, with a message and without a stack. */
function failure({ code, stdout, stderr }: Outcome, exitCode = 1): string {
  expect({ code, stdout }, stderr).toEqual({ code: exitCode, stdout: '' })
  expect(stderr).toMatch(/^ltxd: /)
  expect(stderr).not.toMatch(/unexpected|^ {4}at /m)
  return stderr
}

interface Recorded {
  /** The LTX files, oldest first. */
  readonly files: readonly string[]
  /** The database after each of them. */
  readonly images: readonly Buffer[]
}

/** A history that SQLite made: rows come and go, and a VACUUM makes it smaller. */
async function record(pageSize = 4096, flags = 0): Promise<Recorded> {
  const source = path(`source-${pageSize}-${flags}.db`)
  const db = new Database(source)
  db.pragma(`page_size = ${pageSize}`)
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)')
  const insert = db.prepare('INSERT INTO t (v) VALUES (?)')
  const files: string[] = []
  const images: Buffer[] = []
  let before = new Map<number, Uint8Array>()
  for (let txid = 1; txid <= 5; txid++) {
    db.transaction(() => {
      for (let i = 0; i < 60; i++) insert.run(`row ${txid * i} `.repeat(20))
      if (txid % 3 === 0) db.exec('DELETE FROM t WHERE id % 4 != 0')
    })()
    if (txid === 4) db.exec('VACUUM')
    const image = await readFile(source)
    const pages = pagesOf(image, pageSize)
    const changed = [...pages].filter(([pgno, page]) => Buffer.compare(page, before.get(pgno) ?? Buffer.of()) !== 0)
    const sum = (of: Map<number, Uint8Array>): Checksum | 0n => (flags === 0 ? databaseChecksum(of) : 0n)
    const fields = {
      flags,
      pageSize,
      commit: pages.size,
      minTXID: toTXID(txid),
      preApplyChecksum: txid === 1 ? (0n as const) : sum(before),
    }
    const file = path(`${pageSize}-${flags}-${txid}.ltx`)
    await writeFile(file, encode(header(fields), changed, sum(pages)))
    files.push(file)
    images.push(image)
    before = pages
  }
  db.close()
  return { files, images }
}

function pagesOf(image: Uint8Array, pageSize: number): Map<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>()
  for (let at = 0; at < image.length; at += pageSize) pages.set(at / pageSize + 1, image.subarray(at, at + pageSize))
  return pages
}

/** Names in the directory, so that what is left behind is seen. */
async function names(): Promise<string[]> {
  return (await readdir(dir)).sort()
}

async function isSame(file: string, image: Uint8Array): Promise<boolean> {
  return Buffer.compare(await readFile(file), image) === 0
}

describe('ltx apply', () => {
  test('takes a pipe for a file', async () => {
    const { files, images } = await record()
    const args = [process.execPath, LTXD_CLI, ...files]
    const command = `exec "$0" "$1" ltx apply -o one.db <(cat "$2") "\${@:3}"`
    expect(await program('bash', ['-c', command, ...args], { cwd: dir })).toMatchObject({ code: 0, stderr: '' })
    expect(await isSame(path('one.db'), images.at(-1)!)).toBe(true)
  })

  test.each([
    [4096, 0],
    [512, NO_CHECKSUM],
    [65536, 0],
  ])(
    'makes the database that was recorded, pages of %i bytes, flags %i: new, grown by and by, and replaced',
    async (pageSize, flags) => {
      const { files, images } = await record(pageSize, flags)
      const before = await names()
      const last = images.at(-1)!
      expect(await ok('apply', '-o', 'new.db', ...files)).toMatch(
        /^applied 5 files to a new database, .*new\.db: transaction 0{15}5, /,
      )
      expect(await isSame(path('new.db'), last)).toBe(true)

      for (const [n, file] of files.entries()) {
        const report = JSON.parse(await ok('apply', '--json', '--db', 'grown.db', file)) as {
          created: boolean
          verified: boolean
        }
        expect(report).toMatchObject({
          created: n === 0,
          verified: flags === 0,
          sizePages: images[n]!.length / pageSize,
        })
        expect(await isSame(path('grown.db'), images[n]!), `after file ${n + 1}`).toBe(true)
      }
      const refused = await run('apply', '--db', 'grown.db', ...files.slice(0, 3))
      expect(failure(refused)).toContain('is a snapshot, which would replace all that is in')
      expect(await isSame(path('grown.db'), last)).toBe(true)
      await ok('apply', '--force', '--db', 'grown.db', ...files.slice(0, 3))
      expect(await isSame(path('grown.db'), images[2]!)).toBe(true)
      expect(await names()).toEqual([...before, 'grown.db', 'new.db'].sort())
    },
  )

  test.skipIf(reference === undefined)('gives the bytes that the reference gives', async () => {
    for (const [pageSize, flags] of [
      [4096, 0],
      [512, NO_CHECKSUM],
    ] as const) {
      const { files } = await record(pageSize, flags)
      await ok('apply', '-o', `ours-${pageSize}.db`, ...files)
      const theirs = path(`theirs-${pageSize}.db`)
      expect(await program(reference!, ['apply', '-db', theirs, ...files])).toMatchObject({ code: 0 })
      expect(await isSame(path(`ours-${pageSize}.db`), await readFile(theirs))).toBe(true)
    }
  })

  test('a database with open connections changes under their eyes, in rollback mode and with a WAL', async () => {
    for (const mode of ['delete', 'wal']) {
      const source = path(`${mode}.db`)
      const db = new Database(source)
      db.pragma(`journal_mode = ${mode}`)
      db.exec('CREATE TABLE t (v)')
      db.close()
      const image = await readFile(source)
      const target = path(`${mode}-target.db`)
      await copyFile(source, target)
      const change = new Database(source)
      change.exec('INSERT INTO t VALUES (42)')
      change.close()
      const [before, after] = [pagesOf(image, 4096), pagesOf(await readFile(source), 4096)]
      const changed = [...after].filter(([pgno, page]) => Buffer.compare(page, before.get(pgno)!) !== 0)
      const fields = {
        pageSize: 4096,
        commit: after.size,
        minTXID: toTXID(7),
        preApplyChecksum: databaseChecksum(before),
      }
      await writeFile(path('change.ltx'), encode(header(fields), changed, databaseChecksum(after)))

      const reader = new Database(target, { readonly: true })
      const count = () => reader.prepare('SELECT count(*) FROM t').pluck().get()
      expect(count()).toBe(0)
      await ok('apply', '--db', target, 'change.ltx')
      expect(count(), mode).toBe(1)
      expect(reader.pragma('integrity_check', { simple: true })).toBe('ok')
      reader.close()
    }
  })

  test('a database that somebody is writing to is left alone', async () => {
    const { files, images } = await record()
    await writeFile(path('app.db'), images[2]!)
    await symlink('app.db', path('link.db'))
    const writer = new Database(path('app.db'))
    writer.exec('BEGIN IMMEDIATE')
    expect(failure(await run('apply', '--db', 'app.db', files[3]!))).toMatch(
      /app\.db: another process is in the way\. Stop the programs/,
    )
    writer.exec('ROLLBACK')
    writer.close()
    await ok('apply', '--db', 'link.db', files[3]!)
    expect(await isSame(path('app.db'), images[3]!)).toBe(true)
  })

  test('what is in a WAL counts: SQLite would see it, too', async () => {
    const { files, images } = await record()
    await writeFile(path('app.db'), images[2]!)
    const db = new Database(path('app.db'))
    db.pragma('journal_mode = wal')
    db.exec('INSERT INTO t (v) VALUES (1)')
    // As a crash leaves them.
    for (const suffix of ['', '-wal']) await copyFile(path(`app.db${suffix}`), path(`crashed.db${suffix}`))
    db.close()
    expect(failure(await run('apply', '--db', 'crashed.db', files[3]!))).toMatch(
      /-4\.ltx: pre-apply checksum: [0-9a-f]{16}: expected [0-9a-f]{16}, as .*crashed\.db has it\. Nothing was written/,
    )
    const left = new Database(path('crashed.db'))
    expect(left.prepare('SELECT count(*) FROM t WHERE v = 1').pluck().get()).toBe(1)
    left.close()
  })

  test('files that do not fit are named with what was expected, and change nothing', async () => {
    const { files, images } = await record()
    const other = await record(1024)
    await writeFile(path('app.db'), images[1]!)
    const before = await names()
    const refuse = async (...args: string[]) => failure(await run('apply', ...args))

    expect(await refuse('--db', 'app.db', files[3]!)).toMatch(
      /-4\.ltx: pre-apply checksum: .*: expected .*, as .*app\.db has it/,
    )
    expect(await refuse('--db', 'app.db', files[2]!, files[4]!)).toMatch(
      /-5\.ltx: TXIDs: .*: expected to begin at 0{15}4 or before; those between are missing, as .*-3\.ltx has it/,
    )
    expect(await refuse('--db', 'app.db', other.files[2]!)).toMatch(
      /1024-0-3\.ltx: page size: 1024: expected 4096, as .*app\.db has it/,
    )
    expect(await refuse('-o', 'new.db', files[1]!)).toMatch(
      /-2\.ltx: minimum TXID: it changes a database, and there is none: expected a snapshot/,
    )

    const bytes = await readFile(files[2]!)
    bytes[bytes.length - 12]! ^= 1
    await writeFile(path('damaged.ltx'), bytes)
    expect(await refuse('--db', 'app.db', 'damaged.ltx')).toMatch(
      /damaged\.ltx: file checksum: [0-9a-f]{16} stands in the file, .* \(at byte \d+\)\. Nothing was written; take another copy/,
    )
    const wrong = decode(await readFile(files[2]!))
    await writeFile(path('damaged.ltx'), encode(wrong.header, wrong.pages, 0x8000_0000_0000_0001n as Checksum))
    expect(await refuse('--db', 'app.db', 'damaged.ltx')).toMatch(
      /damaged\.ltx: post-apply checksum: the database that it leads to has checksum [0-9a-f]{16}: expected 8000000000000001/,
    )

    expect(await isSame(path('app.db'), images[1]!)).toBe(true)
    expect(await names()).toEqual([...before, 'damaged.ltx'].sort())
  })

  test('an output that is there, with or without what SQLite keeps beside it, is never overwritten', async () => {
    const { files } = await record()
    await writeFile(path('taken.db'), 'mine')
    await writeFile(path('other.db-wal'), 'mine')
    expect(failure(await run('apply', '-o', 'taken.db', files[0]!))).toContain('taken.db exists already')
    expect(failure(await run('apply', '-o', 'other.db', files[0]!))).toContain('which SQLite would take for a part of')
    expect(await readFile(path('taken.db'), 'utf8')).toBe('mine')
  })

  test('a file that is no database is left alone', async () => {
    const { files } = await record()
    await writeFile(path('letter.txt'), 'Dear reader'.repeat(100))
    expect(failure(await run('apply', '--force', '--db', 'letter.txt', files[0]!))).toContain(
      'letter.txt is no SQLite database',
    )
    expect(await readFile(path('letter.txt'), 'utf8')).toBe('Dear reader'.repeat(100))
  })

  test('a dropped database is an empty file, and none is written anew', async () => {
    const { files, images } = await record()
    const fields = {
      pageSize: 4096,
      commit: 0,
      minTXID: toTXID(4),
      preApplyChecksum: databaseChecksum(pagesOf(images[2]!, 4096)),
    }
    await writeFile(path('drop.ltx'), encode(header(fields), [], databaseChecksum([])))
    expect(failure(await run('apply', '-o', 'new.db', ...files.slice(0, 3), 'drop.ltx'))).toContain(
      'drop.ltx drops the database',
    )
    await writeFile(path('app.db'), images[2]!)
    await ok('apply', '--db', 'app.db', 'drop.ltx')
    expect((await stat(path('app.db'))).size).toBe(0)
  })

  test.each([[[]], [['--db', 'a.db', '-o', 'b.db']]])('without one database, %j, is wrong usage', async (args) => {
    const { files } = await record()
    failure(await run('apply', ...args, files[0]!), 2)
  })
})

describe('ltx checksum and ltx encode-db', () => {
  test('give the checksum and the pages of a database', async () => {
    for (const pageSize of [512, 4096, 65536]) {
      const { images } = await record(pageSize)
      await writeFile(path('app.db'), images[4]!)
      const expected = databaseChecksum(pagesOf(images[4]!, pageSize))
      expect(await ok('checksum', 'app.db')).toBe(`${formatChecksum(expected)}\n`)
      await ok('encode-db', '--force', 'app.db', '--txid', '1f', '-o', 'snapshot.ltx')
      const { header: head, pages, trailer } = decode(await readFile(path('snapshot.ltx')))
      expect(head).toMatchObject({ pageSize, commit: pages.size, minTXID: 1n, maxTXID: 31n, flags: 0 })
      expect(trailer.postApplyChecksum).toBe(expected)
      expect(Buffer.compare(Buffer.concat([...pages.values()]), images[4]!)).toBe(0)
    }
  })

  test.skipIf(reference === undefined)('give what the reference gives', async () => {
    for (const pageSize of [512, 4096, 65536]) {
      const { images } = await record(pageSize)
      await writeFile(path('app.db'), images[4]!)
      const theirs = await program(reference!, ['checksum', path('app.db')])
      expect(await ok('checksum', 'app.db')).toBe(theirs.stdout)
      await program(reference!, ['encode-db', '-o', path('theirs.ltx'), path('app.db')])
      await ok('encode-db', '--force', 'app.db', '-o', 'ours.ltx')
      const [one, two] = [decode(await readFile(path('ours.ltx'))), decode(await readFile(path('theirs.ltx')))]
      expect({ ...one.header, timestampMs: 0 }).toEqual({ ...two.header, timestampMs: 0 })
      expect(one.pages).toEqual(two.pages)
      expect(one.trailer.postApplyChecksum).toBe(two.trailer.postApplyChecksum)
      expect(await program(reference!, ['verify', path('ours.ltx')])).toMatchObject({ code: 0 })
    }
  })

  test('leave out the page that SQLite keeps its locks on, in a database beyond a gigabyte', async () => {
    const file = path('large.db')
    const fd = openSync(file, 'w')
    const { images } = await record(65536)
    const first = Buffer.from(images[0]!.subarray(0, 65536))
    first.writeUInt32BE(16386, 28)
    writeSync(fd, first, 0, 65536, 0)
    writeSync(fd, pageOf(65536, 7), 0, 65536, 16384 * 65536)
    ftruncateSync(fd, 16386 * 65536)
    closeSync(fd)
    const sum = await ok('checksum', 'large.db')
    await ok('encode-db', 'large.db', '-o', 'large.ltx')
    const [listed] = JSON.parse(await ok('list', '--json', 'large.ltx')) as {
      pages: number
      postApplyChecksum: string
    }[]
    expect(listed).toMatchObject({ pages: 16385, commit: 16386, postApplyChecksum: sum.trim() })
  }, 60_000)

  test('refuse a database that is not all in its file, and say what to do', async () => {
    const refuse = async () => {
      const [sum, encoded] = [await run('checksum', 'app.db'), await run('encode-db', 'app.db', '-o', 'out.ltx')]
      expect(encoded.stderr).toBe(sum.stderr)
      failure(encoded)
      return failure(sum)
    }
    const db = new Database(path('app.db'))
    db.exec('CREATE TABLE t (v)')
    db.pragma('journal_mode = wal')
    await ok('checksum', 'app.db')
    db.exec('INSERT INTO t VALUES (1)')
    expect(await refuse()).toMatch(
      /app\.db-wal holds 1 transaction that may not be in the file yet\. Stop .* wal_checkpoint\(TRUNCATE\)/,
    )
    db.pragma('wal_checkpoint(TRUNCATE)')
    await ok('checksum', 'app.db')
    db.pragma('journal_mode = delete')
    db.exec('BEGIN EXCLUSIVE')
    expect(await refuse()).toMatch(/app\.db: another process is writing to it/)
    db.pragma('cache_size = 1')
    db.exec(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) INSERT INTO t SELECT randomblob(900) FROM n',
    )
    // As a crash leaves them.
    for (const suffix of ['', '-journal']) await copyFile(path(`app.db${suffix}`), path(`crashed.db${suffix}`))
    db.exec('COMMIT')
    db.close()
    await ok('checksum', 'app.db')
    for (const suffix of ['', '-journal']) await copyFile(path(`crashed.db${suffix}`), path(`app.db${suffix}`))
    expect(await refuse()).toMatch(
      /app\.db-journal is that of a transaction that has not ended\. .*: that rolls it back/,
    )
    expect(await names()).toEqual(['app.db', 'app.db-journal', 'crashed.db', 'crashed.db-journal'])
  })

  test('refuse what is no database, or not all of one, and say where it ends', async () => {
    const { images } = await record()
    await writeFile(path('letter.txt'), 'Dear reader')
    await writeFile(path('empty.db'), '')
    await writeFile(path('short.db'), images[4]!)
    await truncate(path('short.db'), 2 * 4096 + 100)
    expect(failure(await run('checksum', 'letter.txt'))).toContain(
      'letter.txt: does not begin as a database does (at byte 0): expected a whole',
    )
    expect(failure(await run('checksum', 'empty.db'))).toContain(
      'empty.db: is empty: expected a whole SQLite database file',
    )
    expect(failure(await run('encode-db', 'short.db', '-o', 'o.ltx'))).toMatch(
      /short\.db: the file ends within page 3 of \d+ \(at byte 8292\)/,
    )
    expect(failure(await run('checksum', 'missing.db'))).toContain(
      'missing.db: there is no such file: expected a SQLite database',
    )
    expect(failure(await run('checksum', '.'))).toContain('is a directory: expected a SQLite database')
    expect(await names()).not.toContain('o.ltx')
  })

  test('encode-db replaces what is there only when told to, and never the database itself', async () => {
    const { images } = await record()
    await writeFile(path('app.db'), images[4]!)
    await writeFile(path('out.ltx'), 'mine')
    await chmod(path('out.ltx'), 0o600)
    expect(failure(await run('encode-db', 'app.db', '-o', 'out.ltx'))).toMatch(
      /out\.ltx exists already\. Replace it with --force, or move it away/,
    )
    expect(await readFile(path('out.ltx'), 'utf8')).toBe('mine')
    expect(failure(await run('encode-db', '--force', 'app.db', '-o', './app.db'), 2)).toContain(
      'is the database itself',
    )
    await ok('encode-db', '--force', 'app.db', '-o', 'out.ltx')
    expect(decode(await readFile(path('out.ltx'))).pages.size).toBe(images[4]!.length / 4096)
    expect((await stat(path('out.ltx'))).mode & 0o777).toBe(0o600)
    expect(failure(await run('encode-db', 'app.db', '-o', 'nowhere/out.ltx'))).toMatch(
      /cannot write nowhere\/out\.ltx: ENOENT/,
    )
    for (const txid of ['0', 'xyz', '11112222333344445'])
      failure(await run('encode-db', 'app.db', '-o', 'n.ltx', '--txid', txid), 2)
  })
})

describe('ltx compact', () => {
  test('makes one file that does what all of them do, as the reference sees it, too', async () => {
    const { files, images } = await record()
    const text = await ok('compact', '-o', 'all.ltx', ...files)
    expect(text).toMatch(/^compacted 5 files to all\.ltx: 0{15}1-0{15}5, \d+ pages in /)
    await ok('compact', '-o', 'later.ltx', ...files.slice(3))
    expect(await ok('verify', files[2]!, 'later.ltx')).toContain('chain: OK')
    await ok('apply', '-o', 'one.db', 'all.ltx')
    await ok('apply', '-o', 'two.db', ...files.slice(0, 3), 'later.ltx')
    for (const file of ['one.db', 'two.db']) expect(await isSame(path(file), images.at(-1)!)).toBe(true)
    if (reference !== undefined) {
      expect(await program(reference, ['apply', '-db', path('theirs.db'), path('all.ltx')])).toMatchObject({ code: 0 })
      expect(await isSame(path('theirs.db'), images.at(-1)!)).toBe(true)
    }
  })

  test('writes checksums only where all files have them', async () => {
    const [tracked, free] = [await record(), await record(4096, NO_CHECKSUM)]
    const flags = async () => decode(await readFile(path('out.ltx'))).header.flags
    const mixed = [tracked.files[0]!, free.files[1]!]
    expect(failure(await run('compact', '-o', 'out.ltx', ...mixed), 2)).toContain('--drop-checksums')
    await ok('compact', '-o', 'out.ltx', '--drop-checksums', ...mixed)
    expect(await flags()).toBe(NO_CHECKSUM)
    await ok('compact', '--force', '-o', 'out.ltx', ...free.files)
    expect(await flags()).toBe(NO_CHECKSUM)
    await ok('compact', '--force', '-o', 'out.ltx', '--drop-checksums', ...tracked.files)
    expect(await flags()).toBe(NO_CHECKSUM)
  })

  test('takes many more files than a process may have open', async () => {
    const files = Array.from({ length: 1500 }, (_, index) => `${index + 2}.ltx`)
    const pages = new Map<number, Uint8Array>()
    for (const [index, file] of files.entries()) {
      const changed = [1 + (index % 50), 51 + (index % 49)].map((pgno) => [pgno, pageOf(4096, index + pgno)] as const)
      const fields = { flags: NO_CHECKSUM, pageSize: 4096, commit: 100, minTXID: toTXID(index + 2) }
      await writeFile(path(file), encode(header({ ...fields, preApplyChecksum: 0n }), changed, 0n))
      for (const [pgno, page] of changed) pages.set(pgno, page)
    }
    const command = `ulimit -n 320 && exec "$0" "$@"`
    const args = [process.execPath, LTXD_CLI, 'ltx', 'compact', '-o', 'all.ltx', ...files]
    expect(await program('bash', ['-c', command, ...args], { cwd: dir })).toMatchObject({ code: 0, stderr: '' })
    const all = decode(await readFile(path('all.ltx')))
    expect(all.header.maxTXID).toBe(toTXID(1501))
    expect(all.pages).toEqual(new Map([...pages].sort(([a], [b]) => a - b)))
  })

  test('leaves nothing where files are damaged, missing, or do not follow', async () => {
    const { files } = await record()
    await truncate(files[4]!, 300)
    const before = await names()
    const refuse = async (...args: string[]) => failure(await run('compact', '-o', 'out.ltx', ...args))
    expect(await refuse(...files)).toMatch(/-5\.ltx: .*the file ends here.*\(at byte \d+\)\. Nothing was written/)
    expect(await refuse(files[0]!, files[2]!)).toMatch(/-3\.ltx: TXIDs: .* does not continue/)
    expect(await refuse(files[0]!, 'missing.ltx')).toContain('missing.ltx: there is no such file: expected an LTX file')
    expect(await names()).toEqual(before)
  })
})

describe('what is no LTX file', () => {
  const commands = [
    ['list'],
    ['dump'],
    ['verify'],
    ['hexdump'],
    ['compact', '-o', 'out.ltx'],
    ['apply', '-o', 'out.db'],
  ]

  test.each(commands)('is named by `ltx %s`, with what is wrong with it', async (...command) => {
    const { files } = await record()
    await writeFile(path('letter.txt'), 'Dear reader, '.repeat(30))
    await writeFile(path('empty.ltx'), '')
    await mkdir(path('directory.ltx'))
    await copyFile(files[0]!, path('cut.ltx'))
    await truncate(path('cut.ltx'), (await stat(files[0]!)).size - 10)
    const before = await names()
    const messages = async (file: string) => {
      const { code, stdout, stderr } = await run(...command, file)
      expect(code, stderr).toBe(1)
      expect(stderr).not.toMatch(/unexpected|^ {4}at /m)
      return stdout + stderr
    }
    expect(await messages('letter.txt')).toMatch(
      /letter\.txt: .*(not an LTX file: it does not start with "LTX1" \(at byte 0\)|page index size: )/,
    )
    expect(await messages('empty.ltx')).toMatch(/empty\.ltx: header: .*\(at byte 0\)/)
    expect(await messages('cut.ltx')).toMatch(/cut\.ltx: (trailer|page index size): .* \(at byte \d+\)/)
    expect(await messages('missing.ltx')).toMatch(/missing\.ltx: there is no such file: expected an LTX file/)
    if (command[0] !== 'list')
      expect(await messages('directory.ltx')).toMatch(/directory\.ltx: is a directory: expected an LTX file/)
    expect(await names()).toEqual(before)
  })
})

describe('a pipe whose reader has seen enough', () => {
  test.each([
    ['dump', '--data'],
    ['dump', '--json', '--data'],
    ['hexdump', '--all', '--data'],
    ['hexdump', '--json', '--all', '--data'],
  ])('ends `ltx %s %s` without a word', async (...command) => {
    const { files } = await record()
    const script = `"$0" "$@" | head -n 1 >/dev/null; echo "\${PIPESTATUS[0]}"`
    const args = [LTXD_CLI, 'ltx', ...command, files[0]!]
    expect(await program('bash', ['-c', script, process.execPath, ...args])).toEqual({
      code: 0,
      stdout: '0\n',
      stderr: '',
    })
  })
})

test('an interrupted command leaves nothing behind', async () => {
  // A gigabyte of zeroes: long enough to be interrupted, and no longer than a moment to make.
  const { images } = await record(65536)
  const first = Buffer.from(images[0]!.subarray(0, 65536))
  first.writeUInt32BE(65536, 28)
  await writeFile(path('large.db'), first)
  await truncate(path('large.db'), 65536 * 65536)
  const before = await names()
  const child = spawn(process.execPath, [LTXD_CLI, 'ltx', 'encode-db', 'large.db', '-o', 'out.ltx'], { cwd: dir })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  // Until its first bytes are there, so that it is in the midst of its work.
  await until('its first bytes', 20_000, async () => {
    const temporary = (await names()).find((name) => !before.includes(name))
    return temporary !== undefined && (await stat(path(temporary))).size > 0
  })
  child.kill('SIGINT')
  expect({ code: await ended, stderr }).toEqual({
    code: 1,
    stderr: 'ltxd: interrupted by SIGINT; nothing was left behind\n',
  })
  expect(await names()).toEqual(before)
}, 60_000)
