/** The loop of the data plane: read a request from the kernel, perform it, reply. It blocks its thread. */

import fs from 'node:fs'
import { errorCode } from '../../util/errors.ts'
import { errnoNumber, errnoOf, isFailure, UndecidedError } from '../errno.ts'
import type { FileSystem, NodeId } from '../filesystem.ts'
import { type Announced, DoorbellFile } from './doorbell.ts'
import { HeldRequests } from './held-requests.ts'
import { negotiate } from './init.ts'
import type { Inodes } from './inodes.ts'
import { INTERRUPT_IN, OPCODE } from './kernel.ts'
import { invalidateAttributes } from './notify.ts'
import { perform } from './operations.ts'
import { answerEmpty, Reply, sendReply } from './reply.ts'
import { Request } from './request.ts'
import { RequestCounts } from './request-counts.ts'

export interface SessionOptions {
  /** An operation failed in the backing file system or in the volume. Not called for a rejection. */
  readonly failed?: (operation: string, error: unknown) => void
  /** Whether another thread sends this reply to a successful request later. It is only valid during the call. */
  readonly holds?: (reply: Reply) => boolean
  /** Runs after each reply, and whenever the doorbell was rung (doorbell.ts). 'stop' ends `serve`. */
  readonly afterRequest?: () => 'stop' | undefined
  /** A write was rejected and answered. The kernel's cached pages of the file may now differ from its content. */
  readonly rejectedWrite?: (node: NodeId) => void
  /** Processes data that another process of the daemon wrote to the doorbell (doorbell.ts). */
  readonly announced?: Announced
  /** Counts the requests. */
  readonly requests?: RequestCounts
  /** Default: those of the backing files. */
  readonly inodes?: Inodes
}

export type SessionEnd = 'unmounted' | 'stopped'

/** Requests by which the kernel gives back what it had. */
const GIVES_BACK: ReadonlySet<number> = new Set([OPCODE.FORGET, OPCODE.BATCH_FORGET, OPCODE.RELEASE, OPCODE.RELEASEDIR])

export class Session {
  readonly #device: number
  readonly #fs: FileSystem
  readonly #options: SessionOptions
  readonly #doorbell: DoorbellFile
  readonly #request = new Request()
  readonly #reply: Reply
  readonly #requests: RequestCounts
  readonly #held = new HeldRequests()
  #initialized = false
  #isCutOff = false

  /** `device` is a mounted descriptor of /dev/fuse, or a bridge's socket (bridge/mount.ts). The caller closes it. */
  constructor(device: number, fs: FileSystem, options: SessionOptions = {}) {
    this.#device = device
    this.#fs = fs
    this.#options = options
    this.#doorbell = new DoorbellFile(device, options.announced)
    this.#reply = new Reply(options.inodes)
    this.#requests = options.requests ?? new RequestCounts()
  }

  /** Serves until the mount is gone or `afterRequest` returns 'stop'. Throws on a broken invariant or an old kernel. */
  serve(): SessionEnd {
    const afterRequest = this.#options.afterRequest
    for (;;) {
      const length = this.#receive()
      if (length < 0) return 'unmounted'
      if (length > 0) this.#handle(length)
      if (afterRequest?.() === 'stop') break
    }
    this.#endHeld()
    return 'stopped'
  }

  /** Whether requests wait because it is not known yet whether they are rejected. */
  get holds(): boolean {
    return this.#held.any
  }

  /** It is known now. They are performed before the next request. */
  decide(): void {
    this.#held.decide()
  }

  /** From now on whoever has a file open gets an error, as after the end of the mount; what is given back is taken. */
  cutOff(): void {
    this.#isCutOff = true
    this.#held.decide()
  }

  /** Returns the length of the next request; 0 when there was none; -1 when the mount is gone. */
  #receive(): number {
    const { bytes } = this.#request
    const held = this.#receiveHeld()
    if (held > 0) return held
    try {
      // A device never returns 0 bytes, so 0 means that the bridge has ended.
      return fs.readSync(this.#device, bytes, 0, bytes.length, null) || -1
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENODEV' || code === 'ECONNABORTED' || code === 'ECONNRESET') return -1
      // ENOENT: the request was withdrawn before it was read.
      if (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOENT') return 0
      throw error
    }
  }

  #handle(length: number): void {
    const request = this.#request
    const reply = this.#reply
    request.begin(length)
    reply.begin(request)
    this.#requests.add(request.opcode)
    try {
      if (!this.#initialized) this.#initialize()
      else if (!this.#doorbell.answers(request, reply)) this.#perform()
    } catch (thrown) {
      const isUndecided = thrown instanceof UndecidedError
      if (isUndecided && this.#held.hold(request)) return
      const error: unknown = isUndecided ? thrown.reject() : thrown
      const errno = errnoOf(error)
      reply.error(errno ?? errnoNumber('EIO'))
      // A broken invariant: the caller gets an error, and the loop ends before it can do harm.
      if (errno === undefined || !this.#initialized) {
        this.#send()
        throw error
      }
      if (isFailure(errno, error)) this.#options.failed?.(opcodeName(request.opcode), error)
      this.#send()
      if (request.opcode === OPCODE.WRITE) this.#options.rejectedWrite?.(request.nodeId)
      return
    }
    this.#send(this.#options.holds)
  }

  #perform(): void {
    const { opcode } = this.#request
    if (opcode === OPCODE.INTERRUPT) this.#interrupt()
    else if (this.#isCutOff && !GIVES_BACK.has(opcode)) this.#reply.error(errnoNumber('ENOTCONN'))
    else perform(this.#fs, this.#request, this.#reply)
  }

  /** A request that does not wait was answered before this one was read, or waits for the disk. */
  #interrupt(): void {
    this.#reply.none()
    const unique = this.#request.u64(INTERRUPT_IN.unique)
    if (!this.#held.interrupt(unique)) return
    const [low, high] = [this.#request.u32(INTERRUPT_IN.unique), this.#request.u32(INTERRUPT_IN.unique + 4)]
    answerEmpty(this.#device, low, high, errnoNumber('EINTR'))
  }

  /** Whoever waits does not wait for a thread that has ended. */
  #endHeld(): void {
    this.cutOff()
    for (let length = this.#receiveHeld(); length > 0; length = this.#receiveHeld()) this.#handle(length)
  }

  /** Returns 0 when no request waits that can be decided. */
  #receiveHeld(): number {
    const held = this.#held.next()
    return held === undefined ? 0 : this.#request.restore(held)
  }

  #initialize(): void {
    if (this.#request.opcode !== OPCODE.INIT) throw new Error('expected FUSE_INIT as the first request of the kernel')
    this.#initialized = negotiate(this.#request, this.#reply) !== undefined
  }

  #send(holds?: SessionOptions['holds']): void {
    const reply = this.#reply
    if (reply.length === 0) return
    if (reply.modeChanged) invalidateAttributes(this.#device, this.#request.nodeId)
    reply.seal()
    if (holds?.(reply) === true) return
    sendReply(this.#device, reply.bytes, reply.length)
  }
}

function opcodeName(opcode: number): string {
  const found = Object.entries(OPCODE).find(([, number]) => number === opcode)
  return found === undefined ? `operation ${opcode}` : found[0]
}
