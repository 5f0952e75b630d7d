/**
 * Wakes the thread that serves a mount while it waits for the kernel. Another thread retrieves zero bytes of a file
 * that the kernel knows (FUSE_NOTIFY_RETRIEVE), and the kernel's answer is a request, which wakes the serving thread.
 *
 * The file must be regular (newer kernels reject the root), and the kernel must know it at any time. So there is a file
 * that no listing shows, which the daemon holds open. A process must never wait for its own mount, or kill -9 could not
 * end it: another process opens the file first, and the daemon takes the descriptor from /proc.
 */

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { helperEnvironment } from '../../util/environment.ts'
import { errorCode, LtxdError } from '../../util/errors.ts'
import { O_PATH } from '../../util/named-directory.ts'
import type { Caller } from '../content.ts'
import type { Device } from '../device.ts'
import { errnoNumber } from '../errno.ts'
import type { Attributes, Entry } from '../filesystem.ts'
import {
  DOORBELL_ID,
  IN_HEADER,
  NOTIFY,
  NOTIFY_RETRIEVE_OUT,
  OPCODE,
  RENAME_IN,
  RENAME2_IN,
  ROOT_ID,
  WRITE_IN,
} from './kernel.ts'
import { Message } from './message.ts'
import type { Reply } from './reply.ts'
import type { Request } from './request.ts'

const HANG_TIMEOUT_MS = 10_000

/** Wakes the thread that serves `device`. Returns false when the doorbell is not hung, or the mount is gone. */
export function ringDoorbell({ device, bell }: Device): boolean {
  if (bell !== undefined) return ringBridge(bell)
  const message = new Message(NOTIFY.RETRIEVE, NOTIFY_RETRIEVE_OUT.SIZE)
  message.u64(NOTIFY_RETRIEVE_OUT.nodeid, DOORBELL_ID)
  return message.send(device)
}

/** Errors of a write to the socket of a session that has ended. ECONNRESET: it left requests unread. */
const SESSION_GONE: ReadonlySet<string> = new Set(['EPIPE', 'ENOTCONN', 'ECONNRESET'])

/** Sends the request that the kernel would send: one without an answer. */
function ringBridge(bell: number): boolean {
  const words = new Uint32Array(IN_HEADER.SIZE >> 2)
  words[IN_HEADER.len >> 2] = IN_HEADER.SIZE
  words[IN_HEADER.opcode >> 2] = OPCODE.NOTIFY_REPLY
  words[IN_HEADER.nodeid >> 2] = DOORBELL_ID
  try {
    fs.writeSync(bell, new Uint8Array(words.buffer))
    return true
  } catch (error) {
    if (SESSION_GONE.has(errorCode(error) ?? '')) return false
    throw error
  }
}

/**
 * Makes `ringDoorbell` work for a mount that is being served by another thread of this process. Returns the descriptor
 * to close before unmounting: while it is open the mount is busy. `root`: a descriptor of the mount's root, by which it
 * is found whoever renames the directories above it. Without one it is found by the path.
 */
export async function hangDoorbell(mountPoint: string, device: number, root?: number): Promise<number> {
  const script = 'exec 3< "$0" && echo held && exec cat' // cat runs until its stdin ends.
  const file = `${root === undefined ? mountPoint : '/proc/self/fd/4'}/${doorbellName(device)}`
  const holder = spawn('sh', ['-c', script, file], {
    stdio: ['pipe', 'pipe', 'ignore', 'ignore', root ?? 'ignore'],
    env: helperEnvironment(),
  }) as ChildProcessByStdio<Writable, Readable, null>
  holder.stdin.on('error', () => {}) // The process has ended by itself.
  const ended = once(holder, 'close').then(() => undefined)
  const held = once(holder.stdout, 'data')
  const late = setTimeout(() => holder.kill('SIGKILL'), HANG_TIMEOUT_MS)
  try {
    if ((await Promise.race([held, ended])) === undefined) throw new Error('the doorbell could not be opened')
    return fs.openSync(`/proc/${holder.pid}/fd/3`, O_PATH)
  } catch (error) {
    throw new LtxdError('MOUNT_FAILED', `the mount at ${mountPoint} does not answer: unmount it and start again`, 1, {
      cause: error,
    })
  } finally {
    holder.stdin.end()
    await ended.catch(() => undefined) // A running holder would leave the mount busy.
    clearTimeout(late)
  }
}

/** The doorbell's name: the same for both threads, and different for every mount. */
export function doorbellName(device: number): string {
  return `.ltxd-doorbell-${process.pid}-${device}`
}

/** Processes data that was written to the doorbell. A thrown FsError is the writer's answer. */
export type Announced = (data: Uint8Array, caller: Caller) => void

/**
 * The serving side: the file by which the kernel knows the doorbell. Another process of the daemon's user also writes
 * announcements to it, which reach the serving thread in order with that process's operations on the mount.
 */
export class DoorbellFile {
  readonly #name: string
  readonly #announced: Announced | undefined
  readonly #entry: Entry

  constructor(device: number, announced?: Announced) {
    this.#name = doorbellName(device)
    this.#announced = announced
    this.#entry = { nodeId: DOORBELL_ID, attributes: emptyFile(), cached: true }
  }

  /** Performs a request on the doorbell. Returns false for any other request. */
  answers(request: Request, reply: Reply): boolean {
    if (request.nodeId === ROOT_ID && request.opcode === OPCODE.LOOKUP) {
      if (!request.beginsWith(this.#name)) return false
      reply.entry(this.#entry)
      return true
    }
    if (this.#isDisplacedBy(request)) return deny(reply)
    if (request.nodeId !== DOORBELL_ID) return false
    switch (request.opcode) {
      case OPCODE.GETATTR:
        reply.attributes(this.#entry.attributes, true)
        break
      case OPCODE.OPEN:
        reply.opened({ handle: 0, cached: false, modeChanged: false })
        break
      case OPCODE.READ:
      case OPCODE.RELEASE:
        break
      case OPCODE.WRITE: {
        if (this.#announced === undefined) return deny(reply)
        request.struct(WRITE_IN.SIZE)
        const data = request.data(request.u32(WRITE_IN.size))
        this.#announced(data, request)
        reply.written(data.length)
        break
      }
      case OPCODE.FORGET:
      case OPCODE.NOTIFY_REPLY:
        reply.none()
        break
      case OPCODE.FLUSH:
        reply.error(errnoNumber('ENOSYS'))
        break
      default:
        return deny(reply)
    }
    return true
  }

  /**
   * Whether the doorbell would lose its name, which processes of the daemon's user open. Who may write in the root of
   * the mount may otherwise rename a link or a file of theirs over it.
   */
  #isDisplacedBy(request: Request): boolean {
    const { nodeId, opcode } = request
    if (opcode === OPCODE.UNLINK) return nodeId === ROOT_ID && request.beginsWith(this.#name)
    if (opcode !== OPCODE.RENAME && opcode !== OPCODE.RENAME2) return false
    const [from, to] = request.stringsAfter(opcode === OPCODE.RENAME ? RENAME_IN.SIZE : RENAME2_IN.SIZE)
    if (nodeId === ROOT_ID && from === this.#name) return true
    return request.u64(RENAME_IN.newdir) === ROOT_ID && to === this.#name
  }
}

function deny(reply: Reply): true {
  reply.error(errnoNumber('EPERM'))
  return true
}

/** The attributes of an empty file of this process's user. */
function emptyFile(): Attributes {
  const now = Date.now()
  const times = { atimeMs: now, mtimeMs: now, ctimeMs: now }
  const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  return { ino: DOORBELL_ID, size: 0, blocks: 0, mode: 0o100600, nlink: 1, rdev: 0, blksize: 4096, ...times, ...owner }
}
