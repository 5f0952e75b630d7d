import { type FileHandle, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { INDEX_TAIL_SIZE, pageIndexRange, readPageIndex } from '../../../ltx/codec/page-index.ts'
import {
  type Header,
  HEADER_SIZE,
  type Trailer,
  unmarshalHeader,
  unmarshalTrailer,
} from '../../../ltx/format/header.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import { openRegular } from '../../../offline/input.ts'
import { type Column, printJson, printTable } from '../../output/output.ts'
import { ProgressBar } from '../../output/progress-bar.ts'
import { eachFile, type FileProblem, formatTime, hex, printProblem, toJson } from './each-file.ts'

interface Listed {
  readonly file: string
  readonly header: Header
  readonly trailer: Trailer
  readonly pages: number
  readonly sizeBytes: number
}

const COLUMNS: readonly Column[] = [
  { title: 'MIN' },
  { title: 'MAX' },
  { title: 'PAGES', align: 'right' },
  { title: 'COMMIT', align: 'right' },
  { title: 'PAGE SIZE', align: 'right' },
  { title: 'BYTES', align: 'right' },
  { title: 'TIMESTAMP' },
  { title: 'PRE-APPLY' },
  { title: 'POST-APPLY' },
  { title: 'FILE' },
]

export async function list(paths: readonly string[], json: boolean): Promise<void> {
  const listed: Listed[] = []
  const problems: FileProblem[] = []
  const failed = (problem: FileProblem) => problems.push(problem)
  const files: string[] = []
  await eachFile(paths, async (path) => void files.push(...(await expand(path))), failed)
  const bar = new ProgressBar((done, total) => `${done} of ${total} files`)
  const work = async (file: string) => {
    listed.push(await read(file))
    bar.update(listed.length, files.length)
  }
  await eachFile(files, work, failed)
  bar.stop()
  if (json) {
    const entries = listed.map(({ file, header, trailer, pages, sizeBytes }) => {
      return { file, pages, sizeBytes, ...toJson(header, trailer) }
    })
    printJson([...entries, ...problems])
    return
  }
  if (listed.length > 0) printTable(COLUMNS, listed.map(toRow))
  problems.forEach(printProblem)
}

/** Replaces a directory with all LTX files below it, in the order of their paths. */
async function expand(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const names = await readdir(path, { recursive: true })
  return names
    .filter((name) => name.endsWith('.ltx'))
    .sort()
    .map((name) => join(path, name))
}

async function read(file: string): Promise<Listed> {
  const handle = await openRegular(file)
  try {
    const { size: sizeBytes } = await handle.stat()
    const header = unmarshalHeader(await readAt(handle, 0, HEADER_SIZE))
    const tail = await readAt(handle, Math.max(0, sizeBytes - INDEX_TAIL_SIZE), INDEX_TAIL_SIZE)
    const range = pageIndexRange(tail, sizeBytes)
    const index = readPageIndex(await readAt(handle, range.start, range.end - range.start), header, range)
    const trailer = unmarshalTrailer(tail.subarray(8), header, range.end + 8)
    return { file, header, trailer, pages: index.count, sizeBytes }
  } finally {
    await handle.close()
  }
}

/** Returns fewer bytes only at the end of the file. The caller checks `length` against the file's size. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

function toRow({ file, header, trailer, pages, sizeBytes }: Listed): string[] {
  return [
    formatTXID(header.minTXID),
    formatTXID(header.maxTXID),
    `${pages}`,
    `${header.commit}`,
    `${header.pageSize}`,
    `${sizeBytes}`,
    formatTime(header.timestampMs),
    hex(header.preApplyChecksum),
    hex(trailer.postApplyChecksum),
    file,
  ]
}
