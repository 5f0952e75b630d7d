/** The thread of `fuse.latency: low` (keep-awake.ts). It ends only when it is ended. */

import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { basename } from 'node:path'
import { workerData } from 'node:worker_threads'
import { KeepAwake } from './keep-awake.ts'

// To the kernel a thread is a process of its own here: only this one gives way to everybody.
setPriority(Number(basename(readlinkSync('/proc/thread-self'))), constants.priority.PRIORITY_LOW)
const keepAwake = new KeepAwake(workerData as SharedArrayBuffer)
for (;;) {
  keepAwake.sleep()
  keepAwake.watch()
}
