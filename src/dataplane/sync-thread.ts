/** The thread that waits for the disk where the data plane should not: it syncs log segments, several at once, and answers who asked for it. */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { errnoNumber } from '../fuse/errno.ts'
import { answerEmpty } from '../fuse/protocol/reply.ts'
import { SyncRequests, type TakenSync } from './syncs.ts'

export interface SyncThreadData {
  readonly syncs: SharedArrayBuffer
  readonly deviceFd: number
}

/** What it says: an fsync has failed. */
export interface SyncFailed {
  readonly error: string
}

assert.ok(parentPort !== null, 'this file is the entry of a worker thread')
const port = parentPort
const { syncs, deviceFd } = workerData as SyncThreadData
const requests = new SyncRequests(syncs)

/** The log hears of it before its application does: nothing is appended to one that could not be synced. */
function sync(taken: TakenSync): void {
  fs.fdatasync(taken.fd, (error) => {
    taken.ended(error === null)
    answerEmpty(deviceFd, taken.uniqueLow, taken.uniqueHigh, error === null ? 0 : errnoNumber('EIO'))
    if (error !== null) port.postMessage({ error: error.message } satisfies SyncFailed)
  })
}

// Waiting for shared memory alone does not keep a thread alive.
port.ref()
requests.ready()
for (let seen = 0; ; seen = await requests.wait(seen)) for (const taken of requests.take()) sync(taken)
