import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encode } from '../ltx/file.ts'
import { NO_CHECKSUM } from '../ltx/format/header.ts'
import { type Checksum, type Pgno, toTXID } from '../ltx/format/types.ts'
import { databaseChecksum, header, pageOf } from '../ltx/testing.ts'
import { applyToNew } from './apply.ts'
import { findFiles } from './ltx-file.ts'
import { type Base, Staging } from './staging.ts'

const PAGE_SIZE = 512

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'ltxd-'))))
afterEach(() => rmSync(dir, { recursive: true }))

/** One change of a database: the changed pages, and its size afterwards. Page 1 always exists. */
interface Change {
  readonly commit: number
  readonly pgnos: readonly Pgno[]
  readonly seed: number
}

const changes = fc.array(
  fc
    .record({ commit: fc.integer({ min: 1, max: 20 }), seed: fc.nat() })
    .chain(({ commit, seed }) =>
      fc.subarray(Array.from({ length: commit }, (_, i) => i + 1)).map((pgnos): Change => ({ commit, pgnos, seed })),
    ),
  { minLength: 1, maxLength: 8 },
)

/** The file's content after each change. Pages that a growing file did not write are zero. */
function imagesOf(history: readonly Change[]): Uint8Array[] {
  const images: Uint8Array[] = []
  for (const [n, { commit, pgnos, seed }] of history.entries()) {
    const image = new Uint8Array(commit * PAGE_SIZE)
    if (n > 0) image.set(images[n - 1]!.subarray(0, image.length))
    for (const pgno of n === 0 ? allOf(commit) : pgnos)
      image.set(pageOf(PAGE_SIZE, seed + pgno), (pgno - 1) * PAGE_SIZE)
    images.push(image)
  }
  return images
}

function allOf(commit: number): Pgno[] {
  return Array.from({ length: commit }, (_, i) => i + 1)
}

function pagesOf(image: Uint8Array, pgnos = allOf(image.length / PAGE_SIZE)): [Pgno, Uint8Array][] {
  return pgnos.map((pgno) => [pgno, image.subarray((pgno - 1) * PAGE_SIZE, pgno * PAGE_SIZE)])
}

/** The history as LTX files, the first one a snapshot. */
function filesOf(history: readonly Change[], checksums: boolean): string[] {
  const images = imagesOf(history)
  return history.map(({ commit, pgnos }, n) => {
    const [before, after] = [images[n - 1], images[n]!]
    const fields = {
      flags: checksums ? 0 : NO_CHECKSUM,
      pageSize: PAGE_SIZE,
      commit,
      minTXID: toTXID(n + 1),
      preApplyChecksum: before === undefined || !checksums ? 0n : databaseChecksum(pagesOf(before)),
    } as const
    const post = checksums ? databaseChecksum(pagesOf(after)) : 0n
    const path = join(dir, `${n + 1}.ltx`)
    writeFileSync(path, encode(header(fields), pagesOf(after, n === 0 ? undefined : [...pgnos]), post))
    return path
  })
}

describe('files applied to a staged database', () => {
  test('give the same bytes as page-by-page writes, and change only pages that differ', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.boolean(), fc.nat(), async (history, checksums, cut) => {
        const images = imagesOf(history)
        const files = await findFiles(filesOf(history, checksums))
        const at = cut % history.length
        const base = at === 0 ? EMPTY : baseOf(images[at - 1]!)
        const handle = await open(join(dir, 'staging'), 'w+')
        const staging = new Staging(handle, base)
        for (const file of files.slice(at)) await staging.apply(file)

        const result = images.at(-1)
        expect(staging.checksum).toBe(databaseChecksum(pagesOf(result)))
        const change = staging.changes()
        const had = at === 0 ? new Uint8Array(0) : images[at - 1]!
        const database = new Uint8Array(result.length)
        database.set(had.subarray(0, result.length))
        const pageOfIt = (pgno: Pgno) => database.subarray((pgno - 1) * PAGE_SIZE, pgno * PAGE_SIZE)
        for (const { pgno, page } of change.pages()) {
          const isNew = pgno === 1 || pgno * PAGE_SIZE > had.length
          if (!isNew) expect(Buffer.compare(page, pageOfIt(pgno)), `page ${pgno}`).not.toBe(0)
          pageOfIt(pgno).set(page)
        }
        await handle.close()
        expect(Buffer.compare(database, result)).toBe(0)
        const sums = Array.from(change.pgnos, (pgno) => databaseChecksum(pagesOf(result, [pgno])))
        expect(Array.from(change.checksums)).toEqual(sums)
      }),
      { numRuns: 60 },
    )
  })

  test('make a new database from a snapshot and the files after it', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.boolean(), async (history, checksums) => {
        const out = join(dir, 'new.db')
        const files = filesOf(history, checksums)
        const result = await applyToNew(out, await findFiles(files))
        expect(Buffer.compare(readFileSync(out), imagesOf(history).at(-1))).toBe(0)
        expect(result).toMatchObject({ verified: checksums, header: { maxTXID: BigInt(files.length) } })
        rmSync(out)
      }),
      { numRuns: 30 },
    )
  })
})

const EMPTY: Base = baseOf(new Uint8Array(0))

function baseOf(image: Uint8Array): Base {
  const pages = new Map(pagesOf(image).map(([pgno, page]) => [pgno, databaseChecksum([[pgno, page]])] as const))
  return {
    path: 'base',
    pageSize: image.length === 0 ? 0 : PAGE_SIZE,
    checksum: databaseChecksum(pagesOf(image)),
    pages: { sizePages: pages.size, checksum: (pgno): Checksum | 0n => pages.get(pgno) ?? 0n },
  }
}
