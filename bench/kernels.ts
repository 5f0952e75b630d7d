/** Speed of the LTX kernels, best of many rounds: `node --import tsx bench/kernels.ts`. */
import Database from 'better-sqlite3'
import { pageChecksum } from '../src/ltx/format/checksum.ts'
import { digestPage } from '../src/ltx/kernels/digest.ts'
import { compressBlock, decompressInto } from '../src/ltx/kernels/lz4-block.ts'

const PAGE_SIZE = 4096
const ROUNDS = 50

/** Pages of a real table with text, numbers and an index. */
function samplePages(): Uint8Array[] {
  const db = new Database(':memory:')
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, at TEXT, score REAL); CREATE INDEX t_name ON t (name)')
  const insert = db.prepare('INSERT INTO t (name, at, score) VALUES (?, ?, ?)')
  db.transaction(() => {
    for (let i = 0; i < 40_000; i++) {
      const key = Math.imul(i, 0x9e3779b1) >>> 0
      insert.run(`user-${key.toString(36)}@example.com`, new Date(1.6e12 + key).toISOString(), key / 7)
    }
  })()
  const image = db.serialize()
  db.close()
  return Array.from(
    { length: image.length / PAGE_SIZE },
    (_, n) => new Uint8Array(image.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE)),
  )
}

function measure(name: string, pages: readonly Uint8Array[], work: (page: Uint8Array) => void): void {
  let bestNs = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (const page of pages) work(page)
    bestNs = Math.min(bestNs, Number(process.hrtime.bigint() - start) / pages.length)
  }
  console.log(
    `${name.padEnd(24)}${bestNs.toFixed(0).padStart(6)} ns/page${(PAGE_SIZE / bestNs).toFixed(2).padStart(8)} GB/s`,
  )
}

const pages = samplePages()
const blocks = pages.map(compressBlock)
const ratio = blocks.reduce((sum, block) => sum + block.length, 0) / (pages.length * PAGE_SIZE)
console.log(`${pages.length} pages of ${PAGE_SIZE} bytes, compressed to ${(100 * ratio).toFixed(0)} %`)
measure('copy and CRC', pages, digestPage)
measure('page checksum (bigint)', pages, (page) => void pageChecksum(7, page))
measure('compress and CRC', pages, (page) => void compressBlock(page))
measure('decompress', blocks, (block) => void decompressInto(block, 0, PAGE_SIZE, 0))
