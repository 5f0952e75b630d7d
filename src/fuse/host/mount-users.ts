import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { MountEntry } from './mountinfo.ts'

/** A process that has files of a mount open. */
export interface MountUser {
  readonly pid: number
  readonly command: string
  /** Their paths, as they were opened. */
  readonly files: readonly string[]
}

/** How long a process may take to end after SIGTERM. */
const TERM_MS = 5_000
const POLL_MS = 50

/**
 * The processes that have files of this mount open, by the mount's number in /proc/PID/fdinfo: no file of the mount is
 * touched. Processes that see the mount in another namespace, or that this user may not look into, do not appear.
 */
export function mountUsers({ id, mountPoint }: Pick<MountEntry, 'id' | 'mountPoint'>): MountUser[] {
  const users: MountUser[] = []
  for (const name of fs.readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const files = filesOf(pid, id, mountPoint)
    if (files.length > 0) users.push({ pid, command: commandOf(pid), files })
  }
  return users
}

/** Ends processes by SIGTERM, and by SIGKILL those that have files of the mount open after five seconds. */
export async function stopMountUsers(mount: MountEntry): Promise<void> {
  signal(mountUsers(mount), 'SIGTERM')
  for (let waited = 0; waited < TERM_MS && mountUsers(mount).length > 0; waited += POLL_MS) await delay(POLL_MS)
  signal(mountUsers(mount), 'SIGKILL')
}

function signal(users: readonly MountUser[], name: NodeJS.Signals): void {
  for (const { pid } of users) {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended, or is another user's.
    }
  }
}

function filesOf(pid: number, mountId: string, mountPoint: string): string[] {
  const files = new Set<string>()
  for (const fd of listed(`/proc/${pid}/fd`)) {
    try {
      if (mountIdOf(fs.readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) !== mountId) continue
      const path = fs.readlinkSync(`/proc/${pid}/fd/${fd}`)
      files.add(path.startsWith(`${mountPoint}/`) ? path.slice(mountPoint.length + 1) : path)
    } catch {
      // The descriptor has been closed.
    }
  }
  return [...files].sort()
}

function mountIdOf(fdinfo: string): string | undefined {
  return /^mnt_id:\s*(\d+)$/m.exec(fdinfo)?.[1]
}

function commandOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

function listed(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch {
    return []
  }
}
