import fs from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { type Checksum, type Position, toTXID } from '../ltx/format/types.ts'
import { type Files, nodeFiles } from '../util/files.ts'
import { inspectLog, openLog } from './open.ts'
import { finishReplacements, removeLog, replaceLog } from './replace.ts'
import { createLog, listLogs } from './store.ts'
import { LogWriter } from './writer.ts'

const OPTIONS = { segmentSizeBytes: 1 << 20 }
const BASE: Position = { txid: toTXID(40), checksum: 0x8000000000000abcn as Checksum }
const OLD_BASE: Position = { txid: toTXID(0xf0), checksum: 0x8000000000000defn as Checksum }
const checksumAfter = (txid: bigint) => (0x8000000000000000n + txid) as Checksum

function append(log: LogWriter): void {
  const txid = toTXID(log.position.txid + 1n)
  const header = {
    ...{ flags: 0, pageSize: 512, commit: 1, minTXID: txid, maxTXID: txid, timestampMs: 1, nodeId: 1n },
    ...{ walOffset: 0, walSize: 0, walSalt1: 0, walSalt2: 0 },
    preApplyChecksum: log.position.checksum,
  }
  log.append(header, (encoder) => {
    encoder.writePage(1, new Uint8Array(512))
    return checksumAfter(txid)
  })
}

const OLD_LAST = 0xf3n

/** A log of three transactions below `dir`, and its directory. */
function oldLog(dir: string): string {
  const log = `${dir}/log/a.db.ltx`
  createLog(nodeFiles, log, OLD_BASE)
  const writer = new LogWriter(nodeFiles, log, OLD_BASE, 0, OPTIONS)
  for (let i = 0; i < 3; i++) append(writer)
  writer.close()
  return log
}

test('a new log takes the place of the old one and continues from there', () => {
  using temporary = temporaryDirectory()
  const dir = oldLog(temporary.dir)
  const writer = replaceLog(nodeFiles, dir, BASE, OPTIONS, append)
  append(writer)
  writer.close()
  const { base, first, last } = inspectLog(nodeFiles, dir)
  expect({ base, first, last }).toEqual({ base: BASE, first: 41n, last: { txid: 42n, checksum: checksumAfter(42n) } })
  expect(fs.readdirSync(`${temporary.dir}/log`)).toEqual(['a.db.ltx'])
})

test('if the new log cannot be written the old one stays', () => {
  using temporary = temporaryDirectory()
  const dir = oldLog(temporary.dir)
  const fill = (writer: LogWriter) => {
    append(writer)
    throw new Error('not what was announced')
  }
  expect(() => replaceLog(nodeFiles, dir, BASE, OPTIONS, fill)).toThrow('not what was announced')
  expect(inspectLog(nodeFiles, dir).last.txid).toBe(OLD_LAST)
  expect(fs.readdirSync(`${temporary.dir}/log`)).toEqual(['a.db.ltx'])
})

const CRASH = new Error('crash')

/** Files that fail after a number of changes, as in a crash. */
function crashingAfter(steps: number): Files {
  let left = steps
  const step = () => {
    if (left-- === 0) throw CRASH
  }
  return {
    ...nodeFiles,
    write: (...parameters) => (step(), nodeFiles.write(...parameters)),
    unlink: (path) => (step(), nodeFiles.unlink(path)),
    rename: (from, to) => (step(), nodeFiles.rename(from, to)),
    makeDirectory: (path) => (step(), nodeFiles.makeDirectory(path)),
    removeDirectory: (path) => (step(), nodeFiles.removeDirectory(path)),
    sync: (fd) => (step(), nodeFiles.sync(fd)),
    syncDirectory: (path) => (step(), nodeFiles.syncDirectory(path)),
  }
}

/** Whether `work` completed. */
function completes(work: () => void): boolean {
  try {
    work()
    return true
  } catch (error) {
    expect([error, (error as Error).cause]).toContain(CRASH)
    return false
  }
}

test('I2: a crash at any step leaves the old log or the new one', () => {
  const outcomes: bigint[] = []
  for (let steps = 0, complete = false; !complete; steps++) {
    using temporary = temporaryDirectory()
    const dir = oldLog(temporary.dir)
    complete = completes(() => replaceLog(crashingAfter(steps), dir, BASE, OPTIONS, append).close())
    finishReplacements(nodeFiles, `${temporary.dir}/log`, expect.unreachable)
    outcomes.push(inspectLog(nodeFiles, dir).last.txid)
    expect(fs.readdirSync(`${temporary.dir}/log`)).toEqual(['a.db.ltx'])
  }
  const turn = outcomes.indexOf(41n)
  expect(turn).toBeGreaterThan(5)
  expect(outcomes).toEqual(outcomes.map((_, i) => (i < turn ? OLD_LAST : 41n)))
})

test('I2: a crash at any step of a removal leaves the whole log, or nothing that a new log would continue', () => {
  const outcomes: boolean[] = []
  for (let steps = 0, complete = false; !complete; steps++) {
    using temporary = temporaryDirectory()
    const dir = oldLog(temporary.dir)
    complete = completes(() => removeLog(crashingAfter(steps), dir))
    finishReplacements(nodeFiles, `${temporary.dir}/log`, expect.unreachable)
    outcomes.push(listLogs(nodeFiles, temporary.dir).includes('a.db'))
    const log = openLog(nodeFiles, dir, OPTIONS)
    expect(log.position.txid).toBe(outcomes.at(-1) === true ? OLD_LAST : 0n)
    log.close()
    expect(fs.readdirSync(`${temporary.dir}/log`)).toEqual(['a.db.ltx'])
  }
  expect(outcomes[0]).toBe(true)
  expect(outcomes.slice(1)).toEqual(outcomes.slice(1).map(() => false))
  expect(outcomes.length).toBeGreaterThan(4)
})
