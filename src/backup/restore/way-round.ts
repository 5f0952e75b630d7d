/**
 * Reads a backup around its damage. Levels and older snapshots hold most transactions more than once, so a plan
 * without a damaged or missing object often ends at the same transaction.
 */

import { type Checksum, formatChecksum, formatTXID } from '../../ltx/format/types.ts'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { ChecksumMismatchError, CorruptObjectError, MISSING, NoWayRoundError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, loadMetadata, requireHistory } from '../history/history.ts'
import { newestWithout, type Plan, planAround, planRestore, type Target } from '../history/plan.ts'
import { PageChecksums } from '../history/replay.ts'
import { doubtAbout, withTimestamps } from '../history/times.ts'
import { type Avoided, Examination } from './examination.ts'

export type { Avoided }

export interface Reading<T> {
  readonly result: T
  readonly avoided: readonly Avoided[]
  /** Why the state may be another than that of the moment asked for, and what to do. */
  readonly doubt?: string
}

export interface ReadSource {
  readonly store: ObjectStore
  readonly database: string
  readonly target: Target
  /** The listing, where the caller has a fresh one. */
  readonly history?: BackupHistory | undefined
  readonly signal?: AbortSignal | undefined
}

/** How often the backup is listed again because compaction or retention has deleted an object of the plan. */
const MAX_LISTINGS = 4
/** How many damaged objects a message names, besides the first. */
const MAX_NAMED = 10

/** Lists the database, unless the listing is given, and plans. */
export async function planFromStore(
  store: ObjectStore,
  database: string,
  target: Target,
  given?: BackupHistory,
): Promise<Plan> {
  return planRestore(await listed({ store, database, target, history: given }), target)
}

/**
 * Calls `read` with a plan. Where that finds an object damaged or missing, calls it again with a plan to the same
 * transaction without the object. Where no such plan exists, throws NoWayRoundError for the first such object.
 */
export async function readAround<T>(source: ReadSource, read: (plan: Plan) => Promise<T>): Promise<Reading<T>> {
  const { store, target, signal } = source
  const avoided = new Map<string, Avoided>()
  const examination = new Examination(store, signal)
  let history = await listed(source)
  let listings = 1
  for (let attempt = 1; ; attempt++) {
    const plan = planAround(history, target, new Set(avoided.keys())) ?? noWayRound(source, history, avoided)
    try {
      const result = await read(plan)
      const doubt = target.kind === 'timestamp' ? doubtAbout(history, target.timestampMs, plan, Date.now()) : undefined
      return { result, avoided: [...avoided.values()], ...(doubt !== undefined && { doubt }) }
    } catch (error) {
      signal?.throwIfAborted()
      const missing = error instanceof ObjectNotFoundError ? [error.key] : []
      if (missing.length === 0) {
        const damaged = await damagedObject(store, plan, error, signal)
        // An object that was avoided already can only be found again where the plan is not what it was made to be.
        if (damaged === undefined || avoided.has(damaged.key)) throw error
        avoided.set(damaged.key, damaged)
      }
      for (const found of await examination.of(suspects(history, plan, attempt), avoided)) {
        if (found.problem === MISSING) missing.push(found.key)
        else avoided.set(found.key, found)
      }
      if (missing.length === 0) continue
      history = await listed({ ...source, history: undefined })
      const keys = new Set(history.files.map(({ key }) => key))
      const lost = missing.filter((key) => keys.has(key))
      for (const key of lost) avoided.set(key, { key, problem: MISSING })
      if (error instanceof ObjectNotFoundError && lost.length === 0 && ++listings > MAX_LISTINGS) throw error
    }
  }
}

/**
 * The objects to look at before the next plan. Where one is damaged, others often are. To read plan after plan, each up
 * to its next damaged object, would cost the square of their number.
 */
function suspects(history: BackupHistory, plan: Plan, attempt: number): readonly BackupFile[] {
  if (attempt === 1) return []
  if (attempt === 2) return plan
  const { max: end } = plan.at(-1) ?? plan[0]
  return history.files.filter(({ max }) => max <= end)
}

async function listed({ store, database, target, history: given }: ReadSource): Promise<BackupHistory> {
  const history = given ?? (await requireHistory(store, database))
  return target.kind === 'timestamp' ? withTimestamps(store, history) : history
}

/** Which object of the plan an error concerns; undefined when it is no damage, or nothing tells. */
async function damagedObject(
  store: ObjectStore,
  plan: Plan,
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<Avoided | undefined> {
  if (error instanceof CorruptObjectError) {
    const { key, problem, conclusive } = error
    return (conclusive ? undefined : await firstDamaged(store, plan, signal)) ?? { key, problem }
  }
  return error instanceof ChecksumMismatchError ? firstDamaged(store, plan, signal) : undefined
}

/**
 * Replays the plan file by file, up to the first one that does not decode, or whose pages do not have the checksum that
 * is recorded for them: by itself, or by the file after it where its own metadata is lost. Where all have it, the one
 * after which a page of the state is missing for good.
 */
async function firstDamaged(
  store: ObjectStore,
  plan: Plan,
  signal: AbortSignal | undefined,
): Promise<Avoided | undefined> {
  const pages = new PageChecksums()
  let before: BackupFile | undefined
  let incomplete: Avoided | undefined
  for (const file of plan) {
    const { preApplyChecksum, postApplyChecksum } = await loadMetadata(store, file)
    if (before !== undefined && file.min === before.max + 1n) {
      const problem = mismatch(pages, preApplyChecksum)
      if (problem !== undefined) return { key: before.key, problem }
    }
    try {
      await pages.apply(store, [file], signal)
    } catch (error) {
      if (error instanceof CorruptObjectError) return { key: error.key, problem: error.problem }
      if (error instanceof ObjectNotFoundError) return { key: file.key, problem: MISSING }
      throw error
    }
    const problem = mismatch(pages, postApplyChecksum)
    if (problem !== undefined) return { key: file.key, problem }
    // A later file may bring the page.
    const gap = pages.problem()
    incomplete = gap === undefined ? undefined : (incomplete ?? { key: file.key, problem: gap })
    before = file
  }
  return incomplete
}

function mismatch(pages: PageChecksums, recorded: Checksum | undefined): string | undefined {
  const actual = pages.checksum()
  if (recorded === undefined || recorded === actual) return undefined
  return `after it the pages have checksum ${formatChecksum(actual)}, recorded is ${formatChecksum(recorded)}`
}

function noWayRound({ store }: ReadSource, history: BackupHistory, avoided: ReadonlyMap<string, Avoided>): never {
  const [first, ...others] = avoided.values()
  if (first === undefined) throw new Error('a plan around nothing is the plan itself')
  const { database } = history
  const more = others.length > MAX_NAMED ? `, and ${others.length - MAX_NAMED} more` : ''
  const named = others.slice(0, MAX_NAMED).map(({ key }) => key)
  const also = others.length === 0 ? '' : `So are ${named.join(', ')}${more}. `
  const newest = newestWithout(history, new Set(avoided.keys()))
  const earlier =
    newest === undefined
      ? ''
      : `, or restore an earlier state: ltxd restore ${store.url} ${database} --txid ${formatTXID(newest)} -o FILE`
  const advice =
    `${also}No other objects hold its transactions. Put another copy of it in its place, ` +
    `let a node that has the database ship a new snapshot${earlier}`
  throw new NoWayRoundError(store.url, first.key, first.problem, { advice })
}
