/**
 * The thread that waits instead of the data plane: it syncs log segments, several at once, and answers the requests. It
 * also sends the replies that are delayed until the replicas keep up.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { errnoNumber } from '../fuse/errno.ts'
import { answerEmpty, answerWritten } from '../fuse/protocol/reply.ts'
import { mayAcknowledge } from './authority.ts'
import { DelayedReplies } from './delays.ts'
import { SharedState } from './shared-state.ts'
import { SyncRequests, type TakenSync } from './syncs.ts'

export interface SyncThreadData {
  readonly syncs: SharedArrayBuffer
  readonly shared: SharedArrayBuffer
  /** Of replies that wait for the replicas; absent where none ever does. */
  readonly delays?: SharedArrayBuffer
  readonly deviceFd: number
}

/** The thread's only message: an fsync has failed. */
export interface SyncFailed {
  readonly error: string
}

assert.ok(parentPort !== null, 'this file is the entry of a worker thread')
const port = parentPort
const { syncs, shared, delays, deviceFd } = workerData as SyncThreadData
const state = new SharedState(shared)
const requests = new SyncRequests(syncs)

/** Records the outcome for the log before the application gets its answer: no append follows a failed sync. */
function sync(taken: TakenSync): void {
  fs.fdatasync(taken.fd, (error) => {
    taken.ended(error === null)
    answerEmpty(deviceFd, taken.uniqueLow, taken.uniqueHigh, errnoOf(taken, error !== null))
    if (error === null) return
    state.noteSyncFailed()
    port.postMessage({ error: error.message } satisfies SyncFailed)
  })
}

/** I6: an answer acknowledges what was committed. */
function errnoOf({ deadlineNs }: TakenSync, hasFailed: boolean): number {
  if (hasFailed) return errnoNumber('EIO')
  return deadlineNs === 0n || mayAcknowledge(state, deadlineNs) ? 0 : errnoNumber('EROFS')
}

if (delays !== undefined) {
  void new DelayedReplies(delays).serve(({ uniqueLow, uniqueHigh, size, deadlineNs }) => {
    const isLate = deadlineNs !== 0n && !mayAcknowledge(state, deadlineNs)
    if (isLate) answerEmpty(deviceFd, uniqueLow, uniqueHigh, errnoNumber('EROFS'))
    else answerWritten(deviceFd, uniqueLow, uniqueHigh, size)
  })
}

// Waiting on shared memory alone does not hold the thread open.
port.ref()
requests.ready()
for (let seen = 0; ; seen = await requests.wait(seen)) for (const taken of requests.take()) sync(taken)
