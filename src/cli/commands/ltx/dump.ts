import { Decoder } from '../../../ltx/codec/decoder.ts'
import { INDEX_TAIL_SIZE } from '../../../ltx/codec/page-index.ts'
import { pageChecksum } from '../../../ltx/format/checksum.ts'
import type { DecodedFrame } from '../../../ltx/format/frame.ts'
import { type Header, HEADER_SIZE, PAGE_HAS_SIZE, PAGE_HEADER_SIZE } from '../../../ltx/format/header.ts'
import { formatChecksum, formatTXID } from '../../../ltx/format/types.ts'
import { readChunks } from '../../../offline/ltx-file.ts'
import { printLine, printText } from '../../output/output.ts'
import type { ProgressBar } from '../../output/progress-bar.ts'
import { byteBar, eachFile, formatTime, hex, printProblem, toJson, totalSize, trailerToJson } from './each-file.ts'
import { hexLines } from './hex-lines.ts'
import { JsonWriter } from './json-writer.ts'

export interface DumpOptions {
  readonly json: boolean
  /** Include the content of the pages. */
  readonly data: boolean
}

/**
 * Prints each page as soon as it is read. This needs memory for one page only, and shows a damaged file up to the
 * damage.
 */
export async function dump(files: readonly string[], { json, data }: DumpOptions): Promise<void> {
  const bar = byteBar(process.stderr.isTTY && !process.stdout.isTTY)
  const totalBytes = await totalSize(files)
  let readBytes = 0
  const count = (bytes: number) => bar.update((readBytes += bytes), totalBytes)
  try {
    if (json) await dumpJson(files, data, count)
    else
      await eachFile(
        files,
        (file) => dumpText(file, data, count),
        (problem) => problemOver(bar, problem),
      )
  } finally {
    bar.stop()
  }
}

function problemOver(bar: ProgressBar, problem: Parameters<typeof printProblem>[0]): void {
  bar.stop()
  printProblem(problem)
}

type Count = (bytes: number) => void

async function dumpText(file: string, data: boolean, count: Count): Promise<void> {
  print('file', file)
  const { decoder, indexAt } = await walk(file, count, printHeader, (frame) => {
    const columns = [frame.pgno, frame.offset, frame.sizeBytes, frame.compressed.length].map((n) => `${n}`.padStart(12))
    printLine(`${columns.join('')}  0x${flagsOf(frame)} ${frame.encoding}  ${checksumOf(frame)}`)
    if (data) for (const line of hexLines(frame.page())) printLine(`    ${line}`)
  })
  const { postApplyChecksum, fileChecksum } = decoder.end()
  printLine('')
  print('page index', `${decoder.pageCount} entries, ${indexSize(decoder, indexAt)} bytes from byte ${indexAt}`)
  print('post-apply', hex(postApplyChecksum))
  print('file checksum', hex(fileChecksum))
  printLine('')
}

/** A damaged file has its pages up to the damage, and `error` in the place of page index and trailer. */
async function dumpJson(files: readonly string[], data: boolean, count: Count): Promise<void> {
  const json = new JsonWriter(printText)
  json.beginArray()
  for (const file of files) {
    json.beginObject()
    json.field('file', file)
    let hasPages = false
    const onHeader = (header: Header) => {
      json.field('header', toJson(header))
      json.beginArray('pages')
      hasPages = true
    }
    const work = async () => {
      const { decoder, indexAt } = await walk(file, count, onHeader, (frame) => {
        const { pgno, offset, sizeBytes, encoding, compressed } = frame
        const place = { pgno, offset, sizeBytes, dataBytes: compressed.length, flags: flagsOf(frame), encoding }
        const content = data ? { data: Buffer.from(frame.page()).toString('hex') } : {}
        json.item({ ...place, checksum: checksumOf(frame), ...content })
      })
      const trailer = trailerToJson(decoder.end())
      json.end()
      hasPages = false
      const pageIndex = { entries: decoder.pageCount, offset: indexAt, sizeBytes: indexSize(decoder, indexAt) }
      json.field('pageIndex', pageIndex)
      json.field('trailer', trailer)
      json.field('sizeBytes', decoder.sizeBytes)
    }
    await eachFile([file], work, ({ error }) => {
      if (hasPages) json.end()
      json.field('error', error)
    })
    json.end()
  }
  json.end()
}

/** Reads a file to its end. The file is valid only if the decoder's `end` then returns. */
async function walk(
  file: string,
  count: Count,
  onHeader: (header: Header) => void,
  onPage: (frame: DecodedFrame) => void,
): Promise<{ decoder: Decoder; indexAt: number }> {
  const decoder = new Decoder()
  let header: Header | undefined
  let pagesEnd = HEADER_SIZE
  for await (const chunk of readChunks(file, count)) {
    decoder.push(chunk)
    if (header === undefined && decoder.header !== undefined) onHeader((header = decoder.header))
    for (let frame = decoder.nextFrame(); frame !== undefined; frame = decoder.nextFrame()) {
      onPage(frame)
      pagesEnd = frame.offset + frame.sizeBytes
    }
  }
  return { decoder, indexAt: pagesEnd + PAGE_HEADER_SIZE }
}

function indexSize(decoder: Decoder, indexAt: number): number {
  return decoder.sizeBytes - INDEX_TAIL_SIZE - indexAt
}

function printHeader(header: Header): void {
  print('flags', `0x${header.flags.toString(16)}`)
  print('page size', `${header.pageSize}`)
  print('commit', `${header.commit}`)
  print('min TXID', formatTXID(header.minTXID))
  print('max TXID', formatTXID(header.maxTXID))
  print('timestamp', `${formatTime(header.timestampMs)} (${header.timestampMs})`)
  print('pre-apply', hex(header.preApplyChecksum))
  print('WAL offset', `${header.walOffset}`)
  print('WAL size', `${header.walSize}`)
  print('WAL salts', [header.walSalt1, header.walSalt2].map((salt) => salt.toString(16).padStart(8, '0')).join(' '))
  print('node id', hex(header.nodeId))
  const titles = ['PGNO', 'OFFSET', 'BYTES', 'DATA BYTES'].map((title) => title.padStart(12))
  printLine('')
  printLine(`${titles.join('')}  FLAGS      CHECKSUM`)
}

function print(name: string, value: string): void {
  printLine(`${name.padEnd(16)}${value}`)
}

function flagsOf(frame: DecodedFrame): number {
  return frame.encoding === 'block' ? PAGE_HAS_SIZE : 0
}

function checksumOf(frame: DecodedFrame): string {
  return formatChecksum(pageChecksum(frame.pgno, frame.page()))
}
