/** The data plane's thread: owns the mount and all capture state, and never awaits once it serves. */

import assert from 'node:assert/strict'
import { parentPort, workerData } from 'node:worker_threads'
import { ofBacking, unmarshalAnnouncements } from '../capture/announcements.ts'
import type { Awaiting } from '../capture/authority.ts'
import type { Database } from '../capture/database.ts'
import { DatabaseFilter } from '../capture/database-filter.ts'
import type { CaptureEvents } from '../capture/events.ts'
import { findDatabases } from '../capture/find-databases.ts'
import { RejectionLines } from '../capture/rejection-lines.ts'
import { finishRename } from '../capture/rename-over.ts'
import { discardReplacements } from '../capture/replacement.ts'
import { CaptureVolume } from '../capture/volume.ts'
import { FsError } from '../fuse/errno.ts'
import { narrowInodes, wideInodes } from '../fuse/protocol/inodes.ts'
import { invalidateAttributes } from '../fuse/protocol/notify.ts'
import type { Reply } from '../fuse/protocol/reply.ts'
import { Session } from '../fuse/protocol/session.ts'
import { Tree } from '../fuse/tree/tree.ts'
import { Logs, type LogsOptions } from '../log/logs.ts'
import { recoverDatabase, type RecoveryOptions, rejectedDatabase } from '../recovery/recover.ts'
import { errorCode, errorMessage } from '../util/errors.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { nowMs as monotonicMs } from '../util/monotonic.ts'
import { NodeAuthority } from './authority.ts'
import { Delays } from './delays.ts'
import { FileLocks } from './file-locks.ts'
import { KeepAwake } from './keep-awake.ts'
import { isDatabase, isReleased } from './leftover-names.ts'
import type { DataPlaneData, FromDataPlane, Serve, ToDataPlane } from './messages.ts'
import { Pacing } from './pacing.ts'
import { SharedState } from './shared-state.ts'
import { Slots } from './slots.ts'
import { NodeSpecialFiles } from './special-files.ts'
import { Syncs } from './syncs.ts'
import { Turns } from './turns.ts'
import { WithheldDatabases } from './withheld.ts'

assert.ok(parentPort !== null, 'this file is the entry of a worker thread')
const port = parentPort
const { shared, dataDir, at, root, mountDir, segmentSizeBytes, nodeId, ...data } = workerData as DataPlaneData
const filter = new DatabaseFilter(data.filter)
const state = new SharedState(shared)
const syncs = new Syncs(data.syncs)
const keepAwake = data.keepAwake === undefined ? undefined : new KeepAwake(data.keepAwake)
const databases = new Map<string, Database>()
const nowMs = Date.now
/** While this thread serves, applications rename directories and make links below `root`. */
const files = filesBeneath(dataDir, data.modes, at)

const say = (message: FromDataPlane) => port.postMessage(message)
const slots = new Slots(state, say)
const pacing = data.delays === undefined ? undefined : new Pacing(new Delays(data.delays), state)
/** Databases of which some pages are only in the WAL. */
const behind = new Set<string>()
/** Databases that are in no log, as far as they were found. */
const unreplicated = new Set<string>()
let tree: Tree | undefined
let serving = false
/** Whether a transaction holds a lock on the file with this backing inode number, or on the byte at `offset` of it. */
let isLocked = (_inode: number, _offset?: number): boolean => false
/** Drops the attributes of the file of that name from the kernel's cache. */
let forgetAttributes = (_name: string): void => undefined
/** The current request commits. */
let committing = false
let isCutOff = false
/** What waited for the node's role when the requests that are held were last decided. */
let awaited: Awaiting = 'opens'

const authority = new NodeAuthority(state, new WithheldDatabases(data.withheld), {
  isServing: () => serving,
  commits: () => (committing = true),
  opensReadOnly: data.replicaWrites === 'readonly',
  isLocked: (inode, offset) => isLocked(inode, offset),
})

const lines = new RejectionLines((level, message, fields) => say({ type: 'log', level, message, fields }), monotonicMs)
const events: CaptureEvents = {
  admits: (name) => slots.admits(name),
  released(name) {
    behind.delete(name)
    slots.release(name)
  },
  published(database) {
    const slot = slots.publish(database)
    if (committing && database.walMode) pacing?.commits(slot)
    const isBehind = database.backfilled === undefined
    if (isBehind === behind.has(database.name)) return
    if (!isBehind) return void behind.delete(database.name)
    behind.add(database.name)
    say({ type: 'behind', database: database.name })
  },
  sharing: ({ name }, sharing) => say({ type: 'sharing', database: name, sharing }),
  mended(path) {
    const node = tree?.nodes.find(path)?.id
    if (node === undefined) return
    // An open need not come after the invalidation, which another process sends.
    tree?.nodes.doubt(node)
    say({ type: 'invalidate', node })
  },
  ...(pacing && { begins: ({ name }) => pacing.begins(slots.slotOf(name)) }),
  guarded: ({ name }) => say({ type: 'guarded', database: name }),
  unexplained: ({ name }) => say({ type: 'unexplained', database: name }),
  resized: ({ name }) => forgetAttributes(name),
  unreplicated(database, isUnreplicated) {
    if (isUnreplicated) unreplicated.add(database)
    else unreplicated.delete(database)
    say({ type: 'unreplicated', database, isUnreplicated })
  },
  plainFile: (file) => say({ type: 'plain-file', file }),
  logFailed(database, error) {
    say({ type: 'log-failed', database, reason: error?.message })
    if (error !== undefined) turns.logFailed(database)
  },
  later: (act) => turns.later(act),
  log: (level, message, fields) => lines.log(level, message, fields),
}

const turns = new Turns(state, slots, events, say)

port.on('message', (message: ToDataPlane) => {
  switch (message.type) {
    case 'recover':
      discardReplacements(files, dataDir, events)
      finishRename(files, root, events)
      recoverAll()
      return say({ type: 'recovered' })
    case 'recover-again':
      recover(message.database)
      return say({ type: 'recovered' })
    case 'reject':
      reject(message.database, message.reason)
      return say({ type: 'recovered' })
    case 'serve':
      serve(message)
      port.close()
  }
})

const logOptions: LogsOptions = { segmentSizeBytes, syncs, failed: (name, error) => events.logFailed?.(name, error) }

const optionsOf = (name: string): RecoveryOptions => {
  return { name, dataDir, root, mountDir, files, events, nowMs, nodeId, segmentSizeBytes, syncs, authority }
}

function reject(name: string, reason: string): void {
  databases.get(name)?.close()
  const database = rejectedDatabase(optionsOf(name), reason)
  databases.set(name, database)
  if (slots.admits(name)) slots.publish(database)
}

/** Databases that have a file come first: the logs of dropped ones only continue their TXIDs. */
function recoverAll(): void {
  const names = findDatabases(files, dataDir, root, filter)
  const live = names.filter((name) => files.exists(`${root}/${name}`))
  const left: string[] = []
  const lives = new Set(live)
  for (const name of new Set([...live, ...names])) {
    if (!lives.has(name) && isReleased(files, dataDir, name)) continue
    if (slots.admits(name)) recover(name)
    else if (isDatabase(files, { dataDir, root, name })) left.push(name)
  }
  if (left.length === 0) return
  const reason = `this node holds ${SharedState.maxDatabases} databases at most`
  const silent = { ...events, log: () => {} }
  for (const name of left) databases.set(name, rejectedDatabase({ ...optionsOf(name), events: silent }, reason))
  const advice = 'drop databases, and start the node again; or move their files away together with their logs'
  events.log('error', `databases not served: ${reason}`, { count: left.length, database: left[0], advice })
}

function recover(name: string): void {
  databases.get(name)?.close()
  databases.delete(name)
  const database = recoverDatabase(optionsOf(name))
  if (database === undefined) return
  filter.rejectExcluded(database, dataDir)
  databases.set(name, database)
  slots.publish(database)
  const { proof } = database.trust
  if (proof !== undefined) say({ type: 'unproven', database: name, proof: proof.buffer })
}

/** What waits is performed again, and may wait again. */
function decide(session: Session): void {
  awaited = state.awaiting
  session.decide()
}

/** Whoever still has a file open gets errors: not only from here, but also for what the kernel has cached. */
function cutOff(session: Session): void {
  isCutOff = true
  session.cutOff()
  const open = [...(tree?.nodes.openNodes() ?? [])]
  const walIndexes = open.filter(({ name }) => name.endsWith('-shm')).map(({ id }) => id)
  const files = open.map(({ id }) => id).filter((id) => !walIndexes.includes(id))
  say({ type: 'cut-off', files, walIndexes })
}

function serve({ deviceFd, generation, isBridge, mounted }: Serve): void {
  const inodes = isBridge ? narrowInodes(generation) : wideInodes(generation)
  const volume = new CaptureVolume({
    ...{ root, files, events, nowMs, nodeId, authority, filter, unreplicated },
    logs: new Logs(files, dataDir, logOptions),
    databases: databases.values(),
  })
  databases.clear()
  turns.volume = volume
  const special = new NodeSpecialFiles({
    primaryHostname: () => state.primaryHostname,
    lagMs: () => (state.leads ? 0 : state.lagMs),
    database: (name) => volume.tracked(name),
  })
  const ownerChanged = (path: string) => {
    if (volume.tracked(path) !== undefined) say({ type: 'owner', database: path })
  }
  const forget = (parent: number, name: string) => say({ type: 'forget', parent, name })
  tree = new Tree(`${at}/files`, Object.assign(volume, { ownerChanged }), special, forget)
  forgetAttributes = (name) => {
    const node = tree?.nodes.find(name)?.id
    if (node !== undefined) invalidateAttributes(deviceFd, node)
  }
  /** What the kernel has cached goes later, but whoever opens the file now already finds what is in it. */
  const rejectedWrite = (node: number) => {
    tree?.nodes.doubt(node)
    invalidateAttributes(deviceFd, node)
    say({ type: 'invalidate', node })
  }
  const session = new Session(deviceFd, tree, {
    failed: (operation, error) =>
      events.log('error', `${operation} failed: ${errorMessage(error)}`, { errno: errorCode(error) }),
    afterRequest() {
      if (state.takeTurn()) turns.take()
      if (session.holds && state.awaiting !== awaited) decide(session)
      if (state.cutOffRequested && !isCutOff) cutOff(session)
      if (committing) state.endCommit()
      committing = false
      pacing?.ended()
      keepAwake?.requested()
      return state.stopRequested ? 'stop' : undefined
    },
    ...(pacing && { holds: (reply: Reply) => pacing.holds(reply) }),
    requests: state.requests,
    inodes,
    rejectedWrite,
    announced(data, caller) {
      if (!authority.isClient(caller)) throw new FsError('EPERM', 'only the local client announces')
      for (const announcement of unmarshalAnnouncements(data)) volume.announced(ofBacking(announcement, inodes))
    },
  })
  const locks = new FileLocks(mounted)
  isLocked = (inode, offset) => locks.isWriteLocked(inodes.shown(inode), offset)
  serving = true
  // A broken invariant leaves the files as they are: the next start recovers, and logs the cause.
  session.serve()
  serving = false
  tree.close()
  for (const database of volume.list()) {
    database.trust.stopCleanly()
    database.close()
  }
  say({ type: 'stopped' })
}
