import { Database } from '../capture/database.ts'
import { Logs } from '../log/logs.ts'
import { effectiveLog } from '../log/replace.ts'
import { logDirectory } from '../log/store.ts'
import { LtxdError } from '../util/errors.ts'
import { foreseeRejection } from './foresight.ts'
import type { Scene } from './leftovers.ts'
import { inspectLeftovers } from './leftovers.ts'
import type { RecoveryFacts, RecoveryPlan } from './plan.ts'
import { planRecovery } from './plan.ts'
import type { RecoveryOptions } from './recovery.ts'
import { Recovery } from './recovery.ts'

export type { RecoveryOptions } from './recovery.ts'

const DEFAULT_WHOLE_READ_BYTES = 16 << 20

type Location = Pick<RecoveryOptions, 'files' | 'dataDir' | 'root' | 'name' | 'wholeReadBytes'>

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
    const scene = sceneOf(options)
    const found = inspectLeftovers(scene)
    const plan = planRecovery(found.facts)
    const reason = foresee && plan.kind === 'recover' ? foreseeRejection(scene, found, plan.steps) : undefined
    return { facts: found.facts, plan: reason === undefined ? plan : { kind: 'refuse', reason } }
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    return { facts: undefined, plan: { kind: 'refuse', reason: error.message } }
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
  const { files, name, dataDir, events } = options
  const scene = sceneOf(options)
  const databaseOptions = { ...options, path: scene.path, logs: new Logs(files, dataDir, options) }
  try {
    return new Recovery(options, databaseOptions, scene.logDir, inspectLeftovers(scene)).run()
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    const advice = rejectionAdvice(dataDir, name)
    events.log('error', `database not served: ${error.message}`, { database: name, advice })
    const rejected = new Database(databaseOptions)
    rejected.rejection = `${error.message}; ${advice}`
    return rejected
  }
}

function sceneOf({ files, dataDir, root, name, wholeReadBytes = DEFAULT_WHOLE_READ_BYTES }: Location): Scene {
  return {
    files,
    root,
    path: `${root}/${name}`,
    logDir: effectiveLog(files, logDirectory(dataDir, name)),
    wholeReadBytes,
  }
}
