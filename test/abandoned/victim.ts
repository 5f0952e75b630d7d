import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Where an application is ended (SIGKILL `before` or `after` a call), or told of an error instead of the call (`fail`) or after it (`lie`). */
export type How = 'before' | 'after' | 'fail' | 'lie'

export interface VictimOptions {
  readonly database: string
  /** What of its transaction's calls counts. */
  readonly window: 'commit' | 'transaction'
  readonly pragmas: readonly string[]
  /** Outside of the mount. */
  readonly notes: string
  readonly how: How
  /** Which of its calls; 0: none, to count them. */
  readonly at: number
}

export interface VictimEnd {
  readonly outcome: 'committed' | 'error' | 'killed'
  /** Of those that count, where it ended by itself. */
  readonly calls: number
}

const DEADLINE_MS = 60_000
let interposer: Promise<string> | undefined

/** Runs it to whatever end it comes to. */
export async function runVictim(options: VictimOptions): Promise<VictimEnd> {
  const library = await (interposer ??= compile())
  const { database, window, pragmas, notes, how, at } = options
  const armed = join(notes, 'armed')
  const count = join(notes, 'calls')
  rmSync(armed, { force: true })
  rmSync(count, { force: true })
  const script = fileURLToPath(new URL('victim.py', import.meta.url))
  const env = {
    ...process.env,
    LD_PRELOAD: library,
    INTERPOSER_DIRECTORY: database,
    INTERPOSER_ARMED: armed,
    INTERPOSER_AT: String(at),
    INTERPOSER_HOW: how,
    INTERPOSER_COUNT: count,
  }
  try {
    const { stdout } = await run('python3', [script, database, armed, window, ...pragmas], {
      env,
      timeout: DEADLINE_MS,
      killSignal: 'SIGTERM',
    })
    const calls = existsSync(count) ? Number(readFileSync(count, 'utf8')) : 0
    return { outcome: stdout.startsWith('committed') ? 'committed' : 'error', calls }
  } catch (error) {
    if ((error as { signal?: string }).signal === 'SIGKILL') return { outcome: 'killed', calls: 0 }
    throw error
  }
}

async function compile(): Promise<string> {
  const directory = fileURLToPath(new URL('../../node_modules/.cache/interposer', import.meta.url))
  mkdirSync(directory, { recursive: true })
  const library = join(directory, `interposer-${process.pid}.so`)
  const source = fileURLToPath(new URL('interposer.c', import.meta.url))
  await run('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'])
  return library
}
