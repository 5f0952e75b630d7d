import fs from 'node:fs'
import { Database } from '../capture/database.ts'
import type { DatabaseOptions } from '../capture/database-options.ts'
import { FsError } from '../fuse/errno.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { Logs } from '../log/logs.ts'
import { effectiveLog } from '../log/replace.ts'
import { logDirectory } from '../log/store.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { errorCode, LtxdError } from '../util/errors.ts'
import { parentOf } from '../util/files.ts'
import { foreseeRejection } from './foresight.ts'
import type { Scene } from './leftovers.ts'
import { inspectLeftovers } from './leftovers.ts'
import type { RecoveryFacts, RecoveryPlan } from './plan.ts'
import { planRecovery } from './plan.ts'
import type { RecoveryOptions } from './recovery.ts'
import { Recovery } from './recovery.ts'
import { Unrecoverable } from './residue.ts'

export type { RecoveryOptions } from './recovery.ts'

const DEFAULT_WHOLE_READ_BYTES = 16 << 20

type Location = Pick<RecoveryOptions, 'files' | 'dataDir' | 'root' | 'mountDir' | 'name' | 'wholeReadBytes'>

export interface PlannedRecovery {
  /** undefined if the log cannot be read. */
  readonly facts: RecoveryFacts | undefined
  readonly plan: RecoveryPlan
}

/**
 * Plans what `recoverDatabase` would do, and changes nothing. With `foresee`, it also reads all pages and predicts
 * whether they will be correct.
 */
export function planDatabase(options: Location, foresee: boolean): PlannedRecovery {
  try {
    assertUsableName(options)
    const scene = sceneOf(options)
    const found = inspectLeftovers(scene)
    const plan = planRecovery(found.facts)
    const reason = foresee && plan.kind === 'recover' ? foreseeRejection(scene, found, plan.steps) : undefined
    return { facts: found.facts, plan: reason === undefined ? plan : { kind: 'refuse', reason } }
  } catch (error) {
    return { facts: undefined, plan: { kind: 'refuse', reason: reasonOf(error, options) } }
  }
}

/** What a person can do about a database that is not served. */
export function rejectionAdvice(dataDir: string, name: string): string {
  return `restore it with "ltxd restore", or move its file and ${logDirectory(dataDir, name)} away together`
}

/**
 * Brings one database from whatever a crash left to the state of its log (I3), and captures committed transactions that
 * the log lacks. Returns undefined if there is no database. A database that cannot be recovered is returned with its
 * `rejection`; nothing more is written to it.
 */
export function recoverDatabase(options: RecoveryOptions): Database | undefined {
  const scene = sceneOf(options)
  try {
    assertUsableName(options)
    return new Recovery(options, databaseOptionsOf(options), scene.logDir, inspectLeftovers(scene)).run()
  } catch (error) {
    const advice = error instanceof Unrecoverable ? error.advice : undefined
    return rejectedDatabase(options, reasonOf(error, options), advice)
  }
}

/** A database that is not served, and to which nothing is written. */
export function rejectedDatabase(
  options: RecoveryOptions,
  reason: string,
  advice = rejectionAdvice(options.dataDir, options.name),
): Database {
  const { name, events } = options
  events.log('error', `database not served: ${reason}`, { database: name, advice })
  const rejected = new Database(databaseOptionsOf(options))
  rejected.rejection = `${reason}; ${advice}`
  return rejected
}

/** Version 0.1 tracked databases whose names are now rejected. Throws LtxdError. */
function assertUsableName({ name, dataDir, root }: Location): void {
  const problem = databaseNameProblem(name)
  if (problem === undefined) return
  throw new LtxdError(
    'DATABASE_NAME_INVALID',
    `no database can have its name: ${problem}. To keep it, stop the node, rename ${root}/${name} (with its -wal and ` +
      `-journal, if there are any), and move ${logDirectory(dataDir, name)} away: it begins anew under the other name`,
  )
}

function databaseOptionsOf(options: RecoveryOptions): DatabaseOptions {
  const { files, dataDir } = options
  return {
    ...options,
    path: sceneOf(options).path,
    logs: new Logs(files, dataDir, { ...options, failed: (name, error) => options.events.logFailed?.(name, error) }),
  }
}

/** What V8 says of an array or a map that is too large for it, or for the machine. */
const OUT_OF_MEMORY = /allocation failed|Invalid (typed )?array length|maximum size exceeded/

/**
 * Why one database cannot be recovered, which never stops the others: what ltxd found wrong with it, or what the system
 * said (a directory or a link in its place, a file that cannot be read). Throws any other error.
 */
function reasonOf(error: unknown, options: Location): string {
  if (error instanceof LtxdError || error instanceof LTXError || error instanceof FsError) return error.message
  if (error instanceof RangeError && OUT_OF_MEMORY.test(error.message)) {
    return `it needs more memory than there is (${error.message})`
  }
  if (!(error instanceof Error) || !('syscall' in error)) throw error
  const misplaced = findMisplaced(options)
  return misplaced === undefined
    ? `it cannot be read (${error.message})`
    : `${misplaced}, as it would be if ltxd had made it (${error.message})`
}

/** A directory, a link or the like in the place of one of the database's files, or a file in that of its log. */
function findMisplaced(options: Location): string | undefined {
  const { path, logDir } = sceneOf(options)
  const isNot = (of: string, kind: 'isFile' | 'isDirectory') => statusOf(of)?.[kind]() === false
  const folders = ancestorsBelow(options.dataDir, logDir)
  const folder = [...folders, logDir].find((directory) => isNot(directory, 'isDirectory'))
  if (folder !== undefined) return `${folder} is no directory`
  const inLog = options.files.exists(logDir) ? options.files.list(logDir).map((entry) => `${logDir}/${entry}`) : []
  const file = [path, `${path}-journal`, `${path}-wal`, ...inLog].find((each) => isNot(each, 'isFile'))
  return file === undefined ? undefined : `${file} is no regular file`
}

function ancestorsBelow(root: string, path: string): string[] {
  const parent = parentOf(path)
  return parent.length <= root.length ? [] : [...ancestorsBelow(root, parent), parent]
}

/** undefined where there is no such name, or what should be a directory above it is none. */
function statusOf(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

function sceneOf(location: Location): Scene {
  const { files, dataDir, root, mountDir, name, wholeReadBytes = DEFAULT_WHOLE_READ_BYTES } = location
  return {
    files,
    root,
    mountDir,
    path: `${root}/${name}`,
    logDir: effectiveLog(files, logDirectory(dataDir, name)),
    wholeReadBytes,
  }
}
