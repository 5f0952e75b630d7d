import { type ChildProcess, spawn } from 'node:child_process'
import { helperEnvironment } from '../../util/environment.ts'
import type { Message } from '../protocol/message.ts'

/** Reads the size of each message as a line, and then the message, and tells for each whether the kernel took it. */
const SCRIPT =
  'trap \'\' INT TERM HUP USR1 USR2; while read -r size; do dd bs="$size" count=1 >&3 && echo y || echo n; done'

interface Pending {
  readonly message: Message
  readonly done: (isTaken: boolean) => void
}

/**
 * Sends the kernel notifications that wait for locks on pages and names. Whoever sends one waits until a request in
 * flight has been answered; if the node is killed meanwhile, nobody answers any more, and the sender cannot be killed.
 * So it is a process that has the device and nothing else: the node dies at once, and its guardian (guardian.ts) ends
 * the connection, which frees the sender.
 */
export class Notifier {
  readonly #device: number
  /** Those that wait, in order, by what they are about. */
  readonly #pending = new Map<string, Pending>()
  #sender: ChildProcess | undefined
  #isBusy = false
  #isClosed = false

  /** `device`: a mounted descriptor of /dev/fuse. */
  constructor(device: number) {
    this.#device = device
  }

  /**
   * Sends a message after those before it. Of several messages about the same subject that wait, one is sent. Resolves
   * with whether the kernel took it, which knew the file then.
   */
  notify(subject: string, message: Message): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false)
    const waiting = this.#pending.get(subject)
    return new Promise((resolve) => {
      const before = waiting?.done
      const done = (isTaken: boolean) => {
        before?.(isTaken)
        resolve(isTaken)
      }
      this.#pending.set(subject, { message, done })
      this.#next()
    })
  }

  /** Ends the sender, without waiting for it. */
  close(): void {
    this.#isClosed = true
    this.#sender?.kill('SIGKILL')
    for (const { done } of this.#pending.values()) done(false)
    this.#pending.clear()
  }

  #next(): void {
    const [next] = this.#pending
    if (this.#isBusy || next === undefined) return
    const [subject, { message, done }] = next
    // From now on the kernel may have read what is to be read anew: a later message about the same is another one.
    this.#pending.delete(subject)
    this.#isBusy = true
    const sender = (this.#sender ??= this.#start())
    const answered = (isTaken: boolean) => {
      sender.stdout?.off('data', onData)
      sender.off('close', onClose)
      this.#isBusy = false
      done(isTaken)
      this.#next()
    }
    const onData = (answer: Buffer) => answered(answer.toString().startsWith('y'))
    const onClose = () => {
      this.#sender = undefined
      answered(false)
    }
    sender.stdout?.once('data', onData)
    sender.once('close', onClose)
    sender.stdin?.write(Buffer.concat([Buffer.from(`${message.bytes.length}\n`), message.bytes]))
  }

  #start(): ChildProcess {
    const sender = spawn('sh', ['-c', SCRIPT, 'ltxd-notifier'], {
      stdio: ['pipe', 'pipe', 'ignore', this.#device],
      env: helperEnvironment(),
      cwd: '/',
      // In a session of its own, it outlives a Ctrl-C, after which the node still has to say what has changed.
      detached: true,
    })
    sender.on('error', () => sender.emit('close'))
    sender.stdin?.on('error', () => {}) // It has ended, which `close` reports.
    sender.unref()
    return sender
  }
}
