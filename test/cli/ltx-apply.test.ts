import { copyFile, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/ltx/file.ts'
import { NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { type Checksum, toTXID } from '../../src/ltx/format/types.ts'
import { databaseChecksum, header } from '../../src/ltx/testing.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { dir, failure, isSame, names, ok, pagesOf, path, record, reference, run } from './ltx-command.ts'
import { program } from './run.ts'

describe('ltx apply', () => {
  test('accepts a pipe as a file', async () => {
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
    'makes the recorded database anew, file by file, and by replacement: pages of %i bytes, flags %i',
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
      expect(failure(refused)).toContain('is a snapshot, which would replace all of')
      expect(await isSame(path('grown.db'), last)).toBe(true)
      await ok('apply', '--force', '--db', 'grown.db', ...files.slice(0, 3))
      expect(await isSame(path('grown.db'), images[2]!)).toBe(true)
      expect(await names()).toEqual([...before, 'grown.db', 'new.db'].sort())
    },
  )

  test.skipIf(reference === undefined)('writes the same bytes as the reference', async () => {
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

  test('open connections see the change, in rollback mode and with a WAL', async () => {
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

  test('does not change a database while another connection writes to it', async () => {
    const { files, images } = await record()
    await writeFile(path('app.db'), images[2]!)
    await symlink('app.db', path('link.db'))
    const writer = new Database(path('app.db'))
    writer.exec('BEGIN IMMEDIATE')
    expect(failure(await run('apply', '--db', 'app.db', files[3]!))).toMatch(
      /app\.db: another process holds a lock on it\. Nothing was changed: stop the programs/,
    )
    writer.exec('ROLLBACK')
    writer.close()
    await ok('apply', '--db', 'link.db', files[3]!)
    expect(await isSame(path('app.db'), images[3]!)).toBe(true)
  })

  test('a database includes the transactions in its WAL, as in SQLite', async () => {
    const { files, images } = await record()
    await writeFile(path('app.db'), images[2]!)
    const db = new Database(path('app.db'))
    db.pragma('journal_mode = wal')
    db.exec('INSERT INTO t (v) VALUES (1)')
    // Copied while open, as a crash would leave them.
    for (const suffix of ['', '-wal']) await copyFile(path(`app.db${suffix}`), path(`crashed.db${suffix}`))
    db.close()
    expect(failure(await run('apply', '--db', 'crashed.db', files[3]!))).toMatch(
      /-4\.ltx: pre-apply checksum: [0-9a-f]{16}: expected [0-9a-f]{16} \(after .*crashed\.db\)\. Nothing was written/,
    )
    const left = new Database(path('crashed.db'))
    expect(left.prepare('SELECT count(*) FROM t WHERE v = 1').pluck().get()).toBe(1)
    left.close()
  })

  test('a file that does not continue the database is named with the expected state, and nothing changes', async () => {
    const { files, images } = await record()
    const other = await record(1024)
    await writeFile(path('app.db'), images[1]!)
    const before = await names()
    const refuse = async (...args: string[]) => failure(await run('apply', ...args))

    expect(await refuse('--db', 'app.db', files[3]!)).toMatch(
      /-4\.ltx: pre-apply checksum: .*: expected .* \(after .*app\.db\)/,
    )
    expect(await refuse('--db', 'app.db', files[2]!, files[4]!)).toMatch(
      /-5\.ltx: TXIDs: .*: expected to begin at 0{15}4 or before; the transactions between are missing \(after .*-3\.ltx\)/,
    )
    expect(await refuse('--db', 'app.db', other.files[2]!)).toMatch(
      /1024-0-3\.ltx: page size: 1024: expected 4096 \(after .*app\.db\)/,
    )
    expect(await refuse('-o', 'new.db', files[1]!)).toMatch(
      /-2\.ltx: minimum TXID: the file changes a database, but there is none: expected a snapshot/,
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
      /damaged\.ltx: post-apply checksum: the resulting database has checksum [0-9a-f]{16}: expected 8000000000000001/,
    )

    expect(await isSame(path('app.db'), images[1]!)).toBe(true)
    expect(await names()).toEqual([...before, 'damaged.ltx'].sort())
  })

  test('an existing output, or an existing WAL or journal beside it, is never overwritten', async () => {
    const { files } = await record()
    await writeFile(path('taken.db'), 'mine')
    await writeFile(path('other.db-wal'), 'mine')
    expect(failure(await run('apply', '-o', 'taken.db', files[0]!))).toContain('taken.db exists already')
    expect(failure(await run('apply', '-o', 'other.db', files[0]!))).toContain('SQLite would read it as part of')
    expect(await readFile(path('taken.db'), 'utf8')).toBe('mine')
  })

  test('a file that is no database is not changed', async () => {
    const { files } = await record()
    await writeFile(path('letter.txt'), 'Dear reader'.repeat(100))
    expect(failure(await run('apply', '--force', '--db', 'letter.txt', files[0]!))).toContain(
      'letter.txt is not a SQLite database',
    )
    expect(await readFile(path('letter.txt'), 'utf8')).toBe('Dear reader'.repeat(100))
  })

  test('applying a drop empties an existing database; a new one is not written', async () => {
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

  test.each([[[]], [['--db', 'a.db', '-o', 'b.db']]])(
    'with no database, or with two, is wrong usage: %j',
    async (args) => {
      const { files } = await record()
      failure(await run('apply', ...args, files[0]!), 2)
    },
  )
})
