import type { ChildProcess, ChildProcessByStdio } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import readline from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { SharedState } from '../dataplane/shared-state.ts'
import { Signal } from '../stream/wire/signal.ts'
import { WITHOUT_DEBUGGER } from '../util/debugger.ts'
import { helperEnvironment } from '../util/environment.ts'
import { encodeFrame, PIPE_FRAMES } from '../util/frames.ts'
import type { Logger } from '../util/log.ts'
import { workOf } from '../util/process-work.ts'
import { sleepAwake } from '../util/waits.ts'
import type { FromClient, ToClient } from './client/messages.ts'

export interface LocalClientOptions {
  readonly data: Pick<DataDirectory, 'dir' | 'descriptor'>
  readonly plane: DataPlane
  readonly mountDir: string
  readonly logger: Logger
  readonly received: (message: FromClient) => void
  /** It brings one withheld database forward while this node leads, beside the client that checkpoints the others. */
  readonly isLate?: boolean | undefined
}

/** How long the client may take to release its databases, including a checkpoint of each. */
const CLOSE_MS = 5_000

/** The control plane's handle of the local client's process (client/main.ts). */
export class LocalClientProcess {
  /** Resolves when the process has ended, for any reason. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #input: Writable
  readonly #shared: SharedState
  readonly #word: 'clientPid' | 'lateClientPid'
  #finished: (() => void) | undefined
  readonly #alive = new Signal()
  /** Pending while there is no room for more. */
  #drained: Promise<void> | undefined

  /** Starts the process. On a replica the data plane accepts writes from this process only. */
  constructor({ data, plane, mountDir, logger, received, isLate = false }: LocalClientOptions) {
    const { shared } = plane
    const program = fileURLToPath(new URL('./local-client.js', import.meta.url))
    const places = [mountDir, plane.announcementsPath(mountDir), plane.mountDevice ?? '', data.dir]
    // The last one is the client's DATA_DESCRIPTOR.
    const child = spawn(process.execPath, [...WITHOUT_DEBUGGER, program, ...places], {
      stdio: ['pipe', 'pipe', 'pipe', data.descriptor],
      env: helperEnvironment(),
    }) as ChildProcessByStdio<Writable, Readable, Readable>
    this.#child = child
    this.#input = child.stdin
    this.#shared = shared
    const word = (this.#word = isLate ? 'lateClientPid' : 'clientPid')
    shared[word] = child.pid ?? 0
    child.stdin.on('error', () => undefined) // The process has ended, which `ended` reports.
    lines(child.stdout, (line) => {
      const message = JSON.parse(line) as FromClient
      if (message.type === 'finished') this.#finished?.()
      else if (message.type === 'alive') this.#alive.wake()
      else received(message)
    })
    lines(child.stderr, (line) =>
      logger.error({ process: child.pid, reason: line }, 'the local client reports an error'),
    )
    this.ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    }).then(() => {
      if (shared[word] === child.pid) shared[word] = 0
    })
  }

  /** Resolves when there is room for more. */
  async send(order: ToClient, body: Uint8Array = new Uint8Array(0)): Promise<void> {
    if (this.#input.write(encodeFrame(PIPE_FRAMES, order, body))) return
    this.#drained ??= this.#drain()
    await this.#drained
  }

  /** One wait for all orders: thousands of databases may have one. */
  async #drain(): Promise<void> {
    await Promise.race([once(this.#input, 'drain').catch(() => undefined), this.ended])
    this.#drained = undefined
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Whether it answers within the time, between two steps of what it does, or has ended. */
  async answers(withinMs: number): Promise<boolean> {
    const answered = new AbortController()
    const late = sleepAwake(withinMs, answered.signal).then(() => false)
    const answer = Promise.race([this.#alive.next, this.ended]).then(() => true)
    void this.send({ type: 'ping' })
    const isInTime = await Promise.race([answer, late])
    answered.abort()
    return isInTime
  }

  work(): string | undefined {
    return this.#child.pid === undefined ? undefined : workOf(this.#child.pid)
  }

  /** Resolves when the process executes nothing more; it keeps its locks. Kills it when that takes too long. */
  async finish(): Promise<void> {
    const finished = new Promise<void>((resolve) => (this.#finished = resolve))
    const late = setTimeout(() => this.kill(), CLOSE_MS)
    await this.send({ type: 'finish' })
    await Promise.race([finished, this.ended])
    clearTimeout(late)
  }

  /** Releases every database and ends the process; kills it when that takes too long. */
  async close(): Promise<void> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_MS)
    await this.send({ type: 'close' })
    await this.ended
    clearTimeout(late)
    this.#shared[this.#word] = 0
  }
}

function lines(stream: Readable, each: (line: string) => void): void {
  readline.createInterface({ input: stream }).on('line', each)
}
