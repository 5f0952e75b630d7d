import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Processes by pid, from /proc. */

/** Linux reports processor time to user space in hundredths of a second, whatever its own tick is. */
const TICK_US = 10_000

/** `pid` and everything it started, parents first. Those that left the tree (a daemon's daemon) are not found. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = statFields(Number(entry))
    if (stat === undefined) continue
    const parent = Number(stat[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const tree = [pid]
  for (let i = 0; i < tree.length; i++) tree.push(...(children.get(tree[i] as number) ?? []))
  return tree
}

/** The processes of a node's local client: none just now, or one. */
export function localClients(nodePid: number): number[] {
  return processTree(nodePid).filter((pid) => {
    const file = `/proc/${pid}/cmdline`
    return existsSync(file) && readFileSync(file, 'utf8').startsWith('ltxd: local client')
  })
}

/** User and system time of a process, all its threads together; undefined when it is gone. */
export function processorTimeUs(pid: number): number | undefined {
  const stat = statFields(pid)
  return stat === undefined ? undefined : (Number(stat[11]) + Number(stat[12])) * TICK_US
}

/** Its proportional share of physical memory; 0 when it is gone. */
export function memoryBytes(pid: number): number {
  try {
    const [, kibibytes] = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
    return Number(kibibytes ?? 0) * 1024
  } catch {
    return 0
  }
}

/** False also for a zombie: it runs nothing any more. */
export function isRunning(pid: number): boolean {
  const stat = statFields(pid)
  return stat !== undefined && stat[0] !== 'Z' && stat[0] !== 'X'
}

/** Sends `signal`; no error when the process is already gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/**
 * The fields of /proc/PID/stat from the third (state) on: the second, the name, may itself hold blanks and brackets.
 */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Who has a file open or mapped, for messages: "command (pid) fd 7". */
export function holdersOf(path: string): string[] {
  const holders: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
      for (const fd of readdirSync(`/proc/${pid}/fd`))
        if (linkOf(`/proc/${pid}/fd/${fd}`) === path) holders.push(`${command} (${pid}) fd ${fd}`)
      if (isMappedBy(pid, path)) holders.push(`${command} (${pid}) mapped`)
    } catch {
      // It has ended.
    }
  }
  return holders
}

export function isMappedBy(pid: number | string | undefined, path: string): boolean {
  return readFileSync(`/proc/${pid}/maps`, 'utf8').includes(` ${path}\n`)
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
