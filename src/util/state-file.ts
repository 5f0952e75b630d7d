/**
 * Small JSON files in which ltxd notes its own state. Each has the number of its format (format-number.ts) and a CRC-32
 * of its other keys and values, under `checksum`, so that a flipped bit is found. Version 0.1 wrote neither: a file
 * without a checksum must have exactly the expected keys.
 */

import fs from 'node:fs'
import { crc32 } from 'node:zlib'
import type { z } from 'zod'
import { errorMessage, LtxdError } from './errors.ts'
import { type Files, replaceFile, withFile } from './files.ts'
import { assertFormat } from './format-number.ts'

/** Nothing that ltxd notes is larger (I10). */
const MAX_BYTES = 64 * 1024

/** The file is not as ltxd wrote it. */
export class StateDamagedError extends LtxdError {
  /** What is wrong, without the file's name. */
  readonly problem: string

  constructor(path: string, problem: string, advice?: string) {
    super('STATE_DAMAGED', `${path} is damaged: ${problem}${advice === undefined ? '' : `. ${advice}`}`)
    this.problem = problem
  }
}

export interface StateFormat<T> {
  /** Version 0.1 wrote these keys, and no others. */
  readonly schema: z.ZodType<T>
  /** The one that is written. */
  readonly format: number
}

/** The text of a state file. `indent` is for files that people read. */
export function formatState(format: number, state: object, indent?: number): string {
  const content = { format, ...state }
  return JSON.stringify({ ...content, checksum: checksumOf(content) }, undefined, indent) + '\n'
}

/** Throws StateDamagedError, and UnknownFormatError for what a later version wrote. */
export function parseState<T>(path: string, text: string, { schema, format }: StateFormat<T>): T {
  if (text.length > MAX_BYTES) throw new StateDamagedError(path, `it has more than ${MAX_BYTES} bytes`)
  let stored: unknown
  try {
    stored = JSON.parse(text)
  } catch (error) {
    throw new StateDamagedError(path, `it is not JSON (${shortened(errorMessage(error))})`)
  }
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) {
    throw new StateDamagedError(path, 'it is not an object')
  }
  const { checksum, ...content } = stored as Record<string, unknown>
  if (checksum !== undefined && checksum !== checksumOf(content)) {
    throw new StateDamagedError(
      path,
      `its checksum is ${checksumOf(content)}, not ${shortened(JSON.stringify(checksum))}`,
    )
  }
  assertFormat(path, content, [format])
  const { format: _, ...state } = content
  const parsed = schema.safeParse(state)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const place = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
  throw new StateDamagedError(path, shortened(`${place}${issue?.message ?? 'it has another content'}`))
}

/** undefined if there is no file. Throws StateDamagedError, and UnknownFormatError for what a later version wrote. */
export function readState<T>(files: Files, path: string, format: StateFormat<T>): T | undefined {
  if (!files.exists(path)) return undefined
  const bytes = withFile(files, path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK, (fd) => {
    const into = new Uint8Array(MAX_BYTES + 1)
    return into.subarray(0, files.read(fd, into, 0, into.length, 0))
  })
  return parseState(path, Buffer.from(bytes).toString('utf8'), format)
}

/** After a crash the file has either its old content or the new. */
export function writeState(files: Files, path: string, format: number, state: object, indent?: number): void {
  replaceFile(files, path, Buffer.from(formatState(format, state, indent)))
}

function checksumOf(content: object): string {
  return crc32(JSON.stringify(content)).toString(16).padStart(8, '0')
}

/** In one line. */
function shortened(text: string): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ')
  return line.length > 120 ? `${line.slice(0, 120)}…` : line
}
