import { constants, createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { loadMetadata } from '../../src/backup/history/history.ts'
import { formatMetadata, parseMetadata } from '../../src/backup/history/metadata.ts'
import type { Plan } from '../../src/backup/history/plan.ts'
import { restoreDatabase, type RestoreResult as Restored } from '../../src/backup/restore/restore.ts'
import { planFromStore } from '../../src/backup/restore/way-round.ts'
import { foldChecksum, pageChecksum } from '../../src/ltx/format/checksum.ts'
import {
  type Checksum,
  EMPTY_CHECKSUM,
  formatChecksum,
  formatTXID,
  lockPgno,
  toTXID,
  type TXID,
} from '../../src/ltx/format/types.ts'
import { ObjectExistsError } from '../../src/objectstore/errors.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader } from '../../src/sqlite/database-header.ts'
import { LtxdError } from '../../src/util/errors.ts'
import { OutputExistsError } from '../../src/util/new-file.ts'
import { inOutputDirectory } from '../output-directory.ts'
import { assertBlocksNoDatabase } from '../output-names.ts'
import { type Payload, toTarget, txidTarget } from '../payloads.ts'
import type { RestoreContext } from './context.ts'

export interface RestoreJobResult {
  readonly database: string
  readonly txid: string
  readonly checksum: string
  /** Whether the backup records the checksum too. */
  readonly verified: boolean
  /** A file's path, or an object's key. */
  readonly output: string
  /** The keys of damaged or missing objects, in whose place others were read. */
  readonly avoided?: readonly string[]
}

/** The worker has no directory for restored files. */
class NoOutputDirectoryError extends LtxdError {
  constructor() {
    super(
      'OUTPUT_DIRECTORY_MISSING',
      'this worker writes no files: start it with --output-dir DIR, the directory for restores, ' +
        'or restore to an object key',
      2,
    )
  }
}

/**
 * Restores a database to a file or an object. If the output exists and holds exactly that state, the job succeeds: an
 * earlier attempt finished but could not report it. Throws the errors of `restoreDatabase`, NoOutputDirectoryError,
 * ObjectExistsError.
 */
export async function restore(payload: Payload<'restore'>, context: RestoreContext): Promise<RestoreJobResult> {
  const { database, output } = payload
  const plan = await planFromStore(context.store, database, toTarget(payload.target))
  const { max: txid } = plan.at(-1) ?? plan[0]
  if (payload.target.kind !== 'txid') await context.pin(txidTarget(txid))
  const state =
    'path' in output
      ? await toFile(payload, output.path, plan, txid, context)
      : await toObject(payload, output, txid, context)
  return {
    database,
    txid: formatTXID(txid),
    checksum: formatChecksum(state.checksum),
    verified: state.verified,
    output: 'path' in output ? output.path : output.key,
    ...(state.avoided.length > 0 && { avoided: state.avoided.map(({ key }) => key) }),
  }
}

type State = Pick<Restored, 'checksum' | 'verified' | 'avoided'>

async function toFile(
  { database }: Payload<'restore'>,
  path: string,
  plan: Plan,
  txid: TXID,
  { store, outputDir, signal, progress }: RestoreContext,
): Promise<State> {
  if (outputDir === undefined) throw new NoOutputDirectoryError()
  return inOutputDirectory(outputDir, path, async (target) => {
    await removeUnfinished(target)
    try {
      return await restoreDatabase(store, database, { kind: 'txid', txid }, target, { signal, progress })
    } catch (error) {
      if (!(error instanceof OutputExistsError)) throw error
      const { postApplyChecksum: expected, pageSize } = await loadMetadata(store, plan.at(-1) ?? plan[0])
      if (expected === undefined || (await fileChecksum(target, pageSize)) !== expected) throw error
      return { checksum: expected, verified: true, avoided: [] }
    }
  })
}

/** Restores to a temporary file first: pages arrive in any order, and an object is written from its beginning. */
async function toObject(
  { database }: Payload<'restore'>,
  output: { readonly key: string; readonly store?: string | undefined },
  txid: TXID,
  { store, openStore, signal, progress }: RestoreContext,
): Promise<State> {
  const into = output.store === undefined ? store : openStore(output.store)
  assertBlocksNoDatabase(output.key, into.layout)
  const directory = await mkdtemp(join(tmpdir(), 'ltxd-restore-'))
  try {
    const path = join(directory, 'database')
    const restored = await restoreDatabase(store, database, { kind: 'txid', txid }, path, { signal, progress })
    await putDatabase(into, output.key, path, restored, signal)
    return restored
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function putDatabase(
  into: ObjectStore,
  key: string,
  path: string,
  restored: Restored,
  signal: AbortSignal,
): Promise<void> {
  const { txid, checksum, pageSize, commit, timestampMs } = restored
  const metadata = formatMetadata(toTXID(1), txid, { timestampMs, postApplyChecksum: checksum, pageSize, commit })
  try {
    await into.put(key, createReadStream(path), { ifNoneMatch: '*', metadata, timestampMs, signal })
  } catch (error) {
    if (!(error instanceof ObjectExistsError)) throw error
    const head = await into.head(key)
    if (head === undefined || parseMetadata(head.metadata).postApplyChecksum !== checksum) throw error
  }
}

/** Removes the unfinished files of killed attempts. An attempt that still runs finds nothing to publish. */
async function removeUnfinished(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => [])
  for (const name of names) {
    if (name.startsWith(`${basename(path)}.ltxd-restore-`)) await rm(join(dirname(path), name), { force: true })
  }
}

/**
 * The checksum of the database in the file; undefined for other content, and for what is no regular file. An encrypted
 * one does not tell its page size.
 */
async function fileChecksum(path: string, encryptedPageSize: number | undefined): Promise<Checksum | undefined> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) return undefined
    const header = Buffer.alloc(DATABASE_HEADER_SIZE)
    await file.read(header, 0, header.length, 0)
    const pageSize = parseDatabaseHeader(header)?.pageSize ?? encryptedPageSize
    if (pageSize === undefined) return undefined
    const page = Buffer.alloc(pageSize)
    let checksum: Checksum = EMPTY_CHECKSUM
    for (let pgno = 1; (await file.read(page, 0, pageSize, (pgno - 1) * pageSize)).bytesRead === pageSize; pgno++) {
      if (pgno !== lockPgno(pageSize)) checksum = foldChecksum(checksum, pageChecksum(pgno, page))
    }
    return checksum
  } finally {
    await file.close()
  }
}
