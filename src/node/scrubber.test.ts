import fs from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { until } from '../../test/harness/wait.ts'
import { Proof } from '../capture/proof.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { createLogger } from '../util/log.ts'
import { Scrubber } from './scrubber.ts'

const PAGE = 4096
const PAGES = 300

/** A file of 300 pages, its proof, and the damage that is found in it. */
function scrubbed(root: string) {
  const pages = Array.from({ length: PAGES }, (_, i) => Buffer.alloc(PAGE, i))
  fs.writeFileSync(`${root}/a.db`, Buffer.concat(pages))
  const proof = Proof.of(
    BigUint64Array.from(pages, (page, i) => pageChecksum(i + 1, page)),
    PAGE,
  )
  const found: [string, number][] = []
  const options = {
    files: filesBeneath(root),
    root,
    bytesPerSecond: 1e12,
    damaged: (...what: [string, number]) => void found.push(what),
    logger: createLogger({ level: 'error', format: 'text' }),
  }
  const scrubber = new Scrubber(options)
  const write = (pgno: number, page: Uint8Array) => {
    const fd = fs.openSync(`${root}/a.db`, 'r+')
    fs.writeSync(fd, page, 0, page.length, (pgno - 1) * PAGE)
    fs.closeSync(fd)
  }
  return { proof, found, options, scrubber, write, pages }
}

const other = Buffer.alloc(PAGE, 'other')

test('every page is read, and the proof ends', async () => {
  using temporary = temporaryDirectory()
  const { proof, found, scrubber } = scrubbed(temporary.dir)
  scrubber.add('a.db', proof)
  scrubber.start()
  await until('the end', 60_000, () => proof.ended)
  expect([found, proof.next(1), proof.damaged]).toEqual([[], undefined, undefined])
  await scrubber.stop()
})

test('a wrong page is found and reported once, and the data plane sees it', async () => {
  using temporary = temporaryDirectory()
  const { proof, found, scrubber, write } = scrubbed(temporary.dir)
  write(200, other)
  write(250, other)
  scrubber.add('a.db', proof)
  scrubber.start()
  await until('the damage', 60_000, () => found.length > 0)
  await scrubber.stop()
  expect([found, proof.damaged, proof.ended]).toEqual([[['a.db', 200]], 200, false])
})

test('a page that was changed after it was verified is no damage, nor is a page that was truncated', async () => {
  using temporary = temporaryDirectory()
  const { proof, found, scrubber, write, pages } = scrubbed(temporary.dir)
  scrubber.add('a.db', proof)
  expect(proof.holds(200, pages[199] as Buffer)).toBe(true)
  write(200, other)
  fs.truncateSync(`${temporary.dir}/a.db`, 220 * PAGE)
  scrubber.start()
  await until('the end', 60_000, () => proof.ended)
  expect(found).toEqual([])
  await scrubber.stop()
})

test('the file of the start is verified, not one that has its name later', async () => {
  using temporary = temporaryDirectory()
  const { proof, found, scrubber } = scrubbed(temporary.dir)
  scrubber.add('a.db', proof)
  fs.unlinkSync(`${temporary.dir}/a.db`)
  fs.writeFileSync(`${temporary.dir}/a.db`, Buffer.alloc(PAGES * PAGE, 'another database'))
  scrubber.start()
  await until('the end', 60_000, () => proof.ended)
  expect(found).toEqual([])
  await scrubber.stop()
})

test('a node that stops does not wait for the scrubber', async () => {
  using temporary = temporaryDirectory()
  const { proof, found, options } = scrubbed(temporary.dir)
  const slow = new Scrubber({ ...options, bytesPerSecond: 1 })
  slow.add('a.db', proof)
  slow.start()
  await slow.stop()
  expect([proof.ended, found]).toEqual([false, []])
})
