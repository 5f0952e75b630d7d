/** The thread of `fuse.latency: low` (keep-awake.ts). It runs until it is terminated. */

import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { basename } from 'node:path'
import { workerData } from 'node:worker_threads'
import { KeepAwake } from './keep-awake.ts'

// Linux sets the priority of this thread alone, not of the whole process.
setPriority(Number(basename(readlinkSync('/proc/thread-self'))), constants.priority.PRIORITY_LOW)
const keepAwake = new KeepAwake(workerData as SharedArrayBuffer)
for (;;) {
  keepAwake.sleep()
  keepAwake.watch()
}
