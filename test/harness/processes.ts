import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Processes by pid, from /proc. */

/** Linux reports processor time to user space in hundredths of a second, independent of its own tick. */
const TICK_US = 10_000

/** The process and its descendants, parents first. A descendant whose parent has ended is not found. */
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

/** The pid of a node's local client, or none between two of them. */
export function localClients(nodePid: number): number[] {
  return processTree(nodePid).filter((pid) => {
    const file = `/proc/${pid}/cmdline`
    return existsSync(file) && readFileSync(file, 'utf8').startsWith('ltxd: local client')
  })
}

/** The user and system time of a process with all its threads; undefined if it is gone. */
export function processorTimeUs(pid: number): number | undefined {
  const stat = statFields(pid)
  return stat === undefined ? undefined : (Number(stat[11]) + Number(stat[12])) * TICK_US
}

/** The process's proportional share of physical memory; 0 if it is gone. */
export function memoryBytes(pid: number): number {
  try {
    const [, kibibytes] = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
    return Number(kibibytes ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Whether the process runs. A zombie does not. */
export function isRunning(pid: number): boolean {
  const stat = statFields(pid)
  return stat !== undefined && stat[0] !== 'Z' && stat[0] !== 'X'
}

/** Sends a signal, unless the process is already gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/**
 * The fields of /proc/PID/stat from the third (state) on. The second, the name, may contain spaces and brackets.
 */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** The processes that have a file open or mapped, for messages: "command (pid) fd 7". */
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
