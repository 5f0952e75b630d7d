/**
 * Which backup a directory holds. A disk that is not mounted leaves an empty directory, or none, which looks like a new
 * backup. So a file in the directory has an id, which a node remembers in its data directory.
 */

import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { z } from 'zod'
import { linkStatus, removeFile, syncDirectory } from '../../util/directories.ts'
import { errorCode, errorMessage, LtxdError } from '../../util/errors.ts'
import type { Files } from '../../util/files.ts'
import { create, lockMode, type Modes } from '../../util/private-files.ts'
import { formatState, parseState, readState, StateDamagedError, writeState } from '../../util/state-file.ts'
import { openRegular, withRoot } from './beneath.ts'
import { withFileLock } from './file-lock.ts'
import { BACKUP_NAME, LOCK_NAME, TEMPORARY_PREFIX } from './walk.ts'

/** Where a node remembers its backup. */
export interface Memory {
  readonly files: Files
  readonly path: string
}

const MARKER = { format: 1, schema: z.strictObject({ id: z.string() }) }
const REMEMBERED = { format: 1, schema: z.strictObject({ url: z.string(), id: z.string() }) }
const MAX_MARKER_BYTES = 4096

/** The directory is not the backup that it was: its disk is not mounted, or another one is. */
export class OtherBackupError extends LtxdError {
  constructor(root: string, found: string, memory: Memory) {
    super(
      'BACKUP_OTHER',
      `${root} is not the backup that this node has used: ${found}. Mount its disk. ` +
        `If it is to be the backup from now on, also without what the other one holds, remove ${memory.path}`,
    )
  }
}

/** A found marker; `id` is undefined where it is damaged. */
interface Found {
  readonly id: string | undefined
  readonly problem?: string
}

export class Identity {
  readonly #root: string
  readonly #url: string
  readonly #memory: Memory
  /** The marker that had the right id. */
  #seen: { readonly dev: number; readonly ino: number } | undefined

  constructor(root: string, url: string, memory: Memory) {
    this.#root = root
    this.#url = url
    this.#memory = memory
  }

  /** Returns whether the directory has its id: a new backup has none yet. Throws OtherBackupError. */
  async check(): Promise<boolean> {
    const isThere = await withRoot(this.#root, (at) => this.#checkAt(at))
    if (isThere !== undefined) return isThere
    if (this.#remembered() === undefined) return false
    throw new OtherBackupError(this.#root, 'it does not exist', this.#memory)
  }

  /** Before the first object is put. Makes the directory. Throws OtherBackupError. */
  async establish(modes: Modes): Promise<void> {
    if (await this.check()) return
    await withRoot(
      this.#root,
      async (at) => {
        const lock = { path: `${at}/${LOCK_NAME}`, named: `${this.#root}/${LOCK_NAME}` }
        await withFileLock(lock, lockMode(modes), () => makeMarker(at, modes.file))
        if (await this.#checkAt(at)) return
        throw new OtherBackupError(this.#root, `${BACKUP_NAME} in it was removed meanwhile`, this.#memory)
      },
      modes.directory,
    )
  }

  async #checkAt(at: string): Promise<boolean> {
    const path = `${at}/${BACKUP_NAME}`
    const info = await linkStatus(path)
    if (info !== undefined && info.ino === this.#seen?.ino && info.dev === this.#seen.dev) return true
    this.#seen = undefined
    const remembered = this.#remembered()
    const found = info && (await readMarker(path))
    if (found === undefined && remembered === undefined) return false
    if (found?.id === undefined || (remembered !== undefined && remembered !== found.id)) {
      throw new OtherBackupError(this.#root, describe(found), this.#memory)
    }
    const { files, path: memory } = this.#memory
    if (remembered === undefined) writeState(files, memory, REMEMBERED.format, { url: this.#url, id: found.id }, 2)
    if (info !== undefined) this.#seen = { dev: info.dev, ino: info.ino }
    return true
  }

  /** The id of the backup at this URL. What cannot be read says nothing: a backup that has an id is remembered anew. */
  #remembered(): string | undefined {
    const { files, path } = this.#memory
    try {
      const remembered = readState(files, path, REMEMBERED)
      return remembered?.url === this.#url ? remembered.id : undefined
    } catch (error) {
      if (error instanceof StateDamagedError) return undefined
      throw error
    }
  }
}

function describe(found: Found | undefined): string {
  if (found === undefined) return `it has no file ${BACKUP_NAME}`
  return found.id === undefined ? `${BACKUP_NAME} in it ${found.problem ?? ''}` : `${BACKUP_NAME} in it has another id`
}

async function readMarker(path: string): Promise<Found | undefined> {
  try {
    const handle = await openRegular(path)
    try {
      const bytes = Buffer.alloc(MAX_MARKER_BYTES)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
      return parseState(path, bytes.toString('utf8', 0, bytesRead), MARKER)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    if (error instanceof Error && 'syscall' in error && errorCode(error) !== 'ELOOP') throw error
    return { id: undefined, problem: `cannot be read (${errorMessage(error).replaceAll(path, BACKUP_NAME)})` }
  }
}

/** Under the lock: another node may have made it meanwhile. */
async function makeMarker(at: string, mode: number): Promise<void> {
  if ((await linkStatus(`${at}/${BACKUP_NAME}`)) !== undefined) return
  const id = randomBytes(8).toString('hex')
  const temporary = `${at}/${TEMPORARY_PREFIX}${id}`
  try {
    const handle = await create(temporary, 'wx', mode)
    try {
      await handle.writeFile(formatState(MARKER.format, { id }, 2))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, `${at}/${BACKUP_NAME}`)
  } finally {
    await removeFile(temporary)
  }
  await syncDirectory(at)
}
