import { createReadStream } from 'node:fs'
import { pageChecksum } from '../../ltx/checksum.ts'
import { Decoder } from '../../ltx/decoder.ts'
import type { DecodedFrame } from '../../ltx/frame.ts'
import { HEADER_SIZE, PAGE_HEADER_SIZE, type Header } from '../../ltx/header.ts'
import { INDEX_TAIL_SIZE } from '../../ltx/page-index.ts'
import { formatChecksum, formatTXID } from '../../ltx/types.ts'
import { printJson } from '../output.ts'
import { eachFile, formatTime, hex, printProblem, toJson, trailerToJson } from './each-file.ts'
import { CHUNK_BYTES } from './verify.ts'

export interface DumpOptions {
  readonly json: boolean
  /** With the pages' content. */
  readonly data: boolean
}

export async function dump(files: readonly string[], { json, data }: DumpOptions): Promise<void> {
  if (!json) return eachFile(files, (file) => dumpText(file, data), printProblem)
  const documents: unknown[] = []
  const failed = (problem: unknown) => documents.push(problem)
  await eachFile(files, async (file) => void documents.push(await dumpJson(file, data)), failed)
  printJson(documents)
}

/** What is read is shown at once, so of a broken file all that stands before the break is seen. */
async function dumpText(file: string, data: boolean): Promise<void> {
  print('file', file)
  const { decoder, indexAt } = await walk(file, printHeader, (frame) => {
    const columns = [`${frame.pgno}`, `${frame.offset}`, `${frame.sizeBytes}`].map((cell) => cell.padStart(12))
    process.stdout.write(`${columns.join('')}  ${frame.encoding}  ${checksumOf(frame)}\n`)
    if (data) process.stdout.write(hexdump(frame.page()))
  })
  const { postApplyChecksum, fileChecksum } = decoder.end()
  process.stdout.write('\n')
  print('page index', `${decoder.pageCount} entries, ${indexSize(decoder, indexAt)} bytes from byte ${indexAt}`)
  print('post-apply', hex(postApplyChecksum))
  print('file checksum', hex(fileChecksum))
  process.stdout.write('\n')
}

async function dumpJson(file: string, data: boolean): Promise<unknown> {
  const pages: unknown[] = []
  const { decoder, indexAt } = await walk(
    file,
    () => {},
    (frame) => {
      const { pgno, offset, sizeBytes, encoding } = frame
      const content = data ? { data: Buffer.from(frame.page()).toString('hex') } : {}
      pages.push({ pgno, offset, sizeBytes, encoding, checksum: checksumOf(frame), ...content })
    },
  )
  const trailer = trailerToJson(decoder.end())
  const pageIndex = { entries: decoder.pageCount, offset: indexAt, sizeBytes: indexSize(decoder, indexAt) }
  return { file, sizeBytes: decoder.sizeBytes, header: toJson(decoder.header!), pages, pageIndex, trailer }
}

/** Reads a file to its end. It is known to be right when the decoder's `end` returns. */
async function walk(
  file: string,
  onHeader: (header: Header) => void,
  onPage: (frame: DecodedFrame) => void,
): Promise<{ decoder: Decoder; indexAt: number }> {
  const decoder = new Decoder()
  let header: Header | undefined
  let pagesEnd = HEADER_SIZE
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
    decoder.push(chunk as Uint8Array)
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
  process.stdout.write(
    `\n${['PGNO', 'OFFSET', 'BYTES'].map((title) => title.padStart(12)).join('')}  LZ4    CHECKSUM\n`,
  )
}

function print(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(16)}${value}\n`)
}

function checksumOf(frame: DecodedFrame): string {
  return formatChecksum(pageChecksum(frame.pgno, frame.page()))
}

/** Sixteen bytes a line; rows that repeat the one before are left out, as hexdump(1) does. */
function hexdump(page: Uint8Array): string {
  const lines: string[] = []
  let before = ''
  for (let at = 0; at < page.length; at += 16) {
    const row = Buffer.from(page.buffer, page.byteOffset + at, 16)
    const digits = row.toString('hex').replace(/../g, '$& ')
    const text = row.toString('latin1').replace(/[^ -~]/g, '.')
    if (digits !== before) lines.push(`    ${at.toString(16).padStart(5, '0')}  ${digits} ${text}`)
    else if (lines.at(-1) !== '    *') lines.push('    *')
    before = digits
  }
  return `${lines.join('\n')}\n`
}
