import { type ChildProcess, fork } from 'node:child_process'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchStatus } from '../api/client.ts'
import type { NodeStatus } from '../api/status.ts'
import { WITHOUT_DEBUGGER } from '../util/debugger.ts'
import { LtxdError } from '../util/errors.ts'
import type { LogLevel } from '../util/log.ts'
import type { Failure, FromNode, NodeSettings, ToNode } from './messages.ts'

/** The keys that most programs need. Everything else is in a configuration file, which `config` names. */
export interface NodeOptions {
  /** Where to mount (`fuse.dir`); created if missing. */
  readonly mount: string
  /** The data directory (`data.dir`). Default: the configuration file's, or `./ltxd-data`. */
  readonly data?: string
  /** Where transactions are shipped (`backup.url`): `file:///DIR` or `s3://BUCKET/PREFIX?…`. */
  readonly backup?: string
  /** Where the API listens (`http.addr`). Default: the file's; without a file any free port of 127.0.0.1. */
  readonly http?: string
  /** An `ltxd.yml`. None is looked for elsewhere, and its `exec` is not run. */
  readonly config?: string
  /**
   * Of the node's log, which goes to this process's standard error (`log.level`). Default: the
   * configuration file's; without a file `warn`.
   */
  readonly logLevel?: LogLevel
  /** Aborts the start. */
  readonly signal?: AbortSignal
}

/** A running node, in a process of its own. */
export interface Node {
  /** Where databases are opened: absolute. */
  readonly mount: string
  /** Of the API: `http://127.0.0.1:20202`. */
  readonly url: string
  readonly pid: number
  /** Resolves when the node has stopped, rejects when it ended for another reason. */
  readonly ended: Promise<void>
  status(): Promise<NodeStatus>
  /** Unmounts, ships the rest to the backup, ends. Resolves when that is done. */
  stop(): Promise<void>
}

/**
 * Starts a node in a process of its own, so that this one can open databases on the mount; when this resolves, it can.
 * The node stops cleanly when this process ends, however it ends. Throws LtxdError; then nothing is left running.
 */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { signal, mount, data, backup, http, config, logLevel } = options
  signal?.throwIfAborted()
  const process = new NodeProcess({
    mount: resolve(mount),
    ...(data !== undefined && { data: resolve(data) }),
    ...(backup !== undefined && { backup }),
    ...(http !== undefined && { http }),
    ...(config !== undefined && { config: resolve(config) }),
    ...(logLevel !== undefined && { logLevel }),
  })
  const abort = () => void process.stop().catch(() => {})
  signal?.addEventListener('abort', abort)
  try {
    return await process.serving
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

const PROGRAM = fileURLToPath(new URL('./node-process.js', import.meta.url))

class NodeProcess {
  readonly serving: Promise<Node>
  readonly ended: Promise<void>
  readonly #child: ChildProcess

  constructor(settings: NodeSettings) {
    // In a process group of its own: Ctrl-C is this program's to handle, which may still write to its databases.
    const child = fork(PROGRAM, [], {
      execArgv: [...WITHOUT_DEBUGGER],
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    let failure: LtxdError | undefined
    let isAsked = false
    this.ended = new Promise((resolve, reject) => {
      child.on('message', (message: FromNode) => {
        if (message.type !== 'ended') return
        isAsked = true
        if (message.error !== undefined) failure = errorOf(message.error)
      })
      child.once('error', (cause) => reject(new LtxdError('NODE_FAILED', cause.message, 1, { cause })))
      child.once('exit', (code, signal) => {
        if (failure === undefined && isAsked) resolve()
        else reject(failure ?? died(code, signal))
      })
    })
    this.ended.catch(() => {})
    this.serving = new Promise((resolve, reject) => {
      child.on('message', (message: FromNode) => {
        if (message.type === 'serving') resolve(this.#node(message))
      })
      const early = () => reject(new LtxdError('NODE_STOPPED', 'the node stopped before it served'))
      this.ended.then(early, reject)
    })
    this.#send({ type: 'start', settings })
  }

  stop(): Promise<void> {
    this.#send({ type: 'stop' })
    return this.ended
  }

  #node({ mountDir, url }: Extract<FromNode, { type: 'serving' }>): Node {
    return {
      mount: mountDir,
      url,
      pid: this.#child.pid ?? 0,
      ended: this.ended,
      status: () => fetchStatus(url),
      stop: () => this.stop(),
    }
  }

  /** A process that has ended hears nothing: `ended` says why. */
  #send(message: ToNode): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }
}

function errorOf({ code, message, exitCode }: Failure): LtxdError {
  return new LtxdError(code, message, exitCode)
}

function died(code: number | null, signal: NodeJS.Signals | null): LtxdError {
  return new LtxdError('NODE_FAILED', `the node's process ended unexpectedly (${signal ?? `exit code ${code}`})`)
}
