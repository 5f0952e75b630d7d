import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import readline from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { SharedState } from '../dataplane/shared-state.ts'
import { marshalFrame } from '../util/frames.ts'
import type { Logger } from '../util/log.ts'
import type { FromClient, ToClient } from './client/messages.ts'

export interface LocalClientOptions {
  readonly mountDir: string
  /** The file on the mount by which the client reaches the data plane. */
  readonly announcementsPath: string
  readonly shared: SharedState
  readonly logger: Logger
  readonly received: (message: FromClient) => void
}

/** How long the client may take to let go of its databases; a checkpoint of each is part of it. */
const CLOSE_MS = 5_000

/** The control plane's handle of the local client's process (apply/client/). */
export class LocalClientProcess {
  /** Resolves when the process has ended, for whatever reason. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #input: Writable
  readonly #shared: SharedState

  /** From here on the data plane lets this process write, and nobody else. */
  constructor({ mountDir, announcementsPath, shared, logger, received }: LocalClientOptions) {
    const program = fileURLToPath(new URL('./local-client.js', import.meta.url))
    const child = spawn(process.execPath, [program, mountDir, announcementsPath], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    this.#input = child.stdin
    this.#shared = shared
    shared.clientPid = child.pid ?? 0
    child.stdin.on('error', () => undefined) // it has ended: `ended` says so
    lines(child.stdout, (line) => received(JSON.parse(line) as FromClient))
    lines(child.stderr, (line) => logger.error({ line }, 'the local client complains'))
    this.ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    }).then(() => {
      if (shared.clientPid === child.pid) shared.clientPid = 0
    })
  }

  /** Resolves when there is room for more. */
  async send(order: ToClient, body?: Uint8Array): Promise<void> {
    if (this.#input.write(marshalFrame(order, body))) return
    await Promise.race([once(this.#input, 'drain').catch(() => undefined), this.ended])
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Lets go of every database and ends; is ended, if it does not in time. */
  async close(): Promise<void> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_MS)
    await this.send({ type: 'close' })
    await this.ended
    clearTimeout(late)
    this.#shared.clientPid = 0
  }
}

function lines(stream: Readable, each: (line: string) => void): void {
  readline.createInterface({ input: stream }).on('line', each)
}
