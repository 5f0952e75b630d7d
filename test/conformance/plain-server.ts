/**
 * Serves a directory through the direct driver, as it is, in the shape of the real daemon: a worker thread blocks in
 * the session's loop, the main thread stays free. Usage: plain-server.ts BACKING MOUNTPOINT.
 *
 * Says `mounted` on stdout. Commands on stdin, one a line: `counts` prints a JSON line of requests by kind; `doorbell`
 * rings it and prints how many times the housekeeping ran; `stop`, or the end of stdin, unmounts and ends it.
 */

import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { mountDirect, clearStaleMount, unmount } from '../../src/fuse/mount.ts'
import { hangDoorbell, ringDoorbell } from '../../src/fuse/doorbell.ts'
import { PlainVolume } from '../../src/fuse/plain.ts'
import { Session } from '../../src/fuse/session.ts'
import { Tree } from '../../src/fuse/tree.ts'

interface Shared {
  readonly device: number
  readonly backing: string
  /** [stop, doorbells asked for, housekeepings done, print counts] */
  readonly signals: Int32Array
}

const STOP = 0
const HOUSEKEEPINGS = 1
const PRINT_COUNTS = 2

/** A worker does not inherit the loader that makes Node run TypeScript. */
const WORKER = `
  const { workerData } = require('node:worker_threads')
  import('tsx/esm/api').then(({ tsImport }) => tsImport(workerData.file, workerData.file))
`

if (isMainThread) await control(process.argv[2] as string, process.argv[3] as string)
else serve(workerData as Shared)

async function control(backing: string, mountPoint: string): Promise<void> {
  if (await clearStaleMount(mountPoint)) console.log('cleared')
  const device = mountDirect(mountPoint, { fsname: 'ltxd', allowOther: true })
  const signals = new Int32Array(new SharedArrayBuffer(16))
  const data = { device, backing, signals } satisfies Shared
  const worker = new Worker(WORKER, { eval: true, workerData: { ...data, file: import.meta.url } })
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  worker.on('error', (error) => {
    console.error(error)
    process.exitCode = 1
  })
  const doorbell = await hangDoorbell(mountPoint, device)
  console.log('mounted')
  const lines = createInterface({ input: process.stdin })
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    fs.closeSync(doorbell)
    console.log(await unmount(mountPoint))
    await exited
    fs.closeSync(device)
    lines.close()
  }
  lines.on('line', (line) => {
    if (line === 'stop') void stop()
    if (line === 'counts') Atomics.store(signals, PRINT_COUNTS, 1)
    if (line === 'doorbell' || line === 'counts') {
      const before = Atomics.load(signals, HOUSEKEEPINGS)
      ringDoorbell(device)
      Atomics.wait(signals, HOUSEKEEPINGS, before, 5000)
      if (line === 'doorbell') console.log(Atomics.load(signals, HOUSEKEEPINGS) - before)
    }
  })
  lines.on('close', () => void stop())
  await exited
  await stop()
}

function serve({ device, backing, signals }: Shared): void {
  const tree = new Tree(backing, new PlainVolume())
  const session = new Session(device, tree, {
    failed: (operation, error) => process.stderr.write(`${operation}: ${String(error)}\n`),
    afterRequest: () => {
      Atomics.add(signals, HOUSEKEEPINGS, 1)
      Atomics.notify(signals, HOUSEKEEPINGS)
      if (Atomics.compareExchange(signals, PRINT_COUNTS, 1, 0) === 1) {
        fs.writeSync(1, JSON.stringify(session.counts()) + '\n')
      }
      return Atomics.load(signals, STOP) === 1 ? 'stop' : undefined
    },
  })
  session.serve()
  tree.close()
}
