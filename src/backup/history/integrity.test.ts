import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { assertIntegrity } from './integrity.ts'
import { loadBetterSqlite, type LoadEngine, loadNodeSqlite, loadSqlite } from './sqlite-engines.ts'

let dir: string
let path: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-integrity-'))
  path = join(dir, 'restored.db')
})

afterEach(() => rmSync(dir, { recursive: true }))

function writeSound(): void {
  const database = new Database(path)
  database.pragma('journal_mode = WAL')
  database.exec('CREATE TABLE t(x); CREATE INDEX i ON t(x)')
  const insert = database.prepare('INSERT INTO t VALUES (?)')
  for (let i = 0; i < 500; i++) insert.run(`row ${i} ${'x'.repeat(50)}`)
  database.close()
}

function damage(): void {
  const image = readFileSync(path)
  image.fill(0xff, 4096, 4096 + 500)
  writeFileSync(path, image)
}

const hasNodeSqlite = process.getBuiltinModule('node:sqlite') !== undefined
const ENGINES: [string, LoadEngine][] = [['better-sqlite3', loadBetterSqlite]]
if (hasNodeSqlite) ENGINES.push(['node:sqlite', loadNodeSqlite])

describe.each(ENGINES)('%s', (name, load) => {
  test('is what it says it is', async () => {
    expect((await load()).name).toBe(name)
  })

  test('finds a sound database sound, in WAL mode too, and leaves no file beside it', async () => {
    writeSound()
    await assertIntegrity(path, [load])
    expect(readdirSync(dir)).toEqual(['restored.db'])
  })

  test('finds a damaged page: the file is removed, the error says since when it is damaged', async () => {
    writeSound()
    damage()
    await expect(assertIntegrity(path, [load])).rejects.toMatchObject({
      code: 'INTEGRITY_CHECK_FAILED',
      message: expect.stringMatching(/was damaged when it was backed up/) as string,
    })
    expect(readdirSync(dir)).toEqual([])
  })

  test('finds a damaged header, which SQLite reports as an error instead of a row', async () => {
    writeFileSync(path, 'this is no database'.repeat(1000))
    await expect(assertIntegrity(path, [load])).rejects.toMatchObject({ code: 'INTEGRITY_CHECK_FAILED' })
    expect(existsSync(path)).toBe(false)
  })

  test('that cannot open the file has found nothing out about it', async () => {
    await expect(assertIntegrity(dir, [load])).rejects.toMatchObject({
      code: 'INTEGRITY_NOT_CHECKED',
      exitCode: 1,
      message: expect.stringMatching(/could not be checked: .*unable to open database file/) as string,
    })
    expect(existsSync(dir)).toBe(true)
  })

  test('does not take a file that is not there for an empty database', async () => {
    await expect(assertIntegrity(path, [load])).rejects.toMatchObject({ code: 'INTEGRITY_NOT_CHECKED' })
    expect(readdirSync(dir)).toEqual([])
  })

  test('says nothing on stderr, whatever Node.js thinks of its age', async () => {
    writeSound()
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    await assertIntegrity(path, [load])
    await new Promise(setImmediate)
    process.off('warning', note)
    expect(warnings).toEqual([])
  })
})

const broken: LoadEngine = () => {
  const message = `The module '/x/better_sqlite3.node'\nwas compiled against a different Node.js version`
  throw Object.assign(new Error(message), { code: 'ERR_DLOPEN_FAILED' })
}

describe('a failure of the tool is not damage', () => {
  test('an engine that cannot be loaded leaves its place to the next', async () => {
    expect((await loadSqlite([broken, loadBetterSqlite])).name).toBe('better-sqlite3')
  })

  test('where none can be loaded the file stays, and the message says why and what to do', async () => {
    writeSound()
    damage()
    const { message } = (await assertIntegrity(path, [broken, broken]).catch((error: Error) => error)) as Error
    expect(message).toMatch(/restored\.db was restored and could not be checked: no SQLite can be loaded \(The module/)
    expect(message).toMatch(
      /The file stays\. Run: sqlite3 '.*restored\.db' 'PRAGMA integrity_check', use Node\.js 22\.13 or later/,
    )
    expect(message).not.toMatch(/\n|damaged/)
    expect(existsSync(path)).toBe(true)
  })

  test.each(['EMFILE: too many open files', 'disk I/O error', 'database is locked'])('%s', async (reason) => {
    writeSound()
    const failing: LoadEngine = () => ({
      name: 'a SQLite',
      integrityCheck() {
        throw new Error(reason)
      },
      isDamage: () => false,
    })
    await expect(assertIntegrity(path, [failing])).rejects.toMatchObject({
      code: 'INTEGRITY_NOT_CHECKED',
      message: expect.stringContaining(`a SQLite failed (${reason})`) as string,
    })
    expect(existsSync(path)).toBe(true)
  })

  test('nor is a page that could not be read, which SQLite reports as a row', async () => {
    writeSound()
    const rows = (finding: string): LoadEngine[] => [
      () => ({ name: 'a SQLite', integrityCheck: () => [finding], isDamage: () => false }),
    ]
    const unread = rows('Tree 2 page 2: unable to get the page. error code=266')
    await expect(assertIntegrity(path, unread)).rejects.toMatchObject({ code: 'INTEGRITY_NOT_CHECKED' })
    expect(existsSync(path)).toBe(true)
    const corrupt = rows('Tree 2 page 2: unable to get the page. error code=11')
    await expect(assertIntegrity(path, corrupt)).rejects.toMatchObject({ code: 'INTEGRITY_CHECK_FAILED' })
  })
})
