import { closeSync } from 'node:fs'
import { anatomy, type Part, type ReadAt } from '../../../ltx/anatomy.ts'
import { openRegularSync } from '../../../offline/input.ts'
import { nodeFiles } from '../../../util/files.ts'
import { printLine, printText } from '../../output/output.ts'
import { eachFile, printProblem } from './each-file.ts'
import { HEX_WIDTH, hexOf, textOf } from './hex-lines.ts'
import { JsonWriter } from './json-writer.ts'

export interface HexdumpOptions {
  readonly all?: true
  readonly data?: true
  readonly json?: true
}

const SHOWN_PAGES = 16
const ROW_BYTES = 16
const PARTS_A_TURN = 256
const CACHE_BYTES = 1 << 20

/** Prints every structure of a file with its bytes. An invalid one is marked, and sets the exit code to 1. */
export async function hexdump(file: string, { all, data, json }: HexdumpOptions): Promise<void> {
  const options = {
    maxPages: all === true ? Infinity : SHOWN_PAGES,
    maxDataBytes: data === true ? Infinity : ROW_BYTES,
  }
  const writer = new JsonWriter(printText)
  const print = async () => {
    const source = openSource(file)
    let parts = 0
    try {
      for (const part of anatomy(source.read, source.sizeBytes, options)) {
        if (part.problem !== undefined) process.exitCode = 1
        if (json === true) writer.item(toJson(part))
        else linesOf(part).forEach(printLine)
        // Node.js notices a closed pipe only between turns of the event loop.
        if (++parts % PARTS_A_TURN === 0) await turn()
      }
    } finally {
      source.close()
    }
  }
  if (json === true) {
    writer.beginArray()
    await eachFile([file], print, ({ error }) => writer.item({ error }))
    writer.end()
  } else {
    printLine(`${'OFFSET'.padStart(OFFSET_WIDTH)}  ${'BYTES'.padEnd(HEX_WIDTH)}  MEANING`)
    await eachFile([file], print, printProblem)
  }
}

const OFFSET_WIDTH = 12

function linesOf({ offset, sizeBytes, bytes, field, meaning, problem }: Part): string[] {
  const wrong = problem === undefined ? '' : `  <-- wrong: ${problem}`
  if (field === undefined) return [`${''.padStart(OFFSET_WIDTH)}  ${meaning}`]
  const lines: string[] = []
  for (let at = 0; at === 0 || at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES)
    const text = field === 'page data' ? textOf(row) : ''
    const right = at === 0 ? `${field}: ${meaning}${wrong}` : text
    lines.push(`${`${offset + at}`.padStart(OFFSET_WIDTH)}  ${hexOf(row).padEnd(HEX_WIDTH)}  ${right}`.trimEnd())
  }
  const left = sizeBytes - bytes.length
  if (left > 0) lines.push(`${''.padStart(OFFSET_WIDTH)}  … ${left} bytes`)
  return lines
}

function toJson({ offset, sizeBytes, bytes, field, meaning, problem }: Part): Record<string, unknown> {
  if (field === undefined) return { omitted: meaning }
  const hex = Buffer.from(bytes).toString('hex')
  return { offset, sizeBytes, hex, field, meaning, ...(problem === undefined ? {} : { problem }) }
}

/** A file for random reads, with a buffer because most reads move forward. */
function openSource(file: string): { read: ReadAt; sizeBytes: number; close(): void } {
  const fd = openRegularSync(file)
  try {
    const sizeBytes = nodeFiles.size(fd)
    const cache = Buffer.allocUnsafe(CACHE_BYTES)
    let start = 0
    let end = 0
    const read: ReadAt = (offset, length) => {
      const wanted = Math.min(length, Math.max(0, sizeBytes - offset))
      if (wanted > CACHE_BYTES) {
        const bytes = Buffer.allocUnsafe(wanted)
        return bytes.subarray(0, nodeFiles.read(fd, bytes, 0, wanted, offset))
      }
      if (offset < start || offset + wanted > end) {
        start = offset
        end = offset + nodeFiles.read(fd, cache, 0, CACHE_BYTES, offset)
      }
      return cache.subarray(offset - start, Math.min(offset + wanted, end) - start)
    }
    return { read, sizeBytes, close: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
