/** The loop of the data plane: read a request from the kernel, carry it out, answer. It blocks its thread. */

import fs from 'node:fs'
import { errorCode } from '../../util/errors.ts'
import { errnoNumber, errnoOf, isFailure } from '../errno.ts'
import type { FileSystem, NodeId } from '../filesystem.ts'
import { type Announced, DoorbellFile } from './doorbell.ts'
import { negotiate } from './init.ts'
import { OPCODE } from './kernel.ts'
import { invalidateAttributes } from './notify.ts'
import { perform } from './operations.ts'
import { Reply, sendReply } from './reply.ts'
import { Request } from './request.ts'
import { RequestCounts } from './request-counts.ts'

export interface SessionOptions {
  /** Operations in which the backing file system, or whoever owns the bytes, failed. Refusals are none. */
  readonly failed?: (operation: string, error: unknown) => void
  /** Runs after each reply, and whenever the doorbell was rung (doorbell.ts). 'stop' ends `serve`. */
  readonly afterRequest?: () => 'stop' | undefined
  /** A write was refused, after the caller was told: what the kernel has cached of the file may no longer be what lies there. */
  readonly refusedWrite?: (node: NodeId) => void
  /** Takes what another process of the daemon writes to the doorbell (doorbell.ts). */
  readonly announced?: Announced
  /** Counts what comes. */
  readonly requests?: RequestCounts
}

export type SessionEnd = 'unmounted' | 'stopped'

export class Session {
  readonly #device: number
  readonly #fs: FileSystem
  readonly #options: SessionOptions
  readonly #doorbell: DoorbellFile
  readonly #request = new Request()
  readonly #reply = new Reply()
  readonly #requests: RequestCounts
  #initialized = false

  /** `device` is a descriptor of /dev/fuse that has been mounted, or a bridge's socket (bridge.ts). It is not closed here. */
  constructor(device: number, fs: FileSystem, options: SessionOptions = {}) {
    this.#device = device
    this.#fs = fs
    this.#options = options
    this.#doorbell = new DoorbellFile(device, options.announced)
    this.#requests = options.requests ?? new RequestCounts()
  }

  /** Serves until the mount is gone or `afterRequest` says 'stop'. Throws on a broken invariant, and on a kernel that is too old. */
  serve(): SessionEnd {
    const afterRequest = this.#options.afterRequest
    for (;;) {
      const length = this.#receive()
      if (length < 0) return 'unmounted'
      if (length > 0) this.#handle(length)
      if (afterRequest?.() === 'stop') return 'stopped'
    }
  }

  /** Returns the length of the next request; 0: none, ask again; -1: the mount is gone. */
  #receive(): number {
    const { bytes } = this.#request
    try {
      // a device never gives nothing: that is a bridge's end
      return fs.readSync(this.#device, bytes, 0, bytes.length, null) || -1
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENODEV' || code === 'ECONNABORTED' || code === 'ECONNRESET') return -1
      // ENOENT: the request was taken back before it could be read
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
      else if (!this.#doorbell.answers(request, reply)) perform(this.#fs, request, reply)
    } catch (error) {
      const errno = errnoOf(error)
      reply.error(errno ?? errnoNumber('EIO'))
      // a broken invariant: the caller gets its error, and the loop ends before it can do harm
      if (errno === undefined || !this.#initialized) {
        this.#send()
        throw error
      }
      if (isFailure(errno, error)) this.#options.failed?.(opcodeName(request.opcode), error)
      this.#send()
      if (request.opcode === OPCODE.WRITE) this.#options.refusedWrite?.(request.nodeId)
      return
    }
    this.#send()
  }

  #initialize(): void {
    if (this.#request.opcode !== OPCODE.INIT) throw new Error('the kernel did not begin with FUSE_INIT')
    this.#initialized = negotiate(this.#request, this.#reply) !== undefined
  }

  #send(): void {
    const reply = this.#reply
    if (reply.length === 0) return
    if (reply.modeChanged) invalidateAttributes(this.#device, this.#request.nodeId)
    reply.seal()
    sendReply(this.#device, reply.bytes, reply.length)
  }
}

function opcodeName(opcode: number): string {
  const found = Object.entries(OPCODE).find(([, number]) => number === opcode)
  return found === undefined ? `operation ${opcode}` : found[0]
}
