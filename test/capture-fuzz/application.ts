import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { within } from '../harness/wait.ts'

export interface Answer {
  /** SQLite's primary result code; errno for a file operation; -1 if the application died. */
  readonly code: number
  readonly extended: number
  readonly inTransaction: boolean
  /** The transaction has begun to write. */
  readonly isWriting: boolean
  readonly text: string
}

export const DIED: Answer = {
  code: -1,
  extended: -1,
  inTransaction: false,
  isWriting: false,
  text: 'the application died',
}

/** A command that takes longer hangs. */
const HANG_MS = 60_000

/** A process with SQLite connections in a directory (application.c), which carries out one command after the other. */
export class Application {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #exited: Promise<void>
  #received = ''
  #waiting: ((answer: Answer) => void) | undefined
  #dead = false

  /** `seed` is of SQLite's random numbers. Writes are cut to `pieceBytes`, unless that is 0. */
  constructor(program: string, directory: string, seed: number, pieceBytes: number) {
    this.#child = spawn(program, [directory, String(seed), String(pieceBytes)], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout.setEncoding('latin1')
    this.#child.stdout.on('data', (data: string) => this.#read(data))
    this.#child.stdin.on('error', () => undefined)
    this.#exited = new Promise((resolve) => {
      const end = () => {
        this.#dead = true
        this.#answer(DIED)
        resolve()
      }
      this.#child.once('error', end)
      this.#child.once('close', end)
    })
  }

  get alive(): boolean {
    return !this.#dead
  }

  /** Carries out a command. Throws a DeadlineError if it hangs. */
  async ask(words: readonly string[]): Promise<Answer> {
    if (this.#dead) return DIED
    const answer = new Promise<Answer>((resolve) => (this.#waiting = resolve))
    this.#child.stdin.write(`${words.map(encodeWord).join('\t')}\n`)
    return within(`answer to "${words.join(' ')}"`, HANG_MS, answer)
  }

  /** Ends the process as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await within('end of an application', HANG_MS, this.#exited)
  }

  #read(data: string): void {
    this.#received += data
    const end = this.#received.indexOf('\n')
    if (end < 0) return
    const [code, extended, transaction, text] = this.#received.slice(0, end).split('\t')
    this.#received = this.#received.slice(end + 1)
    this.#answer({
      code: Number(code),
      extended: Number(extended),
      inTransaction: transaction !== '0',
      isWriting: transaction === '2',
      text: decodeURIComponent((text ?? '').replaceAll(/%[89a-f][0-9a-f]/gi, '%3F')),
    })
  }

  #answer(answer: Answer): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.(answer)
  }
}

/** Percent-encodes what would not survive in a line. U+DC80 to U+DCFF stand for single bytes. */
function encodeWord(word: string): string {
  let encoded = ''
  for (const byte of bytesOf(word)) {
    const plain = byte > 32 && byte < 127 && byte !== 37
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`
  }
  return encoded
}

/** The bytes of a file's name in a program. U+DC80 to U+DCFF stand for bytes that are not UTF-8. */
export function bytesOf(word: string): Buffer {
  return Buffer.concat(
    [...word].map((char) => {
      const code = char.codePointAt(0) as number
      return code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(char)
    }),
  )
}
