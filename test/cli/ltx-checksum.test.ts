import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { chmod, copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { decode } from '../../src/ltx/file.ts'
import { formatChecksum } from '../../src/ltx/format/types.ts'
import { databaseChecksum, pageOf } from '../../src/ltx/testing.ts'
import { failure, names, ok, pagesOf, path, record, reference, run } from './ltx-command.ts'
import { program } from './run.ts'

describe('ltx checksum and ltx encode-db', () => {
  test('print the checksum and encode the pages of a database', async () => {
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

  test.skipIf(reference === undefined)('agree with the reference', async () => {
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

  test('omit the lock page of a database beyond a gigabyte', async () => {
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

  test('reject a database with transactions in a WAL or a hot journal, and say what to do', async () => {
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
    // Copied while open, as a crash would leave them.
    for (const suffix of ['', '-journal']) await copyFile(path(`app.db${suffix}`), path(`crashed.db${suffix}`))
    db.exec('COMMIT')
    db.close()
    await ok('checksum', 'app.db')
    for (const suffix of ['', '-journal']) await copyFile(path(`crashed.db${suffix}`), path(`app.db${suffix}`))
    expect(await refuse()).toMatch(
      /app\.db-journal belongs to an unfinished transaction\. .*: this rolls the transaction back/,
    )
    expect(await names()).toEqual(['app.db', 'app.db-journal', 'crashed.db', 'crashed.db-journal'])
  })

  test('reject a file that is no database or is cut short, and name the byte', async () => {
    const { images } = await record()
    await writeFile(path('letter.txt'), 'Dear reader')
    await writeFile(path('empty.db'), '')
    await writeFile(path('short.db'), images[4]!)
    await truncate(path('short.db'), 2 * 4096 + 100)
    expect(failure(await run('checksum', 'letter.txt'))).toContain(
      'letter.txt: has no valid database header (at byte 0): expected a whole',
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

  test('encode-db replaces an existing output only with --force, and never the database itself', async () => {
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
      /cannot write nowhere\/out\.ltx: the directory nowhere does not exist/,
    )
    for (const txid of ['0', 'xyz', '11112222333344445'])
      failure(await run('encode-db', 'app.db', '-o', 'n.ltx', '--txid', txid), 2)
  })
})
