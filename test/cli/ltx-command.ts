import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { encode } from '../../src/ltx/file.ts'
import { type Checksum, toTXID } from '../../src/ltx/format/types.ts'
import { databaseChecksum, header } from '../../src/ltx/testing.ts'
import { ltxd, type Outcome } from './run.ts'

/**
 * Runs the built `ltxd ltx` in a new directory for each test, and the reference's tool beside it where that is
 * installed.
 */

export const reference = process.env.LTX_BIN ?? findTool('ltx')
if (reference === undefined && process.env.CI === 'true')
  throw new Error('the reference tool ltx 0.5.3 is not installed')

/** The directory of the current test. */
export let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'ltxd-'))))
afterEach(() => rm(dir, { recursive: true }))

export const path = (name: string) => join(dir, name)
export const run = (...args: string[]) => ltxd(['ltx', ...args], { cwd: dir })

/** Asserts that the command succeeded with nothing on stderr, and returns its stdout. */
export async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args)
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  return stdout
}

/** Asserts that the command failed with a message and without a stack trace, and returns the message. */
export function failure({ code, stdout, stderr }: Outcome, exitCode = 1): string {
  expect({ code, stdout }, stderr).toEqual({ code: exitCode, stdout: '' })
  expect(stderr).toMatch(/^ltxd: /)
  expect(stderr).not.toMatch(/unexpected|^ {4}at /m)
  return stderr
}

export interface Recorded {
  /** LTX files, oldest first. */
  readonly files: readonly string[]
  /** The database after each file. */
  readonly images: readonly Buffer[]
}

/** A history of SQLite's: rows come and go, and a VACUUM shrinks the database. */
export async function record(pageSize = 4096, flags = 0): Promise<Recorded> {
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

export function pagesOf(image: Uint8Array, pageSize: number): Map<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>()
  for (let at = 0; at < image.length; at += pageSize) pages.set(at / pageSize + 1, image.subarray(at, at + pageSize))
  return pages
}

/** All names in the directory, to notice files left behind. */
export async function names(): Promise<string[]> {
  return (await readdir(dir)).sort()
}

export async function isSame(file: string, image: Uint8Array): Promise<boolean> {
  return Buffer.compare(await readFile(file), image) === 0
}
