/** Processes that look around for as long as a test runs, and say what they found that nobody may find. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { NOBODY } from './nobody.ts'

/** `lookAt(path, stats)` is called for everything below the paths, again and again. */
const WALK = `
  const fs = require('node:fs')
  const found = new Set()
  const say = (what) => {
    if (found.size === found.add(what).size - 1) process.stdout.write(JSON.stringify(what) + '\\n')
  }
  const attempt = (step) => {
    try {
      return step()
    } catch {}
  }
  const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  function walk(path, lookAt, above) {
    const stats = attempt(() => fs.lstatSync(path))
    if (stats === undefined || stats.isSymbolicLink()) return
    const below = lookAt(path, stats, above)
    if (stats.isDirectory() && below !== false) {
      for (const name of attempt(() => fs.readdirSync(path)) ?? []) walk(path + '/' + name, lookAt, below)
    }
  }
`

/** As another user: what can be read and holds the canary, and what can be changed. */
const PROWL = `${WALK}
  const [canary, ...paths] = process.argv.slice(1)
  const holdsCanary = (path) => attempt(() => fs.readFileSync(path).includes(canary)) === true
  function lookAt(path, stats) {
    if (attempt(() => (fs.accessSync(path, fs.constants.W_OK), true))) say('changes ' + path)
    if (stats.isFile() && holdsCanary(path)) say('reads ' + path)
  }
  /** The processes whose arguments name one of the paths, and all that they started. */
  function processes() {
    const parents = new Map()
    const ours = new Set()
    for (const pid of fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)) {
      const stat = attempt(() => fs.readFileSync('/proc/' + pid + '/stat', 'latin1'))
      if (stat === undefined) continue
      parents.set(pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      const command = attempt(() => fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1')) ?? ''
      if (!command.includes(canary) && /cli\\.js/.test(command) && paths.some((path) => command.includes(path))) ours.add(pid)
    }
    for (let size = -1; size < ours.size; ) {
      size = ours.size
      for (const [pid, parent] of parents) if (ours.has(parent)) ours.add(pid)
    }
    return ours
  }
  for (let round = 1; ; round++, pause(20)) {
    for (const path of paths) walk(path, lookAt)
    for (const pid of processes()) {
      const of = '/proc/' + pid
      for (const name of ['environ', 'cmdline', 'mem', 'maps', 'io']) if (holdsCanary(of + '/' + name)) say('reads ' + of + '/' + name)
      for (const name of ['fd', 'map_files', 'cwd']) for (const file of attempt(() => fs.readdirSync(of + '/' + name)) ?? []) {
        if (holdsCanary(of + '/' + name + '/' + file)) say('reads ' + of + '/' + name + '/' + file)
      }
      if (attempt(() => (fs.closeSync(fs.openSync(of + '/mem', 'r+')), true))) say('changes ' + of + '/mem')
    }
    if (round % 10 === 1) say('round ' + round)
  }
`

/**
 * As root: what users other than the owner can reach, each directory above it included, beyond the mode that is
 * allowed. Says each path that it has seen, too, with numbers left out.
 */
const WATCH = `${WALK}
  const allowed = parseInt(process.argv[1], 8)
  const roots = process.argv.slice(2)
  for (;; pause(1)) {
    for (const root of roots) {
      walk(root, (path, stats, above = 0o077) => {
        if (/-data\\/(files|lock)$/.test(path)) return false
        const reachable = stats.mode & above & 0o077
        if (reachable & ~allowed) say('wider ' + path + ' ' + (stats.mode & 0o777).toString(8))
        say('saw ' + path.slice(root.length).replace(/[0-9a-f]{16}/g, 'H').replace(/[0-9]+/g, 'N'))
        const search = (stats.mode & 0o010 ? 0o070 : 0) | (stats.mode & 0o001 ? 0o007 : 0)
        return above & search
      })
    }
  }
`

export class Prowler {
  readonly #child: ChildProcess
  readonly #said: string[] = []
  #rest = ''

  private constructor(argv: readonly string[]) {
    const [command, ...args] = argv
    this.#child = spawn(command as string, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#said.push(JSON.parse(line) as string)
    })
  }

  /** Another user looks for files with `canary`, and for what can be changed, below the paths and in /proc. */
  static asNobody(canary: string, ...paths: readonly string[]): Prowler {
    return new Prowler([...NOBODY, process.execPath, '-e', PROWL, canary, ...paths])
  }

  /** `allowed`: the rights of group and others that files and directories may have. */
  static ofModes(allowed: number, ...paths: readonly string[]): Prowler {
    return new Prowler([process.execPath, '-e', WATCH, allowed.toString(8), ...paths])
  }

  /** What it found that must not be. */
  get findings(): readonly string[] {
    return this.#said.filter((line) => /^(reads|changes|wider) /.test(line))
  }

  /** Whether it has said something that matches. */
  saw(pattern: RegExp): boolean {
    return this.#said.some((line) => pattern.test(line))
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
