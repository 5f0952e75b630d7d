/**
 * Serves a plain directory with the driver under test, built as the daemon is: a worker thread blocks in the session's
 * loop, and the main thread stays free. Usage: plain-server.ts BACKING MOUNTPOINT [FACTS]. With FACTS, a JSON file that
 * is read for each request, it has the node's special files with that content.
 *
 * It prints `mounted`, after `cleared` if it removed a dead mount. It takes one command a line on stdin, and answers
 * each with a line. Through the doorbell: `counts` (requests by kind), `nodes` (the number of files that the kernel
 * remembers), `halt` (stop the session but leave the mount). By invalidation: `name NAME` (in the root), `node ID`.
 * `stop`, or the end of stdin, unmounts.
 */

import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { NodeSpecialFiles } from '../../src/dataplane/special-files.ts'
import { clearStaleMount, mount, unmount } from '../../src/fuse/mount/mount.ts'
import { Notifier } from '../../src/fuse/mount/notifier.ts'
import { hangDoorbell, ringDoorbell } from '../../src/fuse/protocol/doorbell.ts'
import { ROOT_ID } from '../../src/fuse/protocol/kernel.ts'
import { entryInvalidation, inodeInvalidation } from '../../src/fuse/protocol/notify.ts'
import { RequestCounts } from '../../src/fuse/protocol/request-counts.ts'
import { Session } from '../../src/fuse/protocol/session.ts'
import { PlainVolume } from '../../src/fuse/tree/plain.ts'
import { Tree } from '../../src/fuse/tree/tree.ts'
import { parsePosition } from '../../src/ltx/format/types.ts'
import { DRIVER } from '../harness/driver.ts'
import type { Facts } from './served.ts'

/** The last one does not come from stdin, and has no answer. */
const QUESTIONS = ['', 'counts', 'nodes', 'halt', 'leave']

interface Shared {
  readonly device: number
  readonly backing: string
  readonly facts: string | undefined
  /** One word: the number of the question that the serving thread has not answered yet. */
  readonly question: Int32Array
}

if (isMainThread) await control(process.argv[2] as string, process.argv[3] as string, process.argv[4])
else serve(workerData as Shared)

async function control(backing: string, mountPoint: string, facts: string | undefined): Promise<void> {
  if (await clearStaleMount(mountPoint)) console.log('cleared')
  // Root's mount admits other users. Another user's mount needs no permission of the machine without them.
  const mounted = await mount(mountPoint, { allowOther: process.geteuid?.() === 0, driver: DRIVER })
  const { device } = mounted
  const question = new Int32Array(new SharedArrayBuffer(4))
  const shared: Shared = { device, backing, facts, question }
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: shared })
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  worker.once('error', (error) => {
    console.error(error)
    process.exitCode = 1
  })
  const doorbell = await hangDoorbell(mountPoint, device)

  const notifier = new Notifier(device)
  const tell = (answer: Promise<boolean>) => void answer.then((isTaken) => console.log(isTaken))
  let ending: Promise<void> | undefined
  const end = async (): Promise<void> => {
    fs.closeSync(doorbell)
    let held: number | undefined
    const outcome = await unmount(mounted.at, async () => {
      held = (await Promise.race([hangDoorbell(mountPoint, device), exited])) ?? undefined
    })
    Atomics.store(question, 0, QUESTIONS.indexOf('leave'))
    ringDoorbell(mounted)
    await exited
    if (held !== undefined) fs.closeSync(held)
    notifier.close()
    await mounted.close()
    console.log(outcome)
    process.stdin.destroy()
  }
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const [command, argument = ''] = line.split(' ')
      if (command === 'stop') ending ??= end()
      if (command === 'name') tell(notifier.notify(line, entryInvalidation(ROOT_ID, argument)))
      if (command === 'node') tell(notifier.notify(line, inodeInvalidation(Number(argument))))
      Atomics.store(question, 0, Math.max(0, QUESTIONS.indexOf(line)))
      if (QUESTIONS.includes(line)) ringDoorbell(mounted)
    })
    .once('close', () => void (ending ??= end()))
  console.log('mounted')
  await exited
  await (ending ??= end())
}

function serve({ device, backing, facts, question }: Shared): void {
  const special =
    facts === undefined ? undefined : specialFiles(() => JSON.parse(fs.readFileSync(facts, 'utf8')) as Facts)
  const tree = new Tree(backing, new PlainVolume(), special)
  const answer = (line: string) => fs.writeSync(1, `${line}\n`)
  const requests = new RequestCounts()
  const session = new Session(device, tree, {
    requests,
    failed: (operation, error) => process.stderr.write(`${operation}: ${String(error)}\n`),
    afterRequest: () => {
      const asked = QUESTIONS[Atomics.exchange(question, 0, 0)]
      if (asked === 'counts') answer(JSON.stringify(requests.byName()))
      if (asked === 'nodes') answer(String(tree.nodeCount))
      if (asked === 'halt') answer('stopped')
      return asked === 'halt' || asked === 'leave' ? 'stop' : undefined
    },
  })
  session.serve()
  tree.close()
}

function specialFiles(facts: () => Facts): NodeSpecialFiles {
  return new NodeSpecialFiles({
    primaryHostname: () => facts().primaryHostname,
    lagMs: () => facts().lagMs,
    database(name) {
      const position = facts().positions?.[name]
      return position === undefined
        ? undefined
        : { position: parsePosition(position), lastTimestampMs: 1_700_000_000_000 }
    },
  })
}
