import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Files } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { Applier } from './applier.ts'
import { MemoryPositions, Source } from './testing.ts'
import { bytesInMemory } from './transaction.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-failed-write-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** What another process reads: the number of rows, or SQLite's error. */
function seenBy(path: string): string {
  const program = `
    const database = new (require(process.argv[1]))(process.argv[2], { timeout: 0 })
    try { console.log(database.prepare('SELECT count(*) AS n FROM t').get().n) } catch (error) { console.log(error.code) }
  `
  const driver = createRequire(import.meta.url).resolve('better-sqlite3')
  return execFileSync(process.execPath, ['-e', program, driver, path], { encoding: 'utf8' }).trim()
}

test('I8: a change whose last step fails in rollback mode is seen by nobody, and is rolled back by the next start', () => {
  const path = join(root, 'replica.db')
  const source = new Source(join(root, 'source.db'))
  const positions = new MemoryPositions()
  const before = source.commit('CREATE TABLE t (v); INSERT INTO t VALUES (1)')
  const after = source.commit('INSERT INTO t VALUES (2)')
  if (before === undefined || after === undefined) throw new Error('a commit changes the database')
  const files: Files = filesBeneath(root)
  let isFull = false
  const failing = new Proxy(files, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (key === 'remove' && isFull) return () => fail()
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  const applier = Applier.open(path, { positions, files: failing })
  applier.apply(bytesInMemory(before.ltx))
  expect(seenBy(path)).toBe('1')
  isFull = true
  expect(() => applier.apply(bytesInMemory(after.ltx))).toThrow('no space')
  expect(applier.status.isUsable).toBe(false)
  expect(seenBy(path)).toBe('SQLITE_BUSY')
  applier.close()
  isFull = false
  const again = Applier.open(path, { positions, files })
  expect(again.position).toEqual(before.position)
  expect(seenBy(path)).toBe('1')
  again.apply(bytesInMemory(after.ltx))
  expect(seenBy(path)).toBe('2')
  again.close()
})

function fail(): never {
  throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
}
